//! Rows of bodies: read, counted, checked, compared and written again.
//!
//! A body is a file from a stranger, of any size. It is read once from its
//! beginning, a row at a time and in bounded memory, on a thread that may
//! wait; whatever is wrong with it is told with its place. Absent on purpose:
//! any guess at what a damaged file may have meant.

mod bounded;
mod cell;
mod check;
mod csv;
mod diff;
mod json;
mod laws;
mod parquet;
mod places;
mod profile;
mod sketch;
mod tallies;
mod tally;
mod write;

use std::fs::File;

use strongroom_core::structure::{Format, Reading};
use tokio_util::sync::CancellationToken;

pub use self::{
    cell::Cell,
    check::{Fault, check},
    diff::{Matching, Side, diff},
    profile::profile,
    write::write,
};

/// The longest record, in bytes as it is written.
pub const RECORD_BYTES_MAX: u64 = 16 << 20;
/// Rows between two looks at whether somebody still wants them.
const ROWS_BETWEEN_LOOKS: u64 = 1024;

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The body is at fault.
    #[error("{0}")]
    Body(String),
    /// The body, or what was asked of it, takes more than it may.
    #[error("{0}")]
    TooMuch(String),
    /// What was asked does not fit the body.
    #[error("{0}")]
    Asked(String),
    #[error("could not read the body")]
    Read(#[source] std::io::Error),
    /// Whoever takes the rows has gone away.
    #[error("could not pass rows on")]
    Write(#[source] std::io::Error),
    #[error("it was given up")]
    Stopped,
}

impl TableError {
    fn body(why: impl Into<String>) -> Self {
        Self::Body(why.into())
    }
}

/// A body that is open, and how to read it.
#[derive(Debug)]
pub struct Body {
    pub file: File,
    pub reading: Reading,
    /// Ends the reading.
    pub stop: CancellationToken,
}

/// Rows, one after another.
pub trait Rows {
    /// Goes to the next row; whether there is one.
    fn advance(&mut self) -> Result<bool, TableError>;

    /// The columns that are known by now. More may come with later rows.
    fn columns(&self) -> &[String];

    /// The values of this row, one for each column that is known.
    fn cells(&self) -> &[Cell];

    /// What was found to stand between the fields, in CSV.
    fn delimiter(&self) -> Option<char> {
        None
    }
}

/// Opens a body's rows.
pub fn open(body: Body) -> Result<Box<dyn Rows>, TableError> {
    let Body {
        file,
        reading,
        stop,
    } = body;
    let rows: Box<dyn Rows> = match reading.format {
        Format::Csv => Box::new(csv::CsvRows::open(file, &reading)?),
        Format::Json => Box::new(json::JsonRows::list(file, &reading)?),
        Format::Ndjson => Box::new(json::JsonRows::lines(file, &reading)),
        Format::Parquet => Box::new(parquet::ParquetRows::open(file)?),
    };
    Ok(Box::new(Watched {
        rows,
        stop,
        count: 0,
    }))
}

/// Rows that end when nobody wants them any more.
struct Watched {
    rows: Box<dyn Rows>,
    stop: CancellationToken,
    count: u64,
}

impl Rows for Watched {
    fn advance(&mut self) -> Result<bool, TableError> {
        self.count += 1;
        if self.count.is_multiple_of(ROWS_BETWEEN_LOOKS) && self.stop.is_cancelled() {
            return Err(TableError::Stopped);
        }
        self.rows.advance()
    }

    fn columns(&self) -> &[String] {
        self.rows.columns()
    }

    fn cells(&self) -> &[Cell] {
        self.rows.cells()
    }

    fn delimiter(&self) -> Option<char> {
        self.rows.delimiter()
    }
}

#[cfg(test)]
#[path = "table/table_tests.rs"]
mod tests;
