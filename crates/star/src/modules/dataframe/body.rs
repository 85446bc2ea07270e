//! A dataset's body as a table, and a table as a body.

use starlark::values::{Heap, Value, ValueLike};

use super::{
    cell::{Cell, shown_time},
    column::Column,
    data_frame::DataFrame,
    frame::{Frame, check_size},
    text::narrowest,
    texts::Texts,
};
use crate::{
    modules::refusal::argument,
    rows::{Kind, Rows},
};

/// The rows of a body as a table: the first meets every row once, and holds
/// all values of a column in one piece.
///
/// # Errors
///
/// When the body cannot be read, or is larger than a table may be.
pub fn of_rows(rows: &Rows) -> starlark::Result<Frame> {
    let table = rows.table();
    let names: Vec<Cell> = table.names().map(Cell::text).collect();
    let kinds: Vec<Kind> = table.columns.iter().map(|column| column.kind).collect();
    let mut columns = vec![Texts::default(); names.len()];
    let failed = |error: String| argument(format!("cannot read the body: {error}"));
    let mut reader = rows.read().map_err(|error| failed(error.to_string()))?;
    let mut count = 0;
    while let Some(row) = reader
        .next_row()
        .map_err(|error| failed(error.to_string()))?
    {
        count += 1;
        check_size(count, names.len())?;
        for (at, column) in columns.iter_mut().enumerate() {
            let text = row.text(at);
            column.push((!table.is_null(text, kinds[at])).then_some(text));
        }
    }
    let columns = columns.into_iter().zip(kinds);
    Ok(Frame::counted(
        names,
        columns.map(|(texts, kind)| typed(texts, kind)).collect(),
    ))
}

fn typed(texts: Texts, kind: Kind) -> Column {
    match kind {
        Kind::Text => Column::Text(texts),
        Kind::Integer | Kind::Number => narrowest(texts),
        Kind::Boolean => {
            let cells = texts.iter().map(|text| match text {
                Some(text) => Cell::Bool(text.eq_ignore_ascii_case("true")),
                None => Cell::None,
            });
            Column::from_cells(cells.collect())
        }
    }
}

impl DataFrame {
    /// The rows of a dataset's body as a table, if the value is such rows.
    ///
    /// # Errors
    ///
    /// When the body is larger than a table may be.
    pub fn of_body(value: Value<'_>) -> starlark::Result<Option<Self>> {
        match value.downcast_ref::<Rows>() {
            Some(rows) => Ok(Some(Self::new(of_rows(rows)?))),
            None => Ok(None),
        }
    }

    /// The names of the columns as text.
    pub fn names(&self) -> Vec<String> {
        self.snapshot().names.iter().map(Cell::plain).collect()
    }

    /// Calls `take` with every row as a list of what a body can carry.
    ///
    /// # Errors
    ///
    /// Those of `take`.
    pub fn each_row<'v>(
        &self,
        heap: Heap<'v>,
        take: &mut dyn FnMut(Value<'v>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let frame = self.snapshot();
        for row in 0..frame.rows() {
            let cells = frame.row(row).into_iter().map(|cell| match cell {
                cell if cell.is_null() => Value::new_none(),
                Cell::Time(time) => heap.alloc(shown_time(time)),
                other => other.to_value(heap),
            });
            take(heap.alloc(cells.collect::<Vec<_>>()))?;
        }
        Ok(())
    }
}
