//! The structure of a body: how its rows are written, and what they have.
//!
//! The body is the one file of a version whose rows the station can read. Its
//! structure is found by reading it; an owner who gives one himself is held to
//! it, and so is every later version. Reading is done elsewhere: there is only
//! what can be said of rows here.

mod format;
mod reading;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    format::{Format, RowRange},
    reading::Reading,
};
use crate::{schema, text::shown, tree::TreePath};

/// The most columns of a body.
pub const COLUMNS_MAX: usize = 2000;
/// The longest name of a column, in bytes.
pub const COLUMN_NAME_LEN_MAX: usize = 512;
/// The most spellings of an absent value, and the longest, in bytes.
pub const NULLS_MAX: usize = 16;
const NULL_LEN_MAX: usize = 64;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    Boolean,
    /// Whole, of 64 bits with sign.
    Integer,
    /// Whole or not, of double precision.
    Number,
    String,
    /// Lists, objects, or values of several types.
    Any,
}

impl ColumnType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Any => "any",
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether a value may be absent.
    #[serde(default = "yes")]
    pub nullable: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

fn yes() -> bool {
    true
}

/// A structure as an owner gives it; what is absent is found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StructureAsked {
    /// Which file has the rows; needed where several could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<TreePath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What stands between two fields of CSV: one ASCII character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Whether the first record of CSV names the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What stands for an absent value in CSV, beside nothing at all, and words
    /// such as `NA` in columns that are not text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// The columns in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    /// A JSON Schema (2020-12) that each row satisfies, as an object by column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// The structure of a body, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Structure {
    pub format: Format,
    /// Of CSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Of CSV: whether the first record names the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    pub columns: Vec<Column>,
    /// A JSON Schema that each row satisfies, as an object by column.
    pub schema: Value,
}

/// Why a structure cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    #[error("structure: there is no file `{0}`")]
    NoBody(TreePath),
    #[error("structure: the name `{0}` does not say how its rows are written; say its `format`")]
    NoFormat(TreePath),
    #[error("structure: {0}")]
    WhichBody(String),
    #[error("there is no format `{}`; there are csv, json, ndjson and parquet", shown(.0, 40))]
    Format(String),
    #[error("`{}` are no rows such as 0..100", shown(.0, 40))]
    Range(String),
    #[error("structure.delimiter: one ASCII character other than a quote or a line end")]
    Delimiter,
    #[error("structure.nulls: at most {NULLS_MAX} of {NULL_LEN_MAX} bytes")]
    Nulls,
    #[error("structure.columns: {0}")]
    Columns(String),
    #[error("structure.schema is not a JSON Schema: {0}")]
    Schema(String),
    #[error("structure: only CSV has a `{0}`")]
    OnlyCsv(&'static str),
}

impl StructureAsked {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what could hold for no body.
    pub fn checked(self) -> Result<Self, StructureError> {
        if let Some(columns) = &self.columns {
            check_columns(columns)?;
        }
        if let Some(schema) = &self.schema {
            schema::compile(schema).map_err(StructureError::Schema)?;
        }
        let long = |null: &String| NULL_LEN_MAX < null.len();
        if NULLS_MAX < self.nulls.len() || self.nulls.iter().any(long) {
            return Err(StructureError::Nulls);
        }
        match self.delimiter {
            Some(c) if !c.is_ascii() || matches!(c, '"' | '\r' | '\n' | '\0') => {
                Err(StructureError::Delimiter)
            }
            _ => Ok(self),
        }
    }
}

fn check_columns(columns: &[Column]) -> Result<(), StructureError> {
    let wrong = |why: String| Err(StructureError::Columns(why));
    if columns.is_empty() || COLUMNS_MAX < columns.len() {
        return wrong(format!("from 1 to {COLUMNS_MAX}, not {}", columns.len()));
    }
    let mut seen = std::collections::BTreeSet::new();
    for column in columns {
        let name = shown(&column.name, 80);
        if column.name.is_empty() || COLUMN_NAME_LEN_MAX < column.name.len() {
            return wrong(format!(
                "a name has from 1 to {COLUMN_NAME_LEN_MAX} bytes, unlike `{name}`"
            ));
        }
        if !seen.insert(&column.name) {
            return wrong(format!("`{name}` is there twice"));
        }
    }
    Ok(())
}

/// The JSON Schema that says of a row what its columns say.
pub fn schema_of(columns: &[Column]) -> Value {
    let one = |column: &Column| {
        let kind = column.kind.as_str();
        let schema = match (column.kind, column.nullable) {
            (ColumnType::Any, _) => json!({}),
            (_, true) => json!({ "type": [kind, "null"] }),
            (_, false) => json!({ "type": kind }),
        };
        (column.name.clone(), schema)
    };
    let properties: serde_json::Map<String, Value> = columns.iter().map(one).collect();
    let required = columns.iter().filter(|column| !column.nullable);
    let required: Vec<&str> = required.map(|column| column.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}
