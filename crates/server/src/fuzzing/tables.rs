//! Laws of bodies: whatever a file is, reading its rows ends, with a reason or
//! with rows; and what was found in it holds when it is read again by it.

use std::{
    io::{Seek as _, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
};

use strongroom_core::structure::{Format, Reading, RowRange};
use tokio_util::sync::CancellationToken;

use crate::table::{self, Body, TableError};

pub fn csv_tables(bytes: &[u8]) {
    read(Format::Csv, bytes);
}

pub fn json_tables(bytes: &[u8]) {
    read(Format::Json, bytes);
}

pub fn ndjson_tables(bytes: &[u8]) {
    read(Format::Ndjson, bytes);
}

/// The library that decodes Parquet may give up on a damaged page, which a
/// station notices and takes for a body without rows.
pub fn parquet_tables(bytes: &[u8]) {
    let from = body(bytes, plain(Format::Parquet));
    let found = catch_unwind(AssertUnwindSafe(|| table::profile(from)));
    if let Ok(Err(error)) = found {
        told(&error);
    }
}

fn read(format: Format, bytes: &[u8]) {
    let (structure, statistics) = match table::profile(body(bytes, plain(format))) {
        Ok(found) => found,
        Err(error) => return told(&error),
    };
    assert_eq!(structure.columns.len(), statistics.columns.len());
    let mut lines = Vec::new();
    let whole: RowRange = "0..".parse().unwrap();
    let from = body(bytes, plain(format));
    table::write(from, &structure, whole, Format::Ndjson, &mut lines).unwrap();
    let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(count, statistics.rows);
    let again = Reading {
        delimiter: structure.delimiter,
        columns: Some(structure.columns),
        ..plain(format)
    };
    let (_, held) = table::profile(body(bytes, again)).unwrap();
    assert_eq!(held.rows, statistics.rows);
}

fn told(error: &TableError) {
    let (TableError::Body(why) | TableError::TooMuch(why)) = error else {
        panic!("{error:?}");
    };
    assert!(!why.contains(char::is_control) && why.len() < 2000, "{why}");
}

fn plain(format: Format) -> Reading {
    Reading {
        format,
        delimiter: None,
        header: true,
        nulls: Vec::new(),
        columns: None,
        schema: None,
    }
}

fn body(bytes: &[u8], reading: Reading) -> Body {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Body {
        file,
        reading,
        stop: CancellationToken::new(),
    }
}
