//! Files and functions, as bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_core::{digest::Digest, manifest::Manifest, name::ObjectName};
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
