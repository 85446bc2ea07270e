//! Datasets, as bodies: their versions, and what is asked of their rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use strongroom_core::{
    digest::Digest,
    id::{RequestId, RunId},
    name::{Name, ObjectName, Reference},
    plan::InputVersion,
    statistics::Statistics,
    structure::{Column, Structure, StructureAsked},
    tree::TreeFile,
    version::{Change, MadeBy, Meta},
};
use utoipa::ToSchema;

/// A version to be pushed. Of meta, readme and structure, what is absent stays
/// as the version before has it, and what is `null` is dropped.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDatasetVersion {
    /// By path; every digest must have been uploaded by this user.
    pub files: BTreeMap<String, TreeFile>,
    #[serde(default)]
    pub message: String,
    /// A few words on what changed; at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(
        default,
        deserialize_with = "part",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Meta>)]
    pub meta: Option<Option<Meta>>,
    /// Markdown.
    #[serde(
        default,
        deserialize_with = "part",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub readme: Option<Option<String>>,
    /// A body that contradicts it is refused.
    #[serde(
        default,
        deserialize_with = "part",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<StructureAsked>)]
    pub structure: Option<Option<StructureAsked>>,
}

/// Reads `null` as something that was said.
fn part<'de, T, D>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(from).map(Some)
}

/// What becomes of a part of which this was said.
pub fn change<T>(said: Option<Option<T>>) -> Change<T> {
    match said {
        None => Change::Keep,
        Some(None) => Change::Drop,
        Some(Some(part)) => Change::Set(part),
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Dataset {
    pub name: ObjectName,
    pub newest: DatasetVersion,
    pub version_count: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DatasetVersion {
    pub dataset: ObjectName,
    pub version: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    pub message: String,
    pub author: Name,
    pub at_ms: i64,
    pub file_count: u64,
    pub size_bytes: u64,
    /// The push changed nothing, and this is the version that was there.
    #[serde(default)]
    pub unchanged: bool,
    /// An owner of the originals does not allow its maker to see it any more,
    /// so that nothing of what is in it is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// Absent in lists, as is all below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, TreeFile>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readme: Option<String>,
    /// The file that has the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<Structure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
    /// Why there is no structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_structure: Option<String>,
    /// What made it, unless it was pushed by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeBy>,
    /// The originals that it was computed from, whatever came between.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub derived_from: BTreeSet<InputVersion>,
}

/// Two versions to be compared.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDiff {
    pub before: Reference,
    pub after: Reference,
    /// Columns whose values name a row; without any, rows are compared by place.
    #[serde(default)]
    pub key: Vec<String>,
    /// Changed rows to show, at most 1000; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u32>,
}

/// What changed between two versions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct DatasetDiff {
    pub rows_before: u64,
    pub rows_after: u64,
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    pub columns: Vec<ColumnChange>,
    /// The first of them, long values cut.
    pub rows: Vec<RowChange>,
    /// Other files that were added, removed or changed.
    #[serde(default)]
    pub files: Vec<String>,
}

/// A column that came, went or is another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ColumnChange {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Column>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Column>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowChangeKind {
    Added,
    Removed,
    Changed,
}

/// One row that came, went or is another. Rows are counted from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RowChange {
    pub change: RowChangeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Map<String, Value>>,
}

/// What to check a version against.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCheck {
    /// Absent: the structure that the version was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<StructureAsked>,
}

/// What a check came to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DatasetChecked {
    pub rows: u64,
    pub faults: u64,
    /// The first 100 of them.
    pub told: Vec<DatasetFault>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetFault {
    /// From 1; absent where the body as a whole is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub why: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRestore {
    #[serde(default)]
    pub message: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewName {
    /// The name after the owner's.
    pub name: Name,
}

/// What a removal took along.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DatasetRemoved {
    pub dataset: ObjectName,
    /// Requests that were open and are revoked.
    pub requests: Vec<RequestId>,
    /// Runs that were going on and are ended.
    pub runs: Vec<RunId>,
}
