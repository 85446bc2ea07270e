//! What a transform makes: `/out/body.<format>` and `/out/dataset.json`.
//!
//! The station turns the two into a version. The body is written row by row.
//! `dataset.json` tells what was set and nothing else: the rest stays as the
//! version before has it, and so does a body that was not set.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use serde_json::json;
use starlark::values::{Heap, Value, ValueLike, dict::DictRef, list::ListRef, tuple::TupleRef};

use crate::{
    dataset::Dataset,
    input::{DATASET_FILE, Format},
    modules::dataframe::DataFrame,
    rows::{Row, Rows},
    value,
};

/// Writes what a script set. Answers whether there was anything.
///
/// # Errors
///
/// When a value does not fit its format, or the folder is full.
pub fn write<'v>(dataset: &Dataset<'v>, out: &Path, heap: Heap<'v>) -> anyhow::Result<bool> {
    if !dataset.is_changed() {
        return Ok(false);
    }
    let mut told = serde_json::Map::new();
    let structure = dataset.structure.borrow().clone();
    match dataset.set_body() {
        None if dataset.before.is_there() => {
            told.insert("body".to_owned(), json!("previous"));
        }
        None => {}
        Some(body) => {
            let format = format_of(dataset, body);
            let name = format!("body.{}", format.name());
            told.insert("body".to_owned(), json!(name));
            write_body(dataset, body, format, &out.join(name), heap)?;
        }
    }
    let mut tell = |part: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            told.insert(part.to_owned(), value);
        }
    };
    tell("meta", dataset.meta.borrow().clone().map(Into::into));
    tell("structure", structure.map(Into::into));
    tell("readme", dataset.readme.borrow().clone().map(Into::into));
    let file = File::create(out.join(DATASET_FILE))?;
    serde_json::to_writer_pretty(file, &told)?;
    Ok(true)
}

/// The first rows of a body that was set, as JSON; null when they are long.
pub(crate) fn first_rows<'v>(
    dataset: &Dataset<'v>,
    rows_max: usize,
    bytes_max: usize,
    heap: Heap<'v>,
) -> serde_json::Value {
    let mut out = Vec::new();
    let Some(body) = dataset.set_body() else {
        return serde_json::Value::Null;
    };
    let mut length = 0;
    // An error stands for enough.
    let _ = each_row(body, heap, &mut |row| {
        let mut raw = Vec::new();
        value::to_json(row, heap, &mut raw)?;
        length += raw.len();
        anyhow::ensure!(out.len() < rows_max && length <= bytes_max);
        out.push(serde_json::from_slice(&raw)?);
        Ok(())
    });
    serde_json::Value::Array(out)
}

/// The format that was asked for, else the one before, else what fits.
fn format_of(dataset: &Dataset<'_>, body: Value<'_>) -> Format {
    let asked = dataset.structure.borrow();
    let asked = asked.as_ref().and_then(|structure| structure.get("format"));
    if let Some(format) = asked.and_then(|format| Format::parse(format.as_str()?)) {
        return format;
    }
    if let Some(text) = &*dataset.text.borrow() {
        return text.format;
    }
    match (is_table(body), dataset.before.format()) {
        (true, Some(Format::Json)) => Format::Json,
        (true, Some(Format::Ndjson)) => Format::Ndjson,
        (true, _) => Format::Csv,
        (false, _) => Format::Json,
    }
}

/// Whether a body is rows of values that CSV can carry, as far as the first tells.
fn is_table(body: Value<'_>) -> bool {
    if body.downcast_ref::<Rows>().is_some() || body.downcast_ref::<DataFrame>().is_some() {
        return true;
    }
    let plain = |value: Value<'_>| {
        matches!(
            value.get_type(),
            "NoneType" | "bool" | "int" | "float" | "string"
        )
    };
    let items = ListRef::from_value(body).map(|list| list.content());
    let items = items.or_else(|| TupleRef::from_value(body).map(|tuple| tuple.content()));
    let Some(first) = items.and_then(|items| items.first()) else {
        return false;
    };
    if let Some(dict) = DictRef::from_value(*first) {
        return dict
            .iter()
            .all(|(key, value)| key.unpack_str().is_some() && plain(value));
    }
    let cells = ListRef::from_value(*first).map(|list| list.content());
    let cells = cells.or_else(|| TupleRef::from_value(*first).map(|tuple| tuple.content()));
    match cells {
        Some(cells) => !cells.is_empty() && cells.iter().all(|cell| plain(*cell)),
        None => first.downcast_ref::<Row>().is_some(),
    }
}

fn write_body<'v>(
    dataset: &Dataset<'v>,
    body: Value<'v>,
    format: Format,
    path: &Path,
    heap: Heap<'v>,
) -> anyhow::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 16, File::create(path)?);
    let text = dataset.text.borrow();
    match (&*text, format) {
        (Some(text), _) if text.format == format => to.write_all(&text.raw)?,
        (_, Format::Csv) => Table::new(dataset, &mut to).write(body, heap)?,
        (_, Format::Ndjson) => each_row(body, heap, &mut |row| {
            value::to_json(row, heap, &mut to)?;
            Ok(to.write_all(b"\n")?)
        })?,
        (_, _) => value::to_json(body, heap, &mut to)?,
    }
    Ok(to.flush()?)
}

/// Calls `take` with every row, which is made only then.
fn each_row<'v>(
    body: Value<'v>,
    heap: Heap<'v>,
    take: &mut dyn FnMut(Value<'v>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if let Some(rows) = body.downcast_ref::<Rows>() {
        let mut reader = rows.read()?;
        while let Some(row) = reader.next_row()? {
            take(heap.alloc(row))?;
        }
        return Ok(());
    }
    if let Some(table) = body.downcast_ref::<DataFrame>() {
        return table.each_row(heap, take);
    }
    let rows = body.iterate(heap).map_err(starlark::Error::into_anyhow)?;
    for (index, row) in rows.enumerate() {
        take(row).map_err(|error| anyhow::anyhow!("row {}: {error}", index + 1))?;
    }
    Ok(())
}

