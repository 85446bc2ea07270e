//! What travels over HTTP: the bodies of requests and answers.
//!
//! These types are the contract with every client. Text that names something
//! is a core type, so a body with a bad name, digest or id dies while it is
//! read. An unknown field in a request body is an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strongroom_core::{
    approval::Scope,
    digest::Digest,
    event::Event,
    id::{ApprovalId, RequestId, RunId, TokenId},
    limits::{Limits, LimitsAsked},
    manifest::Manifest,
    name::{Name, ObjectName, Reference},
    plan::{InputVersion, Inputs, Plan},
    request::{self, Verdict},
    run::{self, Enforced, OutputFile, Reason, Stream, Usage},
    tree::TreeFile,
};
use utoipa::ToSchema;

/// An error, as RFC 9457 has it. `code` is stable; `detail` is for people.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`; the `code` tells problems apart.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub code: String,
    pub detail: String,
}

/// One page of a list. `next` is the cursor of the next page, absent on the last.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Whether the station can do its work, for load balancers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `degraded` when runs would be refused.
    pub status: String,
    pub version: String,
    /// The isolation tier that runs get here.
    pub tier: String,
}

/// One row of `strongroom doctor`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Wall {
    pub name: String,
    pub enforced: bool,
    /// What was seen when the wall was tried.
    pub found: String,
    /// The command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub user: Name,
    pub admin: bool,
    pub token: TokenId,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub name: Name,
    #[serde(default)]
    pub admin: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub name: Name,
    pub admin: bool,
    pub at_ms: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, at most 200 characters.
    #[serde(default)]
    pub label: String,
    /// Whose token; only an admin may name another.
    #[serde(default)]
    pub user: Option<Name>,
    /// When it ends, in milliseconds since 1970.
    #[serde(default)]
    pub until_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: TokenId,
    pub user: Name,
    pub label: String,
    pub at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    pub revoked: bool,
    /// The bearer secret; in the answer to its creation, and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

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

/// `POST /run-json`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptJson {
    #[serde(default = "main_py")]
    pub script_name: String,
    #[serde(default)]
    pub client: String,
    pub code: Code,
}

fn main_py() -> String {
    "main.py".to_owned()
}

/// A script as one text or as its lines.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Code {
    Text(String),
    Lines(Vec<String>),
}

/// What became of a script: the answer of `/run-file`, `/run-json` and `/status/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ScriptStatus {
    pub id: RunId,
    pub client: String,
    pub script_name: String,
    pub state: run::State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OutputFile>,
}
