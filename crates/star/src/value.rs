//! Values of a script as JSON.
//!
//! A value is written piece by piece, so that a body of many rows needs no
//! second copy. What JSON cannot carry is an error that names
//! the place inside of the value.

use std::io::{self, Write};

use starlark::values::{
    Heap, Value, ValueLike, dict::DictRef, float::StarlarkFloat, list::ListRef, structs::StructRef,
    tuple::TupleRef,
};

use crate::rows::{Row, Rows};

/// The deepest nesting that is written; the station reads no deeper.
pub const DEPTH_MAX: usize = 120;

/// Why a value did not become JSON.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("JSON cannot carry {what}{}", at(.path))]
    Unfit { what: String, path: Vec<String> },
    #[error("could not write: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Read(anyhow::Error),
}

fn at(path: &[String]) -> String {
    match path.is_empty() {
        true => String::new(),
        false => format!(
            " (at {})",
            path.iter().rev().map(String::as_str).collect::<String>()
        ),
    }
}

impl WriteError {
    fn unfit(what: impl Into<String>) -> Self {
        Self::Unfit {
            what: what.into(),
            path: Vec::new(),
        }
    }

    fn inside(mut self, part: impl FnOnce() -> String) -> Self {
        if let Self::Unfit { path, .. } = &mut self {
            path.push(part());
        }
        self
    }
}

/// Writes a value as one JSON document.
///
/// # Errors
///
/// [`WriteError::Unfit`] when JSON has nothing for it: functions, keys that
/// are no text, numbers that are not finite, nesting deeper than [`DEPTH_MAX`].
pub fn to_json<'v>(
    value: Value<'v>,
    heap: Heap<'v>,
    out: &mut dyn Write,
) -> Result<(), WriteError> {
    write(value, heap, out, 0)
}

fn write<'v>(
    value: Value<'v>,
    heap: Heap<'v>,
    out: &mut dyn Write,
    depth: usize,
) -> Result<(), WriteError> {
    if DEPTH_MAX < depth {
        return Err(WriteError::unfit(format!(
            "what nests deeper than {DEPTH_MAX}"
        )));
    }
    if value.is_none() {
        return Ok(out.write_all(b"null")?);
    }
    if let Some(value) = value.unpack_bool() {
        return Ok(write!(out, "{value}")?);
    }
    if let Some(text) = value.unpack_str() {
        return write_text(text, out);
    }
    if let Some(float) = value.downcast_ref::<StarlarkFloat>() {
        return match float.0.is_finite() {
            true => Ok(serde_json::to_writer(out, &float.0).map_err(io::Error::from)?),
            false => Err(WriteError::unfit("a number that is not finite")),
        };
    }
    if value.get_type() == "int" {
        return Ok(write!(out, "{value}")?);
    }
    if let Some(list) = ListRef::from_value(value) {
        return write_list(list.iter(), heap, out, depth);
    }
    if let Some(tuple) = TupleRef::from_value(value) {
        return write_list(tuple.iter(), heap, out, depth);
    }
    if let Some(dict) = DictRef::from_value(value) {
        return write_dict(&dict, heap, out, depth);
    }
    if let Some(row) = value.downcast_ref::<Row>() {
        return write_list(row.values(heap).into_iter(), heap, out, depth);
    }
    if let Some(rows) = value.downcast_ref::<Rows>() {
        return write_rows(rows, heap, out, depth);
    }
    write_other(value, heap, out, depth)
}

fn write_other<'v>(
    value: Value<'v>,
    heap: Heap<'v>,
    out: &mut dyn Write,
    depth: usize,
) -> Result<(), WriteError> {
    if let Some(fields) = StructRef::from_value(value) {
        out.write_all(b"{")?;
        for (index, (name, value)) in fields.iter().enumerate() {
            comma(index, out)?;
            write_text(name.as_str(), out)?;
            out.write_all(b":")?;
            write(value, heap, out, depth + 1).map_err(|e| e.inside(|| format!(".{name}")))?;
        }
        return Ok(out.write_all(b"}")?);
    }
    if matches!(value.get_type(), "set" | "range") {
        let all = value.iterate(heap);
        let all = all.map_err(|error| WriteError::Read(error.into_anyhow()))?;
        return write_list(all, heap, out, depth);
    }
    // A type of a module that says itself what it is as JSON.
    match value.to_json_value() {
        Ok(json) => Ok(serde_json::to_writer(out, &json).map_err(io::Error::from)?),
        Err(_) => Err(WriteError::unfit(format!(
            "a value of type {}",
            value.get_type()
        ))),
    }
}

fn write_list<'v>(
    items: impl Iterator<Item = Value<'v>>,
    heap: Heap<'v>,
    out: &mut dyn Write,
    depth: usize,
) -> Result<(), WriteError> {
    out.write_all(b"[")?;
    for (index, item) in items.enumerate() {
        comma(index, out)?;
        write(item, heap, out, depth + 1).map_err(|e| e.inside(|| format!("[{index}]")))?;
    }
    Ok(out.write_all(b"]")?)
}

fn write_dict<'v>(
    dict: &DictRef<'v>,
    heap: Heap<'v>,
    out: &mut dyn Write,
    depth: usize,
) -> Result<(), WriteError> {
    out.write_all(b"{")?;
    for (index, (key, value)) in dict.iter().enumerate() {
        comma(index, out)?;
        let Some(name) = key.unpack_str() else {
            let what = format!("the key {} of type {}", key.to_repr(), key.get_type());
            return Err(WriteError::unfit(what));
        };
        write_text(name, out)?;
        out.write_all(b":")?;
        write(value, heap, out, depth + 1).map_err(|e| e.inside(|| format!("[{name:?}]")))?;
    }
    Ok(out.write_all(b"}")?)
}

fn write_rows<'v>(
    rows: &Rows,
    heap: Heap<'v>,
    out: &mut dyn Write,
    depth: usize,
) -> Result<(), WriteError> {
    let mut reader = rows.read().map_err(WriteError::Read)?;
    out.write_all(b"[")?;
    let mut index = 0;
    while let Some(row) = reader
        .next_row()
        .map_err(|error| WriteError::Read(error.into()))?
    {
        comma(index, out)?;
        write_list(row.values(heap).into_iter(), heap, out, depth + 1)?;
        index += 1;
    }
    Ok(out.write_all(b"]")?)
}

fn comma(index: usize, out: &mut dyn Write) -> io::Result<()> {
    match index {
        0 => Ok(()),
        _ => out.write_all(b","),
    }
}

fn write_text(text: &str, out: &mut dyn Write) -> Result<(), WriteError> {
    Ok(serde_json::to_writer(out, text).map_err(io::Error::from)?)
}
