//! What was counted of a body while it was read.
//!
//! Counts are exact but for the distinct values, which are estimated. The
//! smallest and the largest value of text are cut, so they are not for
//! comparing with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::structure::Structure;

/// The longest text that is told of a smallest or largest value, in characters.
pub const EXTREME_CHARS_MAX: usize = 100;
/// The longest text that tells why a body has no rows, in characters.
pub const WHY_CHARS_MAX: usize = 500;

/// What was counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Statistics {
    pub rows: u64,
    /// Of the body as it is stored.
    pub bytes: u64,
    /// In the order of the structure's columns.
    pub columns: Vec<ColumnStatistics>,
}

/// What was counted of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ColumnStatistics {
    pub name: String,
    /// Rows in which the value is absent.
    pub nulls: u64,
    /// Absent where no value is, and for lists and objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// About how many different values there are; within a few per cent.
    pub distinct: u64,
}

/// What reading a body came to. The same bytes read the same way always come
/// to the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    Table {
        structure: Structure,
        statistics: Statistics,
    },
    /// It has no rows that could be read.
    NoTable { why: String },
}
