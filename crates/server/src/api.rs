//! What travels over HTTP: the bodies of requests and answers.
//!
//! These types are the contract with every client. Text that names something
//! is a core type, so a body with a bad name, digest or id dies while it is
//! read. An unknown field in a request body is an error.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod access;
mod data;
mod dataset;
mod request;
mod run;
mod runtime;
mod script;
mod secret;
mod transform;

pub use access::{Me, NewToken, NewUser, Token, User};
pub use data::{
    BlobsAsked, BlobsMissing, BuildStep, Function, FunctionVersion, Installed, NewFunctionVersion,
    Source,
};
pub(crate) use dataset::change;
pub use dataset::{
    ColumnChange, Dataset, DatasetChecked, DatasetDiff, DatasetFault, DatasetRemoved,
    DatasetVersion, NewCheck, NewDatasetVersion, NewDiff, NewName, NewRestore, RowChange,
    RowChangeKind,
};
pub use request::{
    Approval, Audited, NewApproval, Rejection, Request, RequestDetail, RequestMakes, Rules,
};
pub use run::{LogLine, NewRun, Run, RunStage, RunState, RunStep, StageValue};
pub use runtime::{NewRuntime, Runtime, RuntimeAdded};
pub use script::{Code, ScriptJson, ScriptStatus};
pub use secret::{NewSecret, Secret};
pub use transform::{NewTransform, Preview, Transform};

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
    /// Whether runs are refused without it.
    pub required: bool,
    /// What was seen when the wall was tried.
    pub found: String,
    /// The command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}
