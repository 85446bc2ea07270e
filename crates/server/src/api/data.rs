//! Files and functions, as bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_core::{dependency::Package, digest::Digest, manifest::Manifest, name::ObjectName};
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
    /// Resolves its requirements anew, though its lock is for them.
    #[serde(default)]
    pub relock: bool,
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
    /// What it is run with, exactly; for its developer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// How that was installed, if it is; for its developer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Installed>,
}

/// How packages were resolved and installed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Installed {
    pub at_ms: i64,
    pub file_count: u64,
    pub size_bytes: u64,
    pub steps: Vec<BuildStep>,
    /// The end of what the steps said.
    pub log: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BuildStep {
    /// `imports`, `lock` or `install`.
    pub step: String,
    pub wall_ms: u64,
}
