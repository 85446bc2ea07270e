//! How the store's rows look from outside.
//!
//! Each conversion decides what is shown; a row's field that is not named
//! here never leaves the station.

use std::collections::BTreeMap;

use strongroom_core::{
    name::Name,
    plan::InputVersion,
    request::{Grounds, Verdict},
};
use strongroom_store::{
    AuditRow, DatasetVersionRow, FunctionRow, FunctionVersionRow, Kind, LogLine, Paged, RequestRow,
    RunRow, StageRow, StoreError, TokenRow, TransformRow, UserRow,
};

use super::AppError;
use crate::api;

/// A page of rows as a page of what is shown.
pub(super) fn page<T, U>(paged: Paged<T>, show: impl FnMut(T) -> U) -> api::Page<U> {
    api::Page {
        items: paged.items.into_iter().map(show).collect(),
        next: paged.next,
    }
}

/// Refuses a text that is longer than `chars_max` characters.
pub(super) fn text_len(field: &str, text: &str, chars_max: usize) -> Result<(), AppError> {
    match text.chars().count() {
        len if len <= chars_max => Ok(()),
        len => Err(AppError::Invalid {
            code: "too_long",
            detail: format!("{field}: {len} characters, more than {chars_max}"),
        }),
    }
}

/// The same error, which says what it is that is not there.
pub(super) fn missing(error: StoreError, what: &'static str) -> AppError {
    match error {
        StoreError::NotFound => AppError::NotFound(what),
        other => other.into(),
    }
}

pub(super) fn user(row: UserRow) -> api::User {
    api::User {
        name: row.name,
        admin: row.admin,
        at_ms: row.at_ms,
    }
}

pub(super) fn token(row: TokenRow) -> api::Token {
    api::Token {
        id: row.id,
        user: row.user,
        label: row.label,
        at_ms: row.at_ms,
        until_ms: row.until_ms,
        revoked: row.revoked,
        secret: None,
    }
}

/// A version as lists have it; what is read only for one is absent.
pub(super) fn dataset_version(row: DatasetVersionRow) -> api::DatasetVersion {
    api::DatasetVersion {
        dataset: row.dataset,
        version: row.version,
        parent: row.parent,
        title: row.title,
        message: row.message,
        author: row.author,
        at_ms: row.at_ms,
        file_count: row.file_count,
        size_bytes: row.size_bytes,
        unchanged: row.unchanged,
        withheld: false,
        files: None,
        meta: None,
        readme: None,
        body: None,
        structure: None,
        statistics: None,
        no_structure: None,
        made_by: None,
        derived_from: Default::default(),
    }
}

/// A version of which its owner sees that it is there, and no word of it.
pub(super) fn withheld(version: api::DatasetVersion) -> api::DatasetVersion {
    api::DatasetVersion {
        title: String::new(),
        message: String::new(),
        file_count: 0,
        size_bytes: 0,
        withheld: true,
        ..version
    }
}

pub(super) fn function(row: FunctionRow) -> api::Function {
    api::Function {
        name: row.newest.function.clone(),
        newest: function_version(row.newest, None),
        version_count: row.version_count,
    }
}

pub(super) fn function_version(
    row: FunctionVersionRow,
    files: Option<BTreeMap<String, api::Source>>,
) -> api::FunctionVersion {
    api::FunctionVersion {
        function: row.function,
        version: row.version,
        manifest: row.manifest,
        message: row.message,
        at_ms: row.at_ms,
        unchanged: row.unchanged,
        files,
        packages: Vec::new(),
        installed: None,
    }
}

/// A run for its caller; for an owner of its inputs, without what came out.
pub(super) fn run(row: RunRow) -> api::Run {
    let mine = row.viewer_is_caller;
    let function = match row.kind {
        Kind::Function { name } => Some(name),
        Kind::Script { .. } => None,
    };
    api::Run {
        id: row.id,
        request: row.request,
        caller: row.caller,
        function,
        plan: row.plan,
        state: row.state,
        waits_for: row.waits_for,
        reason: row.reason,
        at_ms: row.at_ms,
        started_ms: row.started_ms,
        ended_ms: row.ended_ms,
        usage: row.usage,
        value: row.value.filter(|_| mine),
        files: if mine { row.files } else { Vec::new() },
        enforced: row.enforced,
        labels: row.labels.into_iter().collect(),
        withheld: row.is_withheld,
        stages: row.stages.into_iter().map(stage).collect(),
    }
}

fn stage(row: StageRow) -> api::RunStage {
    let value = row.value.map(|value| api::StageValue {
        digest: value.digest,
        size_bytes: value.size_bytes,
    });
    api::RunStage {
        stage: row.stage,
        started_ms: row.started_ms,
        log_before: row.log_before,
        ended_ms: row.ended_ms,
        reason: row.reason,
        usage: row.usage,
        value,
    }
}

pub(super) fn log_line(line: LogLine) -> api::LogLine {
    api::LogLine {
        seq: line.seq,
        at_ms: line.at_ms,
        stream: line.stream,
        text: line.text,
    }
}

/// A request as `viewer` may see it.
pub(super) fn request(
    row: RequestRow,
    viewer: &Name,
    detail: Option<api::RequestDetail>,
) -> Option<api::Request> {
    let derived_from = derived_from(&row);
    let verdicts = row.verdicts.into_iter().map(|(owner, mut verdict)| {
        if owner != *viewer {
            hide_rules(&mut verdict);
        }
        (owner, verdict)
    });
    Some(api::Request {
        id: row.id,
        state: row.state,
        caller: row.caller,
        run: row.run,
        purpose: row.purpose,
        // A script of the script API reads no data and asks nobody.
        function: row.function?,
        function_version: row.function_version,
        plan_digest: row.plan_digest,
        derived_from,
        inputs: row.inputs,
        at_ms: row.at_ms,
        verdicts: verdicts.collect(),
        detail,
    })
}

/// What a run would make a version of, as those who are asked see it.
pub(super) fn makes(row: TransformRow) -> api::RequestMakes {
    api::RequestMakes {
        dataset: row.dataset,
        mode: row.mode,
        parent: row.parent,
        title: row.title,
        message: row.message,
    }
}

/// The labels that are no inputs themselves.
fn derived_from(row: &RequestRow) -> Vec<InputVersion> {
    let is_input = |label: &InputVersion| row.inputs.iter().any(|(_, input)| input == label);
    let others = row.labels.iter().filter(|label| !is_input(label));
    others.cloned().collect()
}

/// An owner's rules are his own: others see which policy it was, not what it says.
fn hide_rules(verdict: &mut Verdict) {
    match verdict {
        Verdict::Pending { rule_errors } => rule_errors.clear(),
        Verdict::Approved {
            grounds: Grounds::Rule { policies },
        }
        | Verdict::Rejected { policies, .. } => {
            policies.iter_mut().for_each(|policy| policy.text.clear());
        }
        Verdict::Approved { .. } => {}
    }
}

pub(super) fn approval(row: strongroom_core::approval::Approval) -> api::Approval {
    api::Approval {
        id: row.id,
        owner: row.owner,
        caller: row.caller,
        request: row.request,
        scope: row.scope,
        expose: row.expose,
        limits_max: row.limits_max,
        uses_left: row.uses_left,
        until_ms: row.until_ms,
        revoked: row.revoked,
        at_ms: row.at_ms,
    }
}

pub(super) fn audited(row: AuditRow) -> api::Audited {
    api::Audited {
        event: row.event,
        chain: row.chain,
    }
}
