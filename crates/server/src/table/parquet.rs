//! Rows of Parquet.
//!
//! The library that decodes it believes what a file declares, so footer and
//! page headers are looked at first: how deep, how many, how long once
//! unpacked. What is open at once has one bound over all columns. Values of a
//! struct are columns of their own, named with a dot; lists and maps have no
//! place in a row and are refused by name.

mod leaf;
mod pages;
mod thrift;

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{Arc, atomic::AtomicU64},
};

use ::parquet::{
    column::page::PageReader,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        serialized_reader::SerializedPageReader,
    },
};
use strongroom_core::{
    structure::{COLUMN_NAME_LEN_MAX, COLUMNS_MAX},
    text::shown,
};

use self::{leaf::Leaf, pages::Chunks, thrift::Seen};
use super::{Cell, Rows, TableError};

/// The longest footer, in bytes.
const FOOTER_BYTES_MAX: u64 = 16 << 20;
/// The most parts of columns, one for each row group, and the most structures
/// of any kind in a footer: the library takes some hundred bytes of memory for
/// one, however few of the file it is.
const CHUNKS_MAX: usize = 100_000;
const STRUCTURES_MAX: usize = 1_000_000;
/// The deepest schema.
const DEPTH_MAX: usize = 32;
/// The most cells for one byte of the file, beside those any file may have: a
/// few bytes can say that a value comes a milliard times.
const CELLS_PER_BYTE_MAX: u64 = 64;
const CELLS_ANYWAY: u64 = 4 << 20;
const MAGIC: &[u8; 4] = b"PAR1";

pub struct ParquetRows {
    file: Arc<File>,
    metadata: ParquetMetaData,
    columns: Vec<String>,
    /// The next row group.
    group: usize,
    rows_left: u64,
    leaves: Vec<Box<dyn Leaf>>,
    cells: Vec<Cell>,
    /// What is open of all columns.
    held: Arc<AtomicU64>,
}

impl ParquetRows {
    pub fn open(file: File) -> Result<Self, TableError> {
        let length = file.metadata()?.len();
        let footer = footer(&file, length)?;
        survey(&footer)?;
        let metadata = ParquetMetaDataReader::decode_metadata(&footer).map_err(damaged)?;
        let columns = columns(&metadata)?;
        check_groups(&metadata, columns.len(), length)?;
        Ok(Self {
            file: Arc::new(file),
            metadata,
            cells: vec![Cell::Null; columns.len()],
            columns,
            group: 0,
            rows_left: 0,
            leaves: Vec::new(),
            held: Arc::default(),
        })
    }

    /// Opens the next row group; whether there is one.
    fn next_group(&mut self) -> Result<bool, TableError> {
        self.leaves.clear();
        let Some(group) = self.metadata.row_groups().get(self.group) else {
            return Ok(false);
        };
        self.group += 1;
        self.rows_left = u64::try_from(group.num_rows()).unwrap_or(0);
        let open = |column| opened(&self.file, &self.held, group, column);
        self.leaves = group.columns().iter().map(open).collect::<Result<_, _>>()?;
        Ok(true)
    }
}

impl Rows for ParquetRows {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn cells(&self) -> &[Cell] {
        &self.cells
    }

    fn advance(&mut self) -> Result<bool, TableError> {
        while self.rows_left == 0 {
            if !self.next_group()? {
                return Ok(false);
            }
        }
        self.rows_left -= 1;
        for (leaf, cell) in self.leaves.iter_mut().zip(&mut self.cells) {
            *cell = leaf.next()?;
        }
        Ok(true)
    }
}

/// What the library, or we, found wrong with a file.
pub(super) fn damaged(why: impl std::fmt::Display) -> TableError {
    let why = shown(&why.to_string(), 300);
    TableError::body(format!("it is no whole Parquet file: {why}"))
}

fn footer(file: &File, length: u64) -> Result<Vec<u8>, TableError> {
    let (mut head, mut tail) = ([0; 4], [0; 8]);
    if length < 12 {
        return Err(damaged("it is too short"));
    }
    file.read_exact_at(&mut head, 0)?;
    file.read_exact_at(&mut tail, length - 8)?;
    if head != *MAGIC || tail[4..] != *MAGIC {
        return Err(damaged("it does not begin and end with PAR1"));
    }
    let bytes = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if FOOTER_BYTES_MAX < bytes {
        let most = FOOTER_BYTES_MAX >> 20;
        return Err(damaged(format!("its footer is longer than {most} MiB")));
    }
    let start = (length - 8).checked_sub(bytes).filter(|start| 4 <= *start);
    let start = start.ok_or_else(|| damaged("its footer is longer than the file"))?;
    let mut footer = vec![0; usize::try_from(bytes).unwrap_or_default()];
    file.read_exact_at(&mut footer, start)?;
    Ok(footer)
}

