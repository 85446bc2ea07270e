//! Versions that runs make, as bodies: what is asked, and what came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strongroom_core::{
    config::Config,
    digest::Digest,
    limits::LimitsAsked,
    name::{Name, ObjectName, Reference},
    network::Answers,
    stage::Expose,
    statistics::Statistics,
    structure::Structure,
    transform::{Mode, Outcome},
    version::Meta,
};
use utoipa::ToSchema;

use super::{DatasetDiff, DatasetVersion, Run, Source};

/// A run that is to make the next version of a dataset. It is given the newest
/// version as its input, or none where there is no version yet. Its code is
/// either a `function` or `files`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTransform {
    /// `save` (if absent) makes a version, `apply` only shows what it would be.
    #[serde(default)]
    pub mode: Mode,
    /// A function of the station: `owner/name`, `owner/name@sha256:…` or `owner/name~1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Reference>,
    /// Code by path, at most 16 MiB in all. It is pushed as a function of
    /// yours when it saves, and kept with the run alone when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, Source>>,
    /// What the function of these files is called, after your own name; the
    /// dataset's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Further inputs, `input=owner/dataset` each. The version before is called
    /// `previous` then.
    #[serde(default)]
    pub on: Vec<String>,
    /// Any JSON; an object in practice.
    #[serde(default = "empty_object")]
    pub args: Value,
    /// Plain settings, laid over those of the function.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub config: Config,
    #[serde(default)]
    pub limits: LimitsAsked,
    /// What it is for, told to the owners; at most 2,000 characters.
    #[serde(default)]
    pub purpose: String,
    /// As for a run.
    #[serde(default)]
    pub expose: Expose,
    /// As for a run.
    #[serde(default)]
    pub answers: Answers,
    /// As for a run.
    #[serde(default)]
    pub lend_secrets: bool,
    /// A few words on what changed; at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default)]
    pub message: String,
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

/// A run that makes a version, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Transform {
    pub run: Run,
    pub dataset: ObjectName,
    pub mode: Mode,
    /// The version that it was given, and that the new one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// Absent until it is known, and for a run that saves nothing and could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The version that was saved, without what is found by reading it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<DatasetVersion>,
    /// What it would be, where nothing is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
}

/// A version as it would be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// It would say and hold what the version before does.
    pub unchanged: bool,
    /// Paths and their sizes in bytes.
    pub files: BTreeMap<String, u64>,
    /// Which of the parts `files`, `meta`, `readme` and `structure` would be others.
    pub changes: Vec<String>,
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
    /// The first rows, as far as they are short.
    #[serde(default)]
    pub rows: Vec<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readme: Option<String>,
    /// What would change in the rows; absent where one of the two has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<DatasetDiff>,
}