/// A CSV text that is being written.
struct Table<'a> {
    to: csv::Writer<&'a mut BufWriter<File>>,
    /// The names of the columns, once they are known.
    names: Vec<String>,
    /// Whether a script gave the names.
    given: bool,
    header_written: bool,
    before: Vec<String>,
}

impl<'a> Table<'a> {
    fn new(dataset: &Dataset<'_>, to: &'a mut BufWriter<File>) -> Self {
        let of = |structure: &serde_json::Map<String, serde_json::Value>| -> Vec<String> {
            let columns = structure
                .get("columns")
                .and_then(|columns| columns.as_array());
            let names = columns.into_iter().flatten();
            let names = names.filter_map(|column| column.get("name")?.as_str());
            names.map(str::to_owned).collect()
        };
        let names = dataset
            .structure
            .borrow()
            .as_ref()
            .map(of)
            .unwrap_or_default();
        let mut before = of(&dataset.before.structure);
        if before.is_empty() {
            before = dataset.names_before();
        }
        Self {
            to: csv::WriterBuilder::new().flexible(false).from_writer(to),
            given: !names.is_empty(),
            names,
            header_written: false,
            before,
        }
    }

    fn write<'v>(&mut self, body: Value<'v>, heap: Heap<'v>) -> anyhow::Result<()> {
        if let Some(rows) = body.downcast_ref::<Rows>()
            && !self.given
        {
            self.names = rows.table().names().map(str::to_owned).collect();
        }
        if let Some(table) = body.downcast_ref::<DataFrame>()
            && !self.given
        {
            self.names = table.names();
        }
        each_row(body, heap, &mut |row| self.row(row, heap))?;
        self.header()?;
        Ok(self.to.flush()?)
    }

    fn header(&mut self) -> anyhow::Result<()> {
        if !self.header_written && !self.names.is_empty() {
            self.to.write_record(&self.names)?;
        }
        self.header_written = true;
        Ok(())
    }

    fn row<'v>(&mut self, row: Value<'v>, heap: Heap<'v>) -> anyhow::Result<()> {
        let mut cell = String::new();
        if let Some(row) = row.downcast_ref::<Row>() {
            let names = || row.names().map(str::to_owned).collect();
            self.begin(row.width(), names)?;
            for column in 0..row.width() {
                self.to.write_field(row.text(column))?;
            }
        } else if let Some(dict) = DictRef::from_value(row) {
            let keys = || dict.keys().map(|key| key.to_str()).collect();
            self.begin(dict.len(), keys)?;
            let known = |key: Value<'v>| {
                let key = key.unpack_str();
                key.is_some_and(|key| self.names.iter().any(|name| name == key))
            };
            if let Some(odd) = dict.keys().find(|key| !known(*key)) {
                anyhow::bail!(
                    "there is no column {}; there are {}",
                    odd.to_repr(),
                    self.names.join(", ")
                );
            }
            for name in &self.names {
                let value = dict.get_str(name).unwrap_or_else(Value::new_none);
                text_of(value, &mut cell)
                    .map_err(|error| anyhow::anyhow!("column {name}: {error}"))?;
                self.to.write_field(&cell)?;
            }
        } else {
            let cells: Vec<Value<'v>> = match row.iterate(heap) {
                Ok(cells) if row.unpack_str().is_none() => cells.collect(),
                _ => anyhow::bail!("a row of CSV is a list or a dict, not a {}", row.get_type()),
            };
            let width = cells.len();
            let before = match self.before.len() == width {
                true => self.before.clone(),
                false => (1..=width)
                    .map(|number| format!("field_{number}"))
                    .collect(),
            };
            self.begin(width, || before)?;
            if width != self.names.len() {
                anyhow::bail!(
                    "it has {width} values, and there are {} columns",
                    self.names.len()
                );
            }
            for (index, value) in cells.into_iter().enumerate() {
                text_of(value, &mut cell)
                    .map_err(|error| anyhow::anyhow!("value {}: {error}", index + 1))?;
                self.to.write_field(&cell)?;
            }
        }
        Ok(self.to.write_record(None::<&[u8]>)?)
    }

    /// Before the first row: names the columns, if nobody did, and writes them.
    fn begin(&mut self, width: usize, names: impl FnOnce() -> Vec<String>) -> anyhow::Result<()> {
        if self.names.is_empty() && width != 0 {
            self.names = names();
        }
        match self.header_written {
            true => Ok(()),
            false => self.header(),
        }
    }
}

/// The text of one value in CSV.
fn text_of(value: Value<'_>, cell: &mut String) -> anyhow::Result<()> {
    cell.clear();
    match value.get_type() {
        "NoneType" => {}
        "bool" => cell.push_str(if value.to_bool() { "true" } else { "false" }),
        "string" => cell.push_str(value.unpack_str().unwrap_or_default()),
        "int" => cell.push_str(&value.to_str()),
        "float" => {
            let float = value.downcast_ref::<starlark::values::float::StarlarkFloat>();
            let float = float.map_or(f64::NAN, |float| float.0);
            if float.is_finite() {
                cell.push_str(&serde_json::to_string(&float)?);
            } else if !float.is_nan() {
                cell.push_str(if float < 0.0 { "-inf" } else { "inf" });
            }
        }
        other => anyhow::bail!(
            "CSV cannot carry a {other}; set_structure({{\"format\": \"json\"}}) writes JSON"
        ),
    }
    Ok(())
}
