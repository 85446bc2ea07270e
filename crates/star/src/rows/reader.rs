//! Reads the rows of a table one after another, a block at a time.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek},
    sync::Arc,
};

use super::{
    Row,
    table::{BLOCK_BYTES_MAX, BLOCK_ROWS, Content, Table, TableError, line_of},
};

/// Some rows, as text.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) table: Arc<Table>,
    text: String,
    /// Where each field ends.
    ends: Vec<usize>,
}

impl Block {
    pub(super) fn field(&self, row: u32, column: usize) -> &str {
        let at = row as usize * self.table.columns.len() + column;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    fn rows(&self) -> usize {
        self.ends.len() / self.table.columns.len()
    }
}

/// What is read from, at a place of its own.
pub(super) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

pub(super) type Records = csv::Reader<Box<dyn ReadSeek>>;

fn opened(content: &Content) -> io::Result<Box<dyn ReadSeek>> {
    Ok(match content {
        Content::File(path) => Box::new(File::open(path)?),
        Content::Text(text) => Box::new(Cursor::new(Arc::clone(text))),
    })
}

pub(super) fn records(content: &Content, delimiter: u8) -> Result<Records, TableError> {
    // It goes over a byte order mark by itself.
    Ok(csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(1 << 16)
        .from_reader(opened(content)?))
}

/// The sign that the first line has most of, a comma when it has none.
pub(super) fn found_delimiter(content: &Content) -> Result<u8, TableError> {
    let mut line = Vec::new();
    let from = BufReader::new(opened(content)?);
    from.take(1 << 16).read_until(b'\n', &mut line)?;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in line {
        quoted ^= byte == b'"';
        for (delimiter, count) in &mut counts {
            *count += usize::from(!quoted && byte == *delimiter);
        }
    }
    let most = counts.iter().rev().max_by_key(|(_, count)| *count);
    Ok(most.map_or(b',', |(delimiter, _)| *delimiter))
}

/// Reads rows one after another.
pub struct Reader {
    table: Arc<Table>,
    records: Records,
    record: csv::ByteRecord,
    block: Option<Arc<Block>>,
    next: u32,
    /// How many rows are still to come.
    left: u64,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// Stands before the row `number`, counted from 0.
    pub(super) fn at(table: &Arc<Table>, number: u64) -> Result<Self, TableError> {
        let mut records = records(&table.content, table.delimiter)?;
        if let Some(mark) = table.marks.get((number / BLOCK_ROWS) as usize) {
            records.seek(mark.clone())?;
        }
        let mut reader = Self {
            table: Arc::clone(table),
            records,
            record: csv::ByteRecord::new(),
            block: None,
            next: 0,
            left: table.count.saturating_sub(number),
        };
        if reader.left != 0 {
            reader.left += number % BLOCK_ROWS;
            for _ in 0..number % BLOCK_ROWS {
                reader.next_row()?;
            }
        }
        Ok(reader)
    }

    /// The next row, or `None` after the last.
    pub fn next_row(&mut self) -> Result<Option<Row>, TableError> {
        let rows = self.block.as_ref().map_or(0, |block| block.rows());
        let at_end = self.next as usize == rows;
        if self.left == 0 || (at_end && !self.fill()?) {
            return Ok(None);
        }
        self.left -= 1;
        let block = self.block.as_ref().expect("it was filled");
        let row = Row::new(Arc::clone(block), self.next);
        self.next += 1;
        Ok(Some(row))
    }

    /// Reads the next block; `false` when there is none.
    fn fill(&mut self) -> Result<bool, TableError> {
        let columns = self.table.columns.len();
        let mut text = Vec::with_capacity(1 << 14);
        let mut ends = Vec::with_capacity(BLOCK_ROWS as usize * columns);
        while ends.len() < BLOCK_ROWS as usize * columns && text.len() < BLOCK_BYTES_MAX {
            if !self.records.read_byte_record(&mut self.record)? {
                break;
            }
            self.table.check_width(&self.record)?;
            let start = text.len();
            text.extend_from_slice(self.record.as_slice());
            let ranges = (0..columns).filter_map(|column| self.record.range(column));
            ends.extend(ranges.map(|range| start + range.end));
        }
        let line = line_of(&self.record);
        let text = String::from_utf8(text).map_err(|_| TableError::NotText(line))?;
        self.next = 0;
        let some = !ends.is_empty();
        self.block = Some(Arc::new(Block {
            table: Arc::clone(&self.table),
            text,
            ends,
        }));
        Ok(some)
    }
}
