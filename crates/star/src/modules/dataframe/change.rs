//! The assignments that change a table.
//!
//! Assignments come without a heap, so only plain values, lists, series and
//! indexes can be assigned.

use std::sync::Arc;

use starlark::values::{Value, ValueLike};

use super::{build, cell::Cell, data_frame::DataFrame, frame::shown, series::Series};
use crate::modules::refusal::argument;

/// `df[name] = value`
pub fn set_column<'v>(of: &DataFrame, name: Value<'v>, value: Value<'v>) -> starlark::Result<()> {
    if name.downcast_ref::<Series>().is_some() || build::items(name, None).is_some() {
        return Err(argument(
            "only one column can be assigned at a time, by its name",
        ));
    }
    let name = Cell::from_value(name, None)?;
    let index = of.snapshot().index;
    let long = value
        .downcast_ref::<Series>()
        .map(|series| series.index.clone());
    let index = match of.snapshot().columns.is_empty() && index.len() == 0 {
        true => long.unwrap_or(index),
        false => index,
    };
    let column = build::column(value, &index, None)?;
    of.change(|frame| frame.set(name, column))
}

/// `df.at[row, column] = value`
pub fn set_cell<'v>(of: &DataFrame, place: Value<'v>, value: Value<'v>) -> starlark::Result<()> {
    let value = Cell::from_value(value, None)?;
    let both = build::items(place, None).unwrap_or_default();
    let [row, column] = both[..] else {
        return Err(argument(
            "at needs a row and a column, as in df.at[0, \"a\"]",
        ));
    };
    let (row, column) = (
        Cell::from_value(row, None)?,
        Cell::from_value(column, None)?,
    );
    of.change(|frame| {
        let found = frame.index.find(&row);
        let at = found.ok_or_else(|| argument(format!("there is no row {}", shown(&row))))?;
        let column = frame.column(&column)?;
        frame.columns[column] = Arc::new(frame.columns[column].with(at, value));
        Ok(())
    })
}

/// `df.columns = names` and `df.index = labels`
pub fn set_attribute<'v>(
    of: &DataFrame,
    attribute: &str,
    value: Value<'v>,
) -> starlark::Result<()> {
    match attribute {
        "columns" => {
            let names = build::cells(value, None)?;
            of.change(|frame| {
                *frame = build::renamed(frame.clone(), Some(names))?;
                Ok(())
            })
        }
        "index" => {
            let index = build::index(value, None)?;
            of.change(|frame| {
                if index.len() != frame.rows() {
                    return Err(argument(format!(
                        "length mismatch: expected axis has {} elements, new values have {} elements",
                        frame.rows(),
                        index.len()
                    )));
                }
                frame.index = index;
                Ok(())
            })
        }
        name if of.snapshot().place(&Cell::text(name)).is_some() => {
            let column = build::column(value, &of.snapshot().index, None)?;
            of.change(|frame| frame.set(Cell::text(name), column))
        }
        _ => Err(argument(format!(
            "a table has no attribute {attribute} to set; write df[{attribute:?}] = ..."
        ))),
    }
}
