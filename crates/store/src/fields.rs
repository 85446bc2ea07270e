//! The fields of a row, read into core's types.
//!
//! What breaks core's laws is [`StoreError::Corrupt`] with the column's name,
//! never a default. Text that comes from outside is bound through
//! [`without_nul`], because PostgreSQL has no NUL character.

use std::{borrow::Cow, fmt::Display, str::FromStr, sync::Arc};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// The names of a row's columns, shared by all rows of one answer.
pub(crate) type Columns = Arc<[String]>;

/// One field.
#[derive(Debug)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Number(i64),
}

impl FromSql for Cell {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(number) => Ok(Self::Number(number)),
            ValueRef::Text(_) => Ok(Self::Text(value.as_str()?.to_owned())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// One row.
#[derive(Debug)]
pub(crate) struct Fields {
    columns: Columns,
    cells: Vec<Cell>,
}

impl Fields {
    pub fn new(columns: Columns, cells: Vec<Cell>) -> Self {
        Self { columns, cells }
    }

    fn cell(&self, column: &'static str) -> Result<&Cell, StoreError> {
        let place = self.columns.iter().position(|name| name == column);
        place
            .and_then(|place| self.cells.get(place))
            .ok_or_else(|| fault(column, &"there is no such column"))
    }

    fn str_maybe(&self, column: &'static str) -> Result<Option<&str>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            Cell::Number(_) => Err(fault(column, &"not a text")),
        }
    }

    fn str(&self, column: &'static str) -> Result<&str, StoreError> {
        self.str_maybe(column)?
            .ok_or_else(|| fault(column, &"it is absent"))
    }

    pub fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.str(column).map(str::to_owned)
    }

    pub fn text_maybe(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.str_maybe(column)?.map(str::to_owned))
    }

    pub fn number(&self, column: &'static str) -> Result<i64, StoreError> {
        self.number_maybe(column)?
            .ok_or_else(|| fault(column, &"it is absent"))
    }

    pub fn number_maybe(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Number(number) => Ok(Some(*number)),
            Cell::Text(_) => Err(fault(column, &"not a number")),
        }
    }

    /// A number that cannot be less than nothing.
    pub fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.number(column)?).map_err(|error| fault(column, &error))
    }

    pub fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.number(column)? != 0)
    }

    pub fn parsed<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.str(column)?
            .parse()
            .map_err(|error| fault(column, &error))
    }

    pub fn parsed_maybe<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.str_maybe(column)?;
        text.map(|text| text.parse().map_err(|error| fault(column, &error)))
            .transpose()
    }

    pub fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.str(column)?).map_err(|error| fault(column, &error))
    }

    pub fn json_maybe<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text = self.str_maybe(column)?;
        text.map(|text| serde_json::from_str(text).map_err(|error| fault(column, &error)))
            .transpose()
    }
}

fn fault(column: &str, error: &dyn Display) -> StoreError {
    StoreError::corrupt(format!("column {column}: {error}"))
}

/// The text, fit for both databases: what neither can show stands for NUL.
pub(crate) fn without_nul(raw: &str) -> Cow<'_, str> {
    if raw.contains('\0') {
        return Cow::Owned(raw.replace('\0', "\u{fffd}"));
    }
    Cow::Borrowed(raw)
}

/// A size as a column holds it. Nothing that exists is larger than 2^63 bytes.
pub(crate) fn as_number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
