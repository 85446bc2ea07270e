//! Rows of CSV.
//!
//! Strict where a guess would change data: every record has as many fields as
//! the first, and all of it is UTF-8. A byte order mark is skipped, line ends
//! may be of either kind, and an empty line is none. Columns without a name
//! get one, and names that are there twice get a number.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
};

use csv::{ByteRecord, ErrorKind, ReaderBuilder};
use strongroom_core::{
    structure::{COLUMN_NAME_LEN_MAX, COLUMNS_MAX, Reading},
    text::shown,
};

use super::{
    Cell, Rows, TableError,
    bounded::{Allowance, Bounded, beyond},
};

/// Read from the disk at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// What is looked at to find what stands between fields.
const SNIFFED_BYTES: usize = 64 * 1024;
const MARK: &[u8] = b"\xef\xbb\xbf";

pub struct CsvRows {
    reader: csv::Reader<Bounded<BufReader<File>>>,
    left: Allowance,
    record: ByteRecord,
    /// The first record, where it is a row.
    first: bool,
    columns: Vec<String>,
    nulls: Vec<String>,
    cells: Vec<Cell>,
    delimiter: u8,
}

impl CsvRows {
    pub fn open(file: File, reading: &Reading) -> Result<Self, TableError> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let start = file.fill_buf().map_err(TableError::Read)?;
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(TableError::body("it is UTF-16; save it as UTF-8"));
        }
        let mark = if start.starts_with(MARK) {
            MARK.len()
        } else {
            0
        };
        let delimiter = match reading.delimiter {
            Some(delimiter) => u8::try_from(delimiter).unwrap_or(b','),
            None => sniffed(&start[mark..start.len().min(SNIFFED_BYTES)]),
        };
        file.consume(mark);
        let (bounded, left) = Bounded::new(file, delimiter);
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(bounded);
        let mut rows = Self {
            reader,
            left,
            record: ByteRecord::new(),
            first: false,
            columns: Vec::new(),
            nulls: reading.nulls.clone(),
            cells: Vec::new(),
            delimiter,
        };
        rows.begin(reading)?;
        Ok(rows)
    }

    fn begin(&mut self, reading: &Reading) -> Result<(), TableError> {
        if !self.read()? {
            return Err(TableError::body("it is empty"));
        }
        let count = self.record.len();
        if COLUMNS_MAX < count {
            return Err(TableError::body(format!(
                "it has {count} columns, more than {COLUMNS_MAX}"
            )));
        }
        let given = reading.columns.as_deref();
        self.columns = match (reading.header, given) {
            (true, _) => names(&self.record)?,
            (false, Some(given)) => given.iter().map(|column| column.name.clone()).collect(),
            (false, None) => (1..=count).map(|n| format!("column_{n}")).collect(),
        };
        self.first = !reading.header;
        self.cells = vec![Cell::Null; self.columns.len()];
        Ok(())
    }

    fn read(&mut self) -> Result<bool, TableError> {
        self.left.renew();
        let read = self.reader.read_byte_record(&mut self.record);
        read.map_err(|error| {
            let line = self.reader.position().line();
            match error.into_kind() {
                ErrorKind::Io(error) => match beyond(&error) {
                    Some(why) => TableError::body(format!("the record in line {line} {why}")),
                    None => TableError::Read(error),
                },
                other => TableError::body(format!("line {line}: {other:?}")),
            }
        })
    }

    /// Which value of a record that is not all text is none.
    fn no_text(&self) -> TableError {
        let fields = self.record.iter().zip(&self.columns);
        let mut wrong = fields.filter(|(field, _)| std::str::from_utf8(field).is_err());
        let column = wrong.next().map_or("", |(_, column)| column);
        let (line, column) = (self.line(), shown(column, 60));
        TableError::body(format!("line {line}: the value of `{column}` is not UTF-8"))
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, |position| position.line())
    }
}

impl Rows for CsvRows {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn cells(&self) -> &[Cell] {
        &self.cells
    }

    fn advance(&mut self) -> Result<bool, TableError> {
        if !std::mem::take(&mut self.first) && !self.read()? {
            return Ok(false);
        }
        let (found, wanted) = (self.record.len(), self.columns.len());
        if found != wanted {
            let line = self.line();
            return Err(TableError::body(format!(
                "line {line} has {found} fields where the first record has {wanted}"
            )));
        }
        // All of it at once, which is quicker than a field at a time.
        let whole = std::str::from_utf8(self.record.as_slice()).ok();
        for index in 0..wanted {
            let place = self.record.range(index);
            match whole.zip(place).and_then(|(whole, place)| whole.get(place)) {
                Some(text) => put(&mut self.cells[index], text, &self.nulls),
                None => return Err(self.no_text()),
            }
        }
        Ok(true)
    }

    fn delimiter(&self) -> Option<char> {
        Some(char::from(self.delimiter))
    }
}

/// Writes a field into its cell, whose memory is used again.
fn put(cell: &mut Cell, text: &str, nulls: &[String]) {
    if text.is_empty() || nulls.iter().any(|null| null == text) {
        *cell = Cell::Null;
        return;
    }
    match cell {
        Cell::Raw(old) => {
            old.clear();
            old.push_str(text);
        }
        other => *other = Cell::Raw(text.to_owned()),
    }
}

fn names(record: &ByteRecord) -> Result<Vec<String>, TableError> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::with_capacity(record.len());
    for (index, raw) in record.iter().enumerate() {
        let number = index + 1;
        let Ok(text) = std::str::from_utf8(raw) else {
            let why = format!("the name of column {number} is not UTF-8");
            return Err(TableError::body(why));
        };
        if COLUMN_NAME_LEN_MAX < text.len() {
            return Err(TableError::body(format!(
                "the name of column {number} is longer than {COLUMN_NAME_LEN_MAX} bytes"
            )));
        }
        let base = match text.trim() {
            "" => format!("column_{number}"),
            name => name.to_owned(),
        };
        let mut name = base.clone();
        for again in 2.. {
            if seen.insert(name.clone()) {
                break;
            }
            name = format!("{base}_{again}");
        }
        names.push(name);
    }
    Ok(names)
}

/// What stands between the fields of the first line: a comma unless there is
/// none and there is something else that could be it.
fn sniffed(start: &[u8]) -> u8 {
    let end = start.iter().position(|byte| *byte == b'\n');
    let mut line = &start[..end.unwrap_or(start.len())];
    let mut text = Vec::new();
    let mut quoted = false;
    let mut byte = [0];
    while let Ok(1) = line.read(&mut byte) {
        quoted ^= byte[0] == b'"';
        if !quoted {
            text.push(byte[0]);
        }
    }
    let has = |wanted: &u8| text.contains(wanted);
    [b',', b'\t', b';', b'|']
        .into_iter()
        .find(has)
        .unwrap_or(b',')
}

impl From<io::Error> for TableError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}
