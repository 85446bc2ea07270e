//! Rows in another format, or a part of them.
//!
//! The columns are those of the structure, in its order. What CSV cannot tell
//! apart (nothing and an empty text) is the same in it; lists and objects are
//! JSON text in CSV and in Parquet.

mod columnar;

use std::io::{self, Write};

use serde_json::Value;
use strongroom_core::{
    json,
    structure::{Column, Format, RowRange, Structure},
};

use self::columnar::Columnar;
use super::{Body, Cell, TableError, open, places::Places};

/// Writes the rows of `range` to `out`.
///
/// # Errors
///
/// [`TableError::Write`] when nobody takes them any more; what was written by
/// then is a part only.
pub fn write(
    body: Body,
    structure: &Structure,
    range: RowRange,
    to: Format,
    out: impl Write + Send,
) -> Result<(), TableError> {
    let mut rows = open(body)?;
    let names = structure.columns.iter().map(|column| column.name.clone());
    let mut places = Places::of(names);
    let mut sink: Box<dyn Sink + '_> = match to {
        Format::Csv => Box::new(Csv::begin(out, &structure.columns)?),
        Format::Json => Box::new(Json::begin(out, &structure.columns, true)?),
        Format::Ndjson => Box::new(Json::begin(out, &structure.columns, false)?),
        Format::Parquet => Box::new(Columnar::begin(out, &structure.columns)?),
    };
    let mut row = 0u64;
    while row < range.end && rows.advance()? {
        places.look(&*rows);
        if range.first <= row {
            sink.row(&mut places.cells(&*rows))?;
        }
        row += 1;
    }
    sink.end()
}

/// Where rows go.
trait Sink {
    fn row(&mut self, cells: &mut dyn Iterator<Item = &Cell>) -> Result<(), TableError>;

    fn end(self: Box<Self>) -> Result<(), TableError>;
}

struct Csv<'a, W: Write> {
    out: csv::Writer<W>,
    columns: &'a [Column],
}

impl<'a, W: Write> Csv<'a, W> {
    fn begin(out: W, columns: &'a [Column]) -> Result<Self, TableError> {
        let mut out = csv::Writer::from_writer(out);
        out.write_record(columns.iter().map(|column| &column.name))
            .map_err(unwritten)?;
        Ok(Self { out, columns })
    }
}

impl<W: Write> Sink for Csv<'_, W> {
    fn row(&mut self, cells: &mut dyn Iterator<Item = &Cell>) -> Result<(), TableError> {
        for (column, cell) in self.columns.iter().zip(cells) {
            let text = match cell.is_absent(column.kind) {
                true => "".into(),
                false => cell.to_text(),
            };
            self.out.write_field(text.as_bytes()).map_err(unwritten)?;
        }
        self.out.write_record(None::<&[u8]>).map_err(unwritten)
    }

    fn end(mut self: Box<Self>) -> Result<(), TableError> {
        self.out.flush().map_err(TableError::Write)
    }
}

fn unwritten(error: csv::Error) -> TableError {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => TableError::Write(error),
        _ => TableError::Write(io::Error::other(text)),
    }
}

struct Json<'a, W> {
    out: W,
    columns: &'a [Column],
    /// One list, or a row a line.
    list: bool,
    begun: bool,
    line: Vec<u8>,
}

impl<'a, W: Write> Json<'a, W> {
    fn begin(mut out: W, columns: &'a [Column], list: bool) -> Result<Self, TableError> {
        if list {
            out.write_all(b"[").map_err(TableError::Write)?;
        }
        Ok(Self {
            out,
            columns,
            list,
            begun: false,
            line: Vec::new(),
        })
    }
}

impl<W: Write> Sink for Json<'_, W> {
    fn row(&mut self, cells: &mut dyn Iterator<Item = &Cell>) -> Result<(), TableError> {
        self.line.clear();
        if self.list {
            let before: &[u8] = if self.begun { b",\n" } else { b"\n" };
            self.line.extend_from_slice(before);
        }
        self.begun = true;
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            self.line.push(if index == 0 { b'{' } else { b',' });
            let name = Value::String(column.name.clone());
            let value = json::canonical(&cell.to_json(column.kind));
            self.line
                .extend_from_slice(format!("{name}:{value}").as_bytes());
        }
        self.line.push(b'}');
        if !self.list {
            self.line.push(b'\n');
        }
        self.out.write_all(&self.line).map_err(TableError::Write)
    }

    fn end(mut self: Box<Self>) -> Result<(), TableError> {
        if self.list {
            self.out.write_all(b"\n]\n").map_err(TableError::Write)?;
        }
        self.out.flush().map_err(TableError::Write)
    }
}
