//! A CSV text: how it is read, what its columns are, and where its rows begin.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use super::{
    found::Found,
    reader::{found_delimiter, records},
};

/// How many rows are read at once.
pub(super) const BLOCK_ROWS: u64 = 256;
/// The most text in one block of rows, and in one row.
pub(super) const BLOCK_BYTES_MAX: usize = 64 << 20;
/// The most columns, as the station has it.
const COLUMNS_MAX: usize = 2000;

/// Where the text is.
#[derive(Clone, Debug)]
pub enum Content {
    File(PathBuf),
    Text(Arc<[u8]>),
}

/// What is known of a text before it is read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Found in the first line when it is absent.
    pub delimiter: Option<u8>,
    pub no_header: bool,
    /// What stands for an absent value, beside nothing at all.
    pub nulls: Vec<String>,
    /// Types that are known by the names of their columns.
    pub kinds: HashMap<String, Kind>,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
}

/// Why a text has no rows.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("could not read the body: {0}")]
    Io(#[from] io::Error),
    #[error("the body is not CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("the body is not CSV: line {line} has {found} fields, and the first has {columns}")]
    Ragged {
        line: u64,
        found: usize,
        columns: usize,
    },
    #[error("the body is not UTF-8 near line {0}")]
    NotText(u64),
    #[error("a row near line {0} is longer than {BLOCK_BYTES_MAX} bytes")]
    TooLong(u64),
    #[error("the body has {0} columns, more than {COLUMNS_MAX}")]
    TooWide(usize),
}

/// A CSV text that was read once.
#[derive(Debug)]
pub struct Table {
    pub(super) content: Content,
    pub(super) delimiter: u8,
    nulls: Vec<String>,
    pub columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    pub count: u64,
    /// Where every block begins.
    pub(super) marks: Vec<csv::Position>,
}

impl Table {
    /// Reads the whole text once.
    ///
    /// # Errors
    ///
    /// [`TableError`]: the text is at fault, or the disk.
    pub fn open(content: Content, reading: &Reading) -> Result<Self, TableError> {
        let delimiter = match reading.delimiter {
            Some(delimiter) => delimiter,
            None => found_delimiter(&content)?,
        };
        let mut table = Self {
            content,
            delimiter,
            nulls: reading.nulls.clone(),
            columns: Vec::new(),
            by_name: HashMap::new(),
            count: 0,
            marks: Vec::new(),
        };
        table.look_through(reading)?;
        Ok(table)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Whether a text stands for no value. Where columns hold text, an empty
    /// one is a text.
    pub(crate) fn is_null(&self, text: &str, kind: Kind) -> bool {
        (text.is_empty() && kind != Kind::Text) || self.nulls.iter().any(|null| null == text)
    }

    fn look_through(&mut self, reading: &Reading) -> Result<(), TableError> {
        let mut records = records(&self.content, self.delimiter)?;
        let mut record = csv::ByteRecord::new();
        let mut start = records.position().clone();
        if !records.read_byte_record(&mut record)? {
            return Ok(());
        }
        check_text(&record)?;
        self.name_columns(&record, reading)?;
        let mut found = vec![Found::Nothing; self.columns.len()];
        if reading.no_header {
            self.look_at(&record, start, &mut found)?;
        }
        loop {
            start = records.position().clone();
            if !records.read_byte_record(&mut record)? {
                break;
            }
            self.look_at(&record, start, &mut found)?;
        }
        for (column, found) in self.columns.iter_mut().zip(found) {
            let known = reading.kinds.get(&column.name);
            column.kind = known.copied().unwrap_or_else(|| found.kind());
        }
        Ok(())
    }

    fn look_at(
        &mut self,
        record: &csv::ByteRecord,
        start: csv::Position,
        found: &mut [Found],
    ) -> Result<(), TableError> {
        self.check_width(record)?;
        check_text(record)?;
        if self.count.is_multiple_of(BLOCK_ROWS) {
            self.marks.push(start);
        }
        self.count += 1;
        for (found, text) in found.iter_mut().zip(record) {
            if *found != Found::Text && !self.means_nothing(text) {
                *found = found.with(text);
            }
        }
        Ok(())
    }

    fn name_columns(
        &mut self,
        first: &csv::ByteRecord,
        reading: &Reading,
    ) -> Result<(), TableError> {
        if COLUMNS_MAX < first.len() {
            return Err(TableError::TooWide(first.len()));
        }
        for (index, text) in first.iter().enumerate() {
            let name = match reading.no_header {
                true => format!("field_{}", index + 1),
                false => String::from_utf8_lossy(text).into_owned(),
            };
            self.by_name.entry(name.clone()).or_insert(index);
            self.columns.push(Column {
                name,
                kind: Kind::Text,
            });
        }
        Ok(())
    }

    pub(super) fn check_width(&self, record: &csv::ByteRecord) -> Result<(), TableError> {
        let (found, columns) = (record.len(), self.columns.len());
        match found == columns {
            true => Ok(()),
            false => Err(TableError::Ragged {
                line: line_of(record),
                found,
                columns,
            }),
        }
    }

    fn means_nothing(&self, text: &[u8]) -> bool {
        text.is_empty() || self.nulls.iter().any(|null| null.as_bytes() == text)
    }
}

pub(super) fn line_of(record: &csv::ByteRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn check_text(record: &csv::ByteRecord) -> Result<(), TableError> {
    if BLOCK_BYTES_MAX < record.as_slice().len() {
        return Err(TableError::TooLong(line_of(record)));
    }
    // The fields one by one, since a sign must not lie across two of them.
    let whole =
        record.as_slice().is_ascii() || record.iter().all(|text| std::str::from_utf8(text).is_ok());
    match whole {
        true => Ok(()),
        false => Err(TableError::NotText(line_of(record))),
    }
}
