//! Runs and their log lines, as bodies.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strongroom_core::{
    digest::Digest,
    id::{RequestId, RunId},
    limits::LimitsAsked,
    name::{Name, ObjectName, Reference},
    run::{self, Enforced, OutputFile, Reason, Stream, Usage},
};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// `owner/name`, `owner/name@sha256:…` or `owner/name~1`.
    pub function: Reference,
    /// `owner/dataset` alone, or `input=owner/dataset` each.
    #[serde(default)]
    pub on: Vec<String>,
    /// Any JSON; an object in practice.
    #[serde(default = "empty_object")]
    pub args: Value,
    #[serde(default)]
    pub limits: LimitsAsked,
    /// What the result is for, told to the owners; at most 2,000 characters.
    #[serde(default)]
    pub purpose: String,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Run {
    pub id: RunId,
    pub request: RequestId,
    pub caller: Name,
    /// Absent for a script of the script API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<ObjectName>,
    pub plan: Digest,
    pub state: run::State,
    /// Whose answer it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    pub at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the function returned; for the caller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Files from `/out`; for the caller only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OutputFile>,
    /// What was enforced around the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced: Option<Enforced>,
}

/// One line that a guest wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// From 1, without gaps.
    pub seq: i64,
    pub at_ms: i64,
    pub stream: Stream,
    pub text: String,
}

/// The data of an event `state`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = RunStateEvent)]
pub struct RunState {
    pub state: run::State,
    /// Whose answer it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Name>,
}
