//! The script API, as bodies.

use serde::{Deserialize, Serialize};
use strongroom_core::{
    id::RunId,
    run::{self, OutputFile, Reason, Usage},
};
use utoipa::ToSchema;

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
