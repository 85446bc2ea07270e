//! What was given of a structure, and has to hold in every row.

use serde_json::{Map, Value};
use strongroom_core::{
    json,
    schema::{self, Compiled},
    structure::{Column, ColumnType, Format, Reading},
    text::shown,
};

use super::{Cell, Rows, TableError, profile::compiled};

/// What the rows of a body may come to, checked against a schema: schemas
/// times values. Others wait for their bodies to be read.
const SCHEMA_WORK_MAX: u64 = 20_000_000_000;
/// The most characters of a value that a fault shows.
const VALUE_CHARS_MAX: usize = 60;

/// The laws of one body.
pub struct Laws<'a> {
    reading: &'a Reading,
    schema: Option<Compiled>,
    /// Schemas inside the schema, with every reference written out.
    schema_nodes: u64,
    /// What may still be checked against it.
    work_left: u64,
    /// Columns of the rows that were looked at.
    known: usize,
    /// The types of the rows' columns, in their order.
    kinds: Vec<ColumnType>,
}

/// What breaks a law in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    pub column: Option<String>,
    pub why: String,
}

impl<'a> Laws<'a> {
    pub fn of(reading: &'a Reading) -> Result<Self, TableError> {
        let weight = reading.schema.as_ref().map(schema::weigh).transpose();
        let weight = weight.map_err(TableError::Asked)?.unwrap_or_default();
        Ok(Self {
            schema: compiled(reading)?,
            reading,
            schema_nodes: weight.nodes,
            work_left: SCHEMA_WORK_MAX,
            known: 0,
            kinds: Vec::new(),
        })
    }

    /// Whether the columns that a body begins with are those that were given.
    pub fn names(&mut self, rows: &dyn Rows) -> Result<(), TableError> {
        let Some(given) = &self.reading.columns else {
            return Ok(());
        };
        if matches!(self.reading.format, Format::Json | Format::Ndjson) {
            return Ok(());
        }
        let found = rows.columns();
        self.known = found.len();
        for (index, (column, name)) in given.iter().zip(found).enumerate() {
            if column.name != *name {
                let (name, wanted) = (shown(name, 80), shown(&column.name, 80));
                return Err(TableError::body(format!(
                    "column {} is `{name}` where the structure says `{wanted}`",
                    index + 1
                )));
            }
        }
        match (found.len(), given.len()) {
            (found, given) if found == given => Ok(()),
            (found, given) => Err(TableError::body(format!(
                "it has {found} columns where the structure says {given}"
            ))),
        }
    }

    /// Whether columns that a row brought are among those that were given.
    pub fn later_names(&mut self, row: u64, rows: &dyn Rows) -> Result<(), TableError> {
        let (Some(given), found) = (&self.reading.columns, rows.columns()) else {
            return Ok(());
        };
        for name in &found[self.known.min(found.len())..] {
            if !given.iter().any(|column| column.name == *name) {
                let name = shown(name, 80);
                let why = format!("row {row} has `{name}`, which is not in the structure");
                return Err(TableError::body(why));
            }
        }
        self.known = found.len();
        Ok(())
    }

    pub fn value(&self, row: u64, column: &Column, cell: &Cell) -> Result<(), TableError> {
        match breach(column, cell) {
            None => Ok(()),
            Some(why) => {
                let name = shown(&column.name, 80);
                Err(TableError::body(format!("row {row}, `{name}`: {why}")))
            }
        }
    }

    pub fn schema(&mut self, row: u64, rows: &dyn Rows) -> Result<(), TableError> {
        match self.schema_breach(rows)? {
            None => Ok(()),
            Some(breach) => Err(TableError::body(format!("row {row}: {}", breach.why))),
        }
    }

    /// How a row breaks the schema, if it does.
    ///
    /// # Errors
    ///
    /// [`TableError::TooMuch`] when all rows together are too much to check.
    pub fn schema_breach(&mut self, rows: &dyn Rows) -> Result<Option<Breach>, TableError> {
        let Some(compiled) = &self.schema else {
            return Ok(None);
        };
        for name in &rows.columns()[self.kinds.len()..] {
            self.kinds.push(kind(self.reading, name));
        }
        let mut row = Map::new();
        for ((name, cell), kind) in rows.columns().iter().zip(rows.cells()).zip(&self.kinds) {
            row.insert(name.clone(), cell.to_json(*kind));
        }
        let row = Value::Object(row);
        let work = self.schema_nodes.saturating_mul(json::count(&row));
        self.work_left = self.work_left.checked_sub(work).ok_or_else(|| {
            TableError::TooMuch("its rows are too many for so large a schema".to_owned())
        })?;
        let Err(fault) = compiled.check(&row) else {
            return Ok(None);
        };
        let column = fault.place.strip_prefix('/').map(str::to_owned);
        let why = shown(&format!("{}: {}", fault.place, fault.why), 300);
        Ok(Some(Breach { column, why }))
    }
}

/// The type that was given of a column.
fn kind(reading: &Reading, name: &str) -> ColumnType {
    let given = reading.columns.iter().flatten();
    let mut named = given.filter(|column| column.name == name);
    named.next().map_or(ColumnType::Any, |column| column.kind)
}

/// How a value breaks what its column says, if it does.
pub fn breach(column: &Column, cell: &Cell) -> Option<String> {
    match cell {
        cell if !column.nullable && cell.is_absent(column.kind) => {
            Some("a value is absent".to_owned())
        }
        cell if cell.is(column.kind) => None,
        cell => {
            let value = shown(&cell.to_text(), VALUE_CHARS_MAX);
            Some(format!("`{value}` is no {}", column.kind.as_str()))
        }
    }
}
