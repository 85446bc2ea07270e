//! `xlsx.star`: the sheets of an Excel workbook as rows of text.
//!
//! A workbook is a zip archive of XML. Everything in it is unpacked once and
//! counted before it is believed, and cells are placed one by one, so neither
//! a bomb nor a single cell in the last corner of a sheet fills the memory.

use std::{
    fmt,
    io::{Cursor, Read},
    sync::{Mutex, PoisonError},
};

use allocative::Allocative;
use calamine::{DataRef, Reader, Xlsx};
use starlark::{
    any::ProvidesStaticType,
    collections::SmallMap,
    environment::{GlobalsBuilder, Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module, starlark_simple_value,
    values::{NoSerialize, StarlarkValue, Value, starlark_value},
};
use zip::ZipArchive;

use super::{
    bounds::{ARCHIVE_MEMBERS_MAX, SHEET_CELLS_MAX, TEXT_BYTES_MAX, UNPACKED_BYTES_MAX},
    http,
    raw::bytes_of,
    refusal::{Refusal, argument, malformed, too_many_bytes},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("xlsx", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Fetches a workbook; only in the download stage.
    fn get_url<'v>(
        #[starlark(require = pos)] url: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Workbook> {
        Workbook::open(http::fetch(url, eval)?)
    }

    /// Opens a workbook that was read as bytes.
    fn read<'v>(#[starlark(require = pos)] data: Value<'v>) -> starlark::Result<Workbook> {
        Workbook::open(bytes_of("data", data)?.to_vec())
    }
}

/// The rows of a workbook's first sheet.
///
/// # Errors
///
/// When it is no workbook, is too large, or has no sheet.
pub fn first_sheet(raw: &[u8]) -> starlark::Result<Vec<Vec<String>>> {
    let workbook = Workbook::open(raw.to_vec())?;
    let first = workbook.sheets.first().cloned();
    let first = first.ok_or_else(|| malformed("workbook", "it has no sheet"))?;
    workbook.rows(&first)
}

/// An opened workbook.
#[derive(ProvidesStaticType, NoSerialize, Allocative)]
pub struct Workbook {
    #[allocative(skip)]
    opened: Mutex<Xlsx<Cursor<Vec<u8>>>>,
    sheets: Vec<String>,
}

starlark_simple_value!(Workbook);

impl fmt::Debug for Workbook {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

impl fmt::Display for Workbook {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "<workbook of {} sheets>", self.sheets.len())
    }
}

impl Workbook {
    fn open(raw: Vec<u8>) -> starlark::Result<Self> {
        let raw = bounded(raw)?;
        let opened = Xlsx::new(Cursor::new(raw)).map_err(|error| malformed("workbook", error))?;
        let sheets = opened.sheet_names();
        let opened = Mutex::new(opened);
        Ok(Self { opened, sheets })
    }

    fn rows(&self, sheet: &str) -> starlark::Result<Vec<Vec<String>>> {
        if !self.sheets.iter().any(|name| name == sheet) {
            return Err(argument(format!("the workbook has no sheet {sheet:?}")));
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cells = opened
            .worksheet_cells_reader(sheet)
            .map_err(|error| malformed("workbook", error))?;
        let mut rows = Rows::default();
        while let Some(cell) = cells
            .next_cell()
            .map_err(|error| malformed("workbook", error))?
        {
            rows.place(cell.get_position(), shown(cell.get_value()))?;
        }
        Ok(rows.rows)
    }
}

/// Rows that grow to the cells that are placed, and no further than the bound.
#[derive(Default)]
struct Rows {
    rows: Vec<Vec<String>>,
    cells: u64,
    text_bytes: usize,
}

impl Rows {
    fn place(&mut self, (row, column): (u32, u32), text: String) -> starlark::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let (row, column) = (row as usize, column as usize);
        self.text_bytes += text.len();
        if TEXT_BYTES_MAX < self.text_bytes {
            return Err(too_many_bytes("the text of the sheet", TEXT_BYTES_MAX));
        }
        let rows_added = (row + 1).saturating_sub(self.rows.len());
        let width = self.rows.get(row).map_or(0, Vec::len);
        let cells_added = (column + 1).saturating_sub(width);
        self.cells += (rows_added + cells_added) as u64;
        if SHEET_CELLS_MAX < self.cells {
            return Err(Refusal::TooLarge {
                what: "the sheet",
                size_max: SHEET_CELLS_MAX,
                unit: "cells",
            }
            .into());
        }
        let height = self.rows.len() + rows_added;
        self.rows.resize_with(height, Vec::new);
        let cells = &mut self.rows[row];
        cells.resize(width + cells_added, String::new());
        cells[column] = text;
        Ok(())
    }
}

fn shown(cell: &DataRef<'_>) -> String {
    match cell {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(truth) => if *truth { "TRUE" } else { "FALSE" }.to_owned(),
        DataRef::DateTime(moment) => moment.as_f64().to_string(),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// Unpacks every member once to see how large they are in truth.
fn bounded(raw: Vec<u8>) -> starlark::Result<Vec<u8>> {
    let bad = |error| malformed("workbook", error);
    let mut archive = ZipArchive::new(Cursor::new(raw)).map_err(bad)?;
    if ARCHIVE_MEMBERS_MAX < archive.len() {
        return Err(malformed("workbook", "it has too many members"));
    }
    let mut left = UNPACKED_BYTES_MAX as u64;
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(bad)?;
        let read = std::io::copy(&mut member.take(left + 1), &mut std::io::sink());
        let size = read.map_err(|error| malformed("workbook", error))?;
        left = left
            .checked_sub(size)
            .ok_or_else(|| too_many_bytes("the workbook", UNPACKED_BYTES_MAX))?;
    }
    Ok(archive.into_inner().into_inner())
}

starlark::methods_static!(WORKBOOK_METHODS = methods);

#[starlark_value(type = "xlsx_file")]
impl<'v> StarlarkValue<'v> for Workbook {
    fn get_methods() -> Option<&'static Methods> {
        Some(WORKBOOK_METHODS.methods())
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    /// The names of the sheets by their number, from 1.
    fn get_sheets(this: &Workbook) -> starlark::Result<SmallMap<i32, String>> {
        Ok((1..).zip(this.sheets.iter().cloned()).collect())
    }

    /// All rows of a sheet up to the last cell that is not empty.
    fn get_rows(
        this: &Workbook,
        #[starlark(require = pos)] sheetname: &str,
    ) -> starlark::Result<Vec<Vec<String>>> {
        this.rows(sheetname)
    }
}
