//! Runs and their log lines, as bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strongroom_core::{
    config::Config,
    digest::Digest,
    id::{RequestId, RunId},
    limits::LimitsAsked,
    name::{Name, ObjectName, Reference},
    network::Answers,
    plan::InputVersion,
    run::{self, Enforced, OutputFile, Reason, Stream, Usage},
    stage::{Expose, Stage},
    step::StepEvent,
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
    /// What you want of a function that defines `expose`, which sends data to
    /// its network stage: `off` (if absent) refuses it, `ask_owners` asks every
    /// owner of the data, `all_datasets` is for who owns all of the data and
    /// wrote the function.
    #[serde(default)]
    pub expose: Expose,
    /// Where the stage `download` has its answers from: `live` (if absent),
    /// `record` keeps each, `{"replay": RUN}` gives those of an earlier run of
    /// yours again, and nobody is asked.
    #[serde(default)]
    pub answers: Answers,
    /// Plain settings, laid over those of the function, which are in its plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub config: Config,
    /// Whether a function of somebody else may be told those of your secrets
    /// that it names.
    #[serde(default)]
    pub lend_secrets: bool,
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
    /// The original dataset versions behind what came out; absent in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<InputVersion>,
    /// An owner of one of them does not allow it any more, so that nothing of
    /// what came out is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// Absent for a run of one stage, and in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<RunStage>,
}

/// One stage of a run, which has a sandbox of its own.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunStage {
    pub stage: Stage,
    pub started_ms: i64,
    /// The number of the last log line before its first.
    pub log_before: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What it handed to the next stage; for the caller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<StageValue>,
}

/// A value that one stage handed to the next.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StageValue {
    pub digest: Digest,
    pub size_bytes: u64,
}

/// One line that a guest wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// From 1, in one numbering with the run's steps.
    pub seq: i64,
    pub at_ms: i64,
    pub stream: Stream,
    pub text: String,
}

/// One step of a run, or what it told of one; the data of an event `step`.
///
/// The guest tells it itself: it is to be shown and not to be believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunStep {
    /// In one numbering with the lines of the log.
    pub seq: i64,
    pub at_ms: i64,
    /// Absent for a run of one stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    #[serde(flatten)]
    pub event: StepEvent,
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
