//! A new request and its run, as they will be read back.
//!
//! What was just written is not read again to be answered.

use strongroom_core::{
    request::{self, Verdicts},
    run::State,
};

use super::NewRun;
use crate::{
    fields::without_nul,
    labels::Labels,
    request::RequestRow,
    run::{Kind, RunRow},
    verdict,
};

/// The request as it will be read back.
pub(super) fn request_of(
    new: &NewRun,
    labels: Labels,
    verdicts: Verdicts,
    now_ms: i64,
) -> RequestRow {
    RequestRow {
        id: new.request.clone(),
        state: request::state_of(verdicts.values()),
        caller: new.caller.clone(),
        run: new.run.clone(),
        purpose: without_nul(&new.purpose).into_owned(),
        function: match &new.kind {
            Kind::Function { name } => Some(name.clone()),
            Kind::Script { .. } => None,
        },
        function_version: new.plan.function,
        plan_digest: new.plan.digest(),
        plan: Some(new.plan.clone()),
        inputs: new.inputs.clone(),
        labels,
        at_ms: now_ms,
        verdicts,
    }
}

/// The run as it will be read back.
pub(super) fn run_of(request: &RequestRow, kind: &Kind, is_claimed: bool) -> RunRow {
    let reason = verdict::refusal(&request.verdicts);
    let state = match request.state {
        request::State::Pending => State::Waiting,
        request::State::Approved if is_claimed => State::Starting,
        request::State::Approved => State::Queued,
        _ => State::Ended,
    };
    RunRow {
        id: request.run.clone(),
        request: request.id.clone(),
        caller: request.caller.clone(),
        kind: kind.clone(),
        plan: request.plan_digest,
        state,
        waits_for: request.waits_for(),
        ended_ms: reason.as_ref().map(|_| request.at_ms),
        reason,
        at_ms: request.at_ms,
        started_ms: None,
        usage: None,
        value: None,
        files: Vec::new(),
        enforced: None,
        cancel_requested_by: None,
        viewer_is_caller: true,
        is_withheld: false,
        labels: request.labels.clone(),
        stages: Vec::new(),
    }
}
