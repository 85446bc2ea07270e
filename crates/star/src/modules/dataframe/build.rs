//! A table or a column from whatever a script passes.

use std::sync::Arc;

use starlark::values::{Heap, Value, ValueLike, dict::DictRef, list::ListRef, tuple::TupleRef};

use super::{
    cell::Cell,
    column::Column,
    data_frame::DataFrame,
    frame::{Frame, check_size, shown},
    index::Index,
    labels::Labels,
    series::Series,
};
use crate::{modules::refusal::argument, rows::Rows};

/// The items of a list or a tuple, or of an index or a series. Assignments
/// have no heap; without one, only lists and tuples have items.
pub fn items<'v>(value: Value<'v>, heap: impl Into<Option<Heap<'v>>>) -> Option<Vec<Value<'v>>> {
    if let Some(list) = ListRef::from_value(value) {
        return Some(list.iter().collect());
    }
    if let Some(tuple) = TupleRef::from_value(value) {
        return Some(tuple.iter().collect());
    }
    let sequence = matches!(value.get_type(), "range" | "Index" | "Series" | "set");
    let heap = heap.into().filter(|_| sequence)?;
    value.iterate(heap).ok().map(Iterator::collect)
}

/// The cells of any sequence.
pub fn cells<'v>(
    value: Value<'v>,
    heap: impl Into<Option<Heap<'v>>>,
) -> starlark::Result<Vec<Cell>> {
    if let Some(series) = value.downcast_ref::<Series>() {
        return Ok(series.column.cells().collect());
    }
    if let Some(labels) = value.downcast_ref::<Labels>() {
        return Ok((0..labels.index.len())
            .map(|at| labels.index.label(at))
            .collect());
    }
    let heap = heap.into();
    check_length(value)?;
    let items = items(value, heap).ok_or_else(|| {
        argument(format!(
            "expected a list of values, not {}",
            value.get_type()
        ))
    })?;
    let each = items.into_iter().map(|item| Cell::from_value(item, heap));
    each.collect()
}

/// One name, or several.
pub fn names<'v>(
    value: Value<'v>,
    heap: impl Into<Option<Heap<'v>>>,
) -> starlark::Result<Vec<Cell>> {
    let heap = heap.into();
    let one = value.unpack_str().is_some() || value.get_type() == "int";
    match one {
        true => Ok(vec![Cell::from_value(value, heap)?]),
        false => cells(value, heap),
    }
}

/// The labels of rows.
pub fn index<'v>(value: Value<'v>, heap: impl Into<Option<Heap<'v>>>) -> starlark::Result<Index> {
    if let Some(labels) = value.downcast_ref::<Labels>() {
        return Ok(labels.index.clone());
    }
    Ok(Index::of(Column::from_cells(cells(value, heap)?), None))
}

/// A column of so many rows: a series, a list, or one value again and again.
pub fn column<'v>(
    value: Value<'v>,
    index: &Index,
    heap: impl Into<Option<Heap<'v>>>,
) -> starlark::Result<Arc<Column>> {
    let heap = heap.into();
    if let Some(series) = value.downcast_ref::<Series>() {
        return series.aligned(index);
    }
    let sequence = matches!(
        value.get_type(),
        "list" | "tuple" | "range" | "set" | "Index"
    );
    if sequence {
        return Ok(Arc::new(Column::from_cells(cells(value, heap)?)));
    }
    let cell = Cell::from_value(value, heap)?;
    Ok(Arc::new(Column::repeated(&cell, index.len())))
}

/// A table from a table, a series, a dict of columns, or a list of rows.
///
/// # Errors
///
/// When it is none of these, or its parts are not of one length.
pub fn frame<'v>(
    data: Option<Value<'v>>,
    labels: Option<Value<'v>>,
    columns: Option<Value<'v>>,
    heap: Heap<'v>,
) -> starlark::Result<Frame> {
    let labels = labels.map(|labels| index(labels, heap)).transpose()?;
    let names = columns.map(|columns| names(columns, heap)).transpose()?;
    let mut frame = match data {
        None => {
            let names = names.clone().unwrap_or_default();
            let empty = names.iter().map(|_| Column::Mixed(Vec::new())).collect();
            Frame::counted(names, empty)
        }
        Some(data) => {
            if let Some(frame) = data.downcast_ref::<DataFrame>() {
                chosen(frame.snapshot(), names.as_deref())?
            } else if let Some(rows) = data.downcast_ref::<Rows>() {
                renamed(super::body::of_rows(rows)?, names)?
            } else if let Some(series) = data.downcast_ref::<Series>() {
                renamed(series.to_frame(None), names)?
            } else if let Some(dict) = DictRef::from_value(data) {
                chosen(from_dict(&dict, heap)?, names.as_deref())?
            } else {
                from_list(data, names, heap)?
            }
        }
    };
    if let Some(labels) = labels {
        if labels.len() != frame.rows() {
            return Err(argument(format!(
                "the index has {} labels, and the table {} rows",
                labels.len(),
                frame.rows()
            )));
        }
        frame.index = labels;
    }
    Ok(frame)
}

/// Other names for all columns.
pub fn renamed(mut frame: Frame, names: Option<Vec<Cell>>) -> starlark::Result<Frame> {
    if let Some(names) = names {
        if names.len() != frame.columns.len() {
            return Err(argument(format!(
                "length mismatch: expected axis has {} elements, new values have {} elements",
                frame.columns.len(),
                names.len()
            )));
        }
        frame.names = names;
    }
    Ok(frame)
}

