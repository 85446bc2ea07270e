//! Runtimes, as bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_core::{digest::Digest, name::Name, runtime::RuntimeName, tree::TreeFile};
use utoipa::ToSchema;

/// A folder with a `runtime.toml`, whose files were uploaded before.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRuntime {
    pub name: RuntimeName,
    /// By path; every digest must have been uploaded by this user.
    pub files: BTreeMap<String, TreeFile>,
    /// Whether another runtime of this name gives way; if not, it is a conflict.
    #[serde(default)]
    pub replace: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Runtime {
    pub name: RuntimeName,
    pub description: String,
    /// It is there wherever Strongroom is.
    pub shipped: bool,
    /// The shipped runtime that it adds to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<RuntimeName>,
    /// What the name of an entry ends with.
    pub suffix: String,
    /// The modules that are preloaded.
    pub preload: Vec<String>,
    /// The image that is its guests' root; absent where that is the host's `/usr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// What plans hold beside the name now; absent when it cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Why it cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What was added, and by whom; absent for one that is shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<RuntimeAdded>,
    /// Adding it changed nothing.
    #[serde(default)]
    pub unchanged: bool,
}

/// The folder of a runtime that somebody added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RuntimeAdded {
    pub author: Name,
    pub at_ms: i64,
    /// The digest over all its files.
    pub tree: Digest,
    /// Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, TreeFile>>,
}
