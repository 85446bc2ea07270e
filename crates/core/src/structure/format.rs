//! How rows are written, and which of them are wanted.

use serde::{Deserialize, Serialize};

use super::StructureError;
use crate::tree::TreePath;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Fields between delimiters, UTF-8, one record a line.
    Csv,
    /// One list of objects, or of lists.
    Json,
    /// One object or list a line.
    Ndjson,
    Parquet,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }

    /// The media type of rows that are written so.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// What a file's name says of it.
    pub fn of_path(path: &TreePath) -> Option<Self> {
        let (_, suffix) = path.file_name().rsplit_once('.')?;
        match suffix.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

impl std::str::FromStr for Format {
    type Err = StructureError;

    fn from_str(raw: &str) -> Result<Self, StructureError> {
        let all = [Self::Csv, Self::Json, Self::Ndjson, Self::Parquet];
        let found = all.into_iter().find(|format| format.as_str() == raw);
        found.ok_or_else(|| StructureError::Format(raw.to_owned()))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of the rows: `0..100`, `100..`, `..5`, from 0, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRange {
    pub first: u64,
    pub end: u64,
}

impl RowRange {
    pub const ALL: Self = Self {
        first: 0,
        end: u64::MAX,
    };
}

impl std::str::FromStr for RowRange {
    type Err = StructureError;

    fn from_str(raw: &str) -> Result<Self, StructureError> {
        let wrong = || StructureError::Range(raw.to_owned());
        let (first, end) = raw.split_once("..").ok_or_else(wrong)?;
        let number = |raw: &str, otherwise: u64| match raw {
            "" => Some(otherwise),
            digits => digits.parse().ok(),
        };
        match (number(first, 0), number(end, u64::MAX)) {
            (Some(first), Some(end)) if first <= end => Ok(Self { first, end }),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for RowRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.end {
            u64::MAX => write!(f, "{}..", self.first),
            end => write!(f, "{}..{end}", self.first),
        }
    }
}

crate::text::serde_as_text!(RowRange);