/// Only these columns, in this order.
fn chosen(frame: Frame, names: Option<&[Cell]>) -> starlark::Result<Frame> {
    let Some(names) = names else {
        return Ok(frame);
    };
    let places = names.iter().map(|name| frame.column(name));
    Ok(frame.select(&places.collect::<starlark::Result<Vec<_>>>()?))
}

fn from_dict<'v>(dict: &DictRef<'v>, heap: Heap<'v>) -> starlark::Result<Frame> {
    let long = dict.iter().find_map(|(_, value)| {
        let series = value.downcast_ref::<Series>();
        let labels = series.map(|series| series.index.clone());
        labels.or_else(|| items(value, heap).map(|items| Index::count(items.len())))
    });
    let index = match long {
        Some(index) => index,
        None if dict.is_empty() => Index::count(0),
        None => return Err(argument("if all values are scalar, give them as lists")),
    };
    check_size(index.len(), dict.len())?;
    let mut frame = Frame {
        names: Vec::new(),
        columns: Vec::new(),
        index,
    };
    for (name, value) in dict.iter() {
        let name = Cell::from_value(name, heap)?;
        let column = column(value, &frame.index, heap)?;
        if column.len() != frame.rows() {
            return Err(argument(format!(
                "all columns have to be of one length: {} has {} rows, not {}",
                shown(&name),
                column.len(),
                frame.rows()
            )));
        }
        frame.names.push(name);
        frame.columns.push(column);
    }
    Ok(frame)
}

fn from_list<'v>(
    data: Value<'v>,
    names: Option<Vec<Cell>>,
    heap: Heap<'v>,
) -> starlark::Result<Frame> {
    check_length(data)?;
    let rows: Vec<Value<'v>> = match items(data, heap) {
        Some(rows) => rows,
        // Rows of a dataset's body are read as they come.
        None if data.unpack_str().is_none() => match data.iterate(heap) {
            Ok(rows) => rows.collect(),
            Err(_) => return Err(not_a_table(data)),
        },
        None => return Err(not_a_table(data)),
    };
    if rows
        .first()
        .is_some_and(|row| DictRef::from_value(*row).is_some())
    {
        return from_dicts(&rows, names, heap);
    }
    let mut columns: Vec<Vec<Cell>> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let cells = match items(*row, heap) {
            Some(items) => items
                .into_iter()
                .map(|item| Cell::from_value(item, heap))
                .collect::<starlark::Result<Vec<_>>>()?,
            None if row.get_type() == "row" => row
                .iterate(heap)?
                .map(|item| Cell::from_value(item, heap))
                .collect::<starlark::Result<Vec<_>>>()?,
            None => vec![Cell::from_value(*row, heap)?],
        };
        while columns.len() < cells.len() {
            columns.push(vec![Cell::None; at]);
        }
        check_size(at + 1, columns.len())?;
        let mut cells = cells.into_iter();
        for column in &mut columns {
            column.push(cells.next().unwrap_or(Cell::None));
        }
    }
    let names = match names {
        Some(names) if rows.is_empty() => {
            columns = vec![Vec::new(); names.len()];
            names
        }
        Some(names) if names.len() != columns.len() => {
            return Err(argument(format!(
                "{} columns passed, passed data had {} columns",
                names.len(),
                columns.len()
            )));
        }
        Some(names) => names,
        None => (0..).map(Cell::Int).take(columns.len()).collect(),
    };
    Ok(Frame::counted(
        names,
        columns.into_iter().map(Column::from_cells).collect(),
    ))
}

/// Refuses a sequence of more values than a table holds, before it is read.
fn check_length(value: Value<'_>) -> starlark::Result<()> {
    let length = value.length().ok();
    let length = length.and_then(|length| usize::try_from(length).ok());
    check_size(length.unwrap_or(0), 1)
}

fn not_a_table(data: Value<'_>) -> starlark::Error {
    argument(format!("cannot make a table from a {}", data.get_type()))
}

/// A list of dicts: every key is a column, and a missing one is NaN.
fn from_dicts<'v>(
    rows: &[Value<'v>],
    names: Option<Vec<Cell>>,
    heap: Heap<'v>,
) -> starlark::Result<Frame> {
    let mut found: Vec<Cell> = Vec::new();
    let mut columns: Vec<Vec<Cell>> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let dict = DictRef::from_value(*row)
            .ok_or_else(|| argument(format!("row {at} is a {}, not a dict", row.get_type())))?;
        for (key, value) in dict.iter() {
            let name = Cell::from_value(key, heap)?;
            let place = found.iter().position(|known| *known == name);
            let place = place.unwrap_or_else(|| {
                found.push(name);
                columns.push(vec![Cell::NAN; at]);
                columns.len() - 1
            });
            columns[place].push(Cell::from_value(value, heap)?);
        }
        check_size(at + 1, columns.len())?;
        for column in &mut columns {
            column.resize(at + 1, Cell::NAN);
        }
    }
    let columns = columns.into_iter().map(Column::from_cells).collect();
    let mut frame = Frame::counted(found, columns);
    frame.index = Index::count(rows.len());
    chosen(frame, names.as_deref())
}
