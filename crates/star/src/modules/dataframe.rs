//! `dataframe.star`: tables in the manner of pandas.
//!
//! A column holds values of one type without wrapping, so a million rows fit.
//! Names that pandas has and this has not answer that they are missing.
//! Results are tables of their own; columns are shared, not copied.

mod accessor;
mod aggregate;
mod apply;
mod arithmetic;
mod body;
mod build;
mod cell;
mod change;
mod choice;
mod column;
mod data_frame;
mod frame;
mod frame_methods;
mod group;
mod index;
mod labels;
mod layout;
mod merge;
mod missing;
mod series;
mod series_methods;
mod text;
mod texts;
mod values;

use std::sync::Arc;

use starlark::{
    environment::GlobalsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{Heap, Value, ValueLike, dict::DictRef},
};

pub use self::data_frame::DataFrame;
use self::{
    cell::Cell, column::Column, frame::Frame, index::Index, labels::Labels, series::Series,
};
use super::{
    raw::bytes_of,
    refusal::{Refusal, argument, malformed},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("dataframe", functions);
}

/// A column of a dtype, if one was asked for.
fn typed(column: Column, dtype: &str) -> starlark::Result<Column> {
    match dtype {
        "" => Ok(column),
        dtype => column.astype(dtype),
    }
}

/// The values and the labels that a series is made of.
fn series_parts<'v>(
    data: Option<Value<'v>>,
    index: Option<&Index>,
    heap: Heap<'v>,
) -> starlark::Result<(Arc<Column>, Index)> {
    let Some(data) = data.filter(|data| !data.is_none()) else {
        let rows = index.map_or(0, Index::len);
        let nothing = Column::repeated(&Cell::NAN, rows);
        return Ok((Arc::new(nothing), Index::count(rows)));
    };
    if let Some(series) = data.downcast_ref::<Series>() {
        return Ok((Arc::clone(&series.column), series.index.clone()));
    }
    if let Some(dict) = DictRef::from_value(data) {
        let labels = dict.keys().map(|label| Cell::from_value(label, heap));
        let labels = Column::from_cells(labels.collect::<starlark::Result<_>>()?);
        let cells = dict.values().map(|value| Cell::from_value(value, heap));
        let cells = Column::from_cells(cells.collect::<starlark::Result<_>>()?);
        return Ok((Arc::new(cells), Index::of(labels, None)));
    }
    let rows = index.map_or(1, Index::len);
    let column = build::column(data, &Index::count(rows), heap)?;
    let index = Index::count(column.len());
    Ok((column, index))
}

#[starlark_module]
#[allow(non_snake_case)]
fn functions(builder: &mut GlobalsBuilder) {
    /// A table from a table, a series, a dict of columns or a list of rows.
    fn DataFrame<'v>(
        data: Option<Value<'v>>,
        index: Option<Value<'v>>,
        columns: Option<Value<'v>>,
        #[starlark(default = "")] dtype: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<DataFrame> {
        let given = |value: Option<Value<'v>>| value.filter(|value| !value.is_none());
        let (data, index, columns) = (given(data), given(index), given(columns));
        let mut frame = build::frame(data, index, columns, eval.heap())?;
        if !dtype.is_empty() {
            for column in &mut frame.columns {
                *column = Arc::new(column.astype(dtype)?);
            }
        }
        Ok(DataFrame::new(frame))
    }

    /// A column with labels from a list, a dict or one value.
    fn Series<'v>(
        data: Option<Value<'v>>,
        index: Option<Value<'v>>,
        #[starlark(default = "")] dtype: &str,
        name: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Series> {
        let heap = eval.heap();
        let wanted = index.filter(|index| !index.is_none());
        let wanted = wanted.map(|index| build::index(index, heap)).transpose()?;
        let (column, known) = series_parts(data, wanted.as_ref(), heap)?;
        let by_label = data.is_some_and(|data| {
            DictRef::from_value(data).is_some() || data.downcast_ref::<Series>().is_some()
        });
        let name = name.filter(|name| !name.is_none());
        let mut series = Series {
            column,
            index: known,
            name: name.map(|name| Cell::from_value(name, heap)).transpose()?,
        };
        if let Some(wanted) = wanted {
            if by_label {
                series.column = series.aligned(&wanted)?;
            } else if wanted.len() != series.column.len() {
                return Err(argument(format!(
                    "length of values ({}) does not match length of index ({})",
                    series.column.len(),
                    wanted.len()
                )));
            }
            series.index = wanted;
        }
        let column = typed((*series.column).clone(), dtype)?;
        Ok(series.with(column))
    }

    /// The labels of one axis.
    fn Index<'v>(
        data: Value<'v>,
        name: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Labels> {
        let heap = eval.heap();
        let mut index = build::index(data, heap)?;
        if let Some(name) = name.filter(|name| !name.is_none()) {
            index.levels[0].name = Some(Cell::from_value(name, heap)?);
        }
        Ok(Labels { index })
    }

    /// A table from CSV whose first line holds the names of the columns.
    fn parse_csv<'v>(#[starlark(require = pos)] text: Value<'v>) -> starlark::Result<DataFrame> {
        let raw = bytes_of("text", text)?;
        let text = std::str::from_utf8(raw)
            .map_err(|error| malformed("CSV", format_args!("not UTF-8: {error}")))?;
        Ok(DataFrame::new(text::parse(text)?))
    }

    /// Reads no file and no address: neither is there.
    fn read_csv<'v>(
        #[starlark(args)] _args: Value<'v>,
        #[starlark(kwargs)] _kwargs: Value<'v>,
    ) -> starlark::Result<DataFrame> {
        let name = "dataframe.read_csv".to_owned();
        Err(Refusal::NotHere(format!("{name} (use parse_csv on the text)")).into())
    }

    /// Tables, one below the other.
    fn concat<'v>(
        #[starlark(require = pos)] objs: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<DataFrame> {
        let mut whole: Option<Frame> = None;
        for part in objs.iterate(eval.heap())? {
            let part = part
                .downcast_ref::<DataFrame>()
                .ok_or_else(|| argument(format!("cannot concatenate a {}", part.get_type())))?;
            whole = Some(match whole {
                None => part.snapshot(),
                Some(whole) => whole.append(&part.snapshot())?,
            });
        }
        whole
            .map(DataFrame::new)
            .ok_or_else(|| argument("no objects to concatenate"))
    }
}