/// Whether a footer is well formed, its schema neither deep nor wide, and what
/// it describes not too much to be held.
fn survey(footer: &[u8]) -> Result<(), TableError> {
    let mut children = None;
    let (mut open, mut leaves, mut wrong) = (Vec::<i64>::new(), 0usize, None);
    let mut begun = false;
    let (mut structures, mut chunks) = (0, 0);
    thrift::walk(footer, &mut |path, seen| {
        if seen == Seen::End {
            structures += 1;
            chunks += usize::from(path == [4, 1]);
        }
        match (path, seen) {
            ([2, 5], Seen::Number(count)) => children = Some(count),
            ([2], Seen::End) => {
                let count = children.take().unwrap_or(0);
                if begun {
                    match open.last_mut() {
                        Some(left) => *left -= 1,
                        None => wrong = Some("its schema has more than one root"),
                    }
                }
                begun = true;
                if 0 < count {
                    open.push(count);
                } else {
                    leaves += 1;
                }
                while open.last() == Some(&0) {
                    open.pop();
                }
                if DEPTH_MAX < open.len() {
                    wrong = Some("its schema is too deep");
                }
                if COLUMNS_MAX < leaves {
                    wrong = Some("it has more than 2000 columns");
                }
            }
            _ => {}
        }
    })
    .map_err(damaged)?;
    if CHUNKS_MAX < chunks || STRUCTURES_MAX < structures {
        return Err(TableError::body(format!(
            "its footer describes {chunks} parts of columns by {structures} structures, more than \
             {CHUNKS_MAX} or {STRUCTURES_MAX}; write larger row groups"
        )));
    }
    match wrong {
        Some(why) => Err(damaged(why)),
        None => Ok(()),
    }
}

fn columns(metadata: &ParquetMetaData) -> Result<Vec<String>, TableError> {
    let schema = metadata.file_metadata().schema_descr();
    let mut names = Vec::with_capacity(schema.num_columns());
    let mut seen = std::collections::BTreeSet::new();
    for column in schema.columns() {
        let name = column.path().parts().join(".");
        let named = shown(&name, 80);
        if 0 < column.max_rep_level() {
            let top = shown(&column.path().parts()[0], 80);
            return Err(TableError::body(format!(
                "`{top}` holds lists or maps, which have no place in a row of a table"
            )));
        }
        if COLUMN_NAME_LEN_MAX < name.len() || name.is_empty() {
            let why = format!("a column's name has from 1 to {COLUMN_NAME_LEN_MAX} bytes");
            return Err(TableError::body(format!("`{named}`: {why}")));
        }
        if !seen.insert(name.clone()) {
            return Err(TableError::body(format!("two columns are named `{named}`")));
        }
        names.push(name);
    }
    match names.is_empty() {
        true => Err(TableError::body("it has no columns")),
        false => Ok(names),
    }
}

/// Whether what the row groups declare can be true.
fn check_groups(metadata: &ParquetMetaData, columns: usize, length: u64) -> Result<(), TableError> {
    let most = length
        .saturating_mul(CELLS_PER_BYTE_MAX)
        .saturating_add(CELLS_ANYWAY);
    let mut cells = 0u64;
    for group in metadata.row_groups() {
        let Ok(rows) = u64::try_from(group.num_rows()) else {
            return Err(damaged("a row group has fewer rows than none"));
        };
        if group.num_columns() != columns {
            return Err(damaged("a row group lacks columns"));
        }
        cells = cells.saturating_add(rows.saturating_mul(columns as u64));
        if most < cells {
            return Err(TableError::body(format!(
                "its {length} bytes unfold to more than {most} values"
            )));
        }
        for column in group.columns() {
            check_place(column, length)?;
        }
    }
    Ok(())
}

fn check_place(column: &ColumnChunkMetaData, length: u64) -> Result<(), TableError> {
    let start = column
        .dictionary_page_offset()
        .unwrap_or_else(|| column.data_page_offset());
    let end = match (
        u64::try_from(start),
        u64::try_from(column.compressed_size()),
    ) {
        (Ok(start), Ok(bytes)) => start.checked_add(bytes),
        _ => None,
    };
    match end {
        Some(end) if end <= length => Ok(()),
        _ => Err(damaged("a column lies outside of the file")),
    }
}

fn opened(
    file: &Arc<File>,
    held: &Arc<AtomicU64>,
    group: &RowGroupMetaData,
    column: &ColumnChunkMetaData,
) -> Result<Box<dyn Leaf>, TableError> {
    let chunks = Arc::new(Chunks::new(file, held, column.compression())?);
    let rows = usize::try_from(group.num_rows()).unwrap_or(0);
    let pages = SerializedPageReader::new(chunks, column, rows, None).map_err(damaged)?;
    let pages: Box<dyn PageReader> = Box::new(pages);
    leaf::open(column.column_descr_ptr(), pages)
}
