//! The fields of a row, read into core's types.
//!
//! What breaks core's laws is [`StoreError::Corrupt`] with the column's name,
//! never a default. Text that comes from outside is bound through
//! [`without_nul`], because PostgreSQL has no NUL character.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use serde::de::DeserializeOwned;
use sqlx::{Any, Decode, Row as _, Type, any::AnyRow};

use crate::error::StoreError;

/// One row.
pub(crate) struct Fields(AnyRow);

impl Fields {
    pub fn new(row: AnyRow) -> Self {
        Self(row)
    }

    fn get<'r, T: Decode<'r, Any> + Type<Any>>(
        &'r self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.0
            .try_get(column)
            .map_err(|error| fault(column, &error))
    }

    pub fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub fn text_maybe(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    pub fn number(&self, column: &'static str) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub fn number_maybe(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.get(column)
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
        self.text(column)?
            .parse()
            .map_err(|error| fault(column, &error))
    }

    pub fn parsed_maybe<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text_maybe(column)?;
        text.map(|text| text.parse().map_err(|error| fault(column, &error)))
            .transpose()
    }

    pub fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| fault(column, &error))
    }

    pub fn json_maybe<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text = self.text_maybe(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| fault(column, &error)))
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
