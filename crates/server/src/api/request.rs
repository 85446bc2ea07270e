//! Requests, approvals, rules and the audit record, as bodies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strongroom_core::{
    approval::Scope,
    dependency::{Change, Package},
    digest::Digest,
    event::Event,
    id::{ApprovalId, RequestId, RunId},
    limits::{Limits, LimitsAsked},
    manifest::Manifest,
    name::{Name, ObjectName},
    plan::{InputVersion, Inputs, Plan},
    request::{self, Verdict},
    transform::Mode,
};
use utoipa::ToSchema;

use super::Source;

/// A request as its owners and its caller see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Request {
    pub id: RequestId,
    pub state: request::State,
    pub caller: Name,
    pub run: RunId,
    pub purpose: String,
    pub function: ObjectName,
    pub function_version: Digest,
    pub plan_digest: Digest,
    pub inputs: Inputs<InputVersion>,
    /// The original versions that the inputs were made of, where that is not
    /// they themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived_from: Vec<InputVersion>,
    pub at_ms: i64,
    /// Each owner's answer, and what it rests on.
    #[schema(value_type = BTreeMap<String, Verdict>)]
    pub verdicts: BTreeMap<Name, Verdict>,
    /// Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<RequestDetail>,
}

/// All that an owner needs to decide.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RequestDetail {
    pub plan: Plan,
    pub manifest: Manifest,
    /// The source that would run; text where it is UTF-8.
    pub files: BTreeMap<String, Source>,
    /// What this owner last approved of this function; absent the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_before: Option<Digest>,
    /// A unified diff from that version to this one; empty when they are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// The version that is to be made of what it leaves; absent where it only
    /// gives its result to the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makes: Option<RequestMakes>,
    /// The packages that it would be run with, exactly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// What changed among them since then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages_changed: Vec<Change>,
}

/// What a run would do besides giving its result to the caller.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RequestMakes {
    /// The dataset, of the caller's own, that would have a new version.
    pub dataset: ObjectName,
    /// `apply` shows the caller what it would be, and saves nothing.
    pub mode: Mode,
    /// The version that it would follow; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApproval {
    /// Absent: exactly this plan. Present: this function on these inputs with
    /// any arguments that satisfy this JSON Schema.
    #[serde(default)]
    pub args_schema: Option<Value>,
    /// How many runs it is good for, this one included; absent: without bound.
    #[serde(default)]
    pub uses: Option<u32>,
    /// When it ends, in milliseconds since 1970; absent: when it is revoked.
    #[serde(default)]
    pub until_ms: Option<i64>,
    /// Needed for a function that defines `expose`: what it makes of your data
    /// may reach a network.
    #[serde(default)]
    pub expose: bool,
    /// Cuts runs down to these limits.
    #[serde(default)]
    pub limits: LimitsAsked,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    pub id: ApprovalId,
    pub owner: Name,
    pub caller: Name,
    pub request: RequestId,
    pub scope: Scope,
    /// It names `expose`.
    #[serde(default)]
    pub expose: bool,
    pub limits_max: Limits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    pub revoked: bool,
    pub at_ms: i64,
}

/// An owner's standing rules, in Cedar.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub text: String,
}

/// One entry of the audit record with the digest that chains it to the one before.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Audited {
    #[serde(flatten)]
    pub event: Event,
    pub chain: Digest,
}
