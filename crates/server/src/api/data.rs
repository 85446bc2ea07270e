//! Files, datasets and functions, as bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_core::{
    digest::Digest,
    manifest::Manifest,
    name::{Name, ObjectName},
    tree::TreeFile,
};
use utoipa::ToSchema;

/// Digests of files that a client is about to push.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlobsAsked {
    /// At most 10,000.
    pub digests: Vec<Digest>,
}

/// Which of them this user has not uploaded yet.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BlobsMissing {
    pub missing: Vec<Digest>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDatasetVersion {
    /// By path; every digest must have been uploaded by this user.
    pub files: BTreeMap<String, TreeFile>,
    #[serde(default)]
    pub message: String,
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
    pub message: String,
    pub author: Name,
    pub at_ms: i64,
    pub file_count: u64,
    pub size_bytes: u64,
    /// The push changed nothing, and this is the version that was there.
    #[serde(default)]
    pub unchanged: bool,
    /// Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, TreeFile>>,
}

/// A file of a function, in JSON.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Source {
    Text(String),
    Bytes { base64: String },
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFunctionVersion {
    /// By path; at most 16 MiB in all.
    pub files: BTreeMap<String, Source>,
    #[serde(default)]
    pub message: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Function {
    pub name: ObjectName,
    pub newest: FunctionVersion,
    pub version_count: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FunctionVersion {
    pub function: ObjectName,
    pub version: Digest,
    pub manifest: Manifest,
    pub message: String,
    pub at_ms: i64,
    #[serde(default)]
    pub unchanged: bool,
    /// The source, for its developer and for owners it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, Source>>,
}
