//! How runs end: by themselves or cancelled.
//!
//! An end is final and is written once. A run that never started gives back
//! the uses of approvals that it had taken.

use serde_json::{Value, json};
use strongroom_core::{
    id::{RequestId, RunId},
    json::{canonical, canonical_of},
    name::Name,
    request::State as RequestState,
    run::{Enforced, OutputFile, Reason, State, Usage},
};

use crate::{
    Connection, Store, Tx,
    claim::{self, ClaimedRun},
    error::StoreError,
    event::{Note, STATION},
    log::{self, LogLine},
    question::query,
    request,
    run::{self, RunRow},
    stage::{self, StageEnd},
    verdict,
};

/// The longest value of a run that is kept, in bytes of JSON: what both
/// databases take in one field, with room to spare.
pub const VALUE_BYTES_MAX: u64 = 256 << 20;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Finish {
    pub reason: Reason,
    pub usage: Option<Usage>,
    pub value: Option<Value>,
    pub files: Vec<OutputFile>,
    /// Where it was not said at the start already.
    pub enforced: Option<Enforced>,
    /// The last lines that the guest wrote, not stored yet.
    pub log: Vec<LogLine>,
    /// How its last stage ended, where it has more than one.
    pub stage: Option<StageEnd>,
    /// Its start was written down, and then its guest could not begin.
    pub never_began: bool,
}

impl Finish {
    /// The end of a run that has nothing to show.
    pub fn because(reason: Reason) -> Self {
        Self {
            reason,
            usage: None,
            value: None,
            files: Vec::new(),
            enforced: None,
            log: Vec::new(),
            stage: None,
            never_began: false,
        }
    }
}

/// What a cancellation did, or leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelEffect {
    /// It had not started, and never will.
    Ended,
    /// Its guest runs, and has to be killed now.
    Kill,
    AlreadyEnded,
}

const STATE: &str = "SELECT state FROM run WHERE id = $1";

const END: &str = "
    UPDATE run SET state = 'ended', reason = $2, ended_ms = $3 WHERE id = $1 AND state <> 'ended'";

const FINISH: &str = "
    UPDATE run SET state = 'ended', reason = $2, ended_ms = $3, started_ms = $4, usage = $5,
                   value = $6, files = $7, enforced = $8
     WHERE id = $1";

const REQUEST_CANCEL: &str = "
    UPDATE run SET cancel_by = $2 WHERE id = $1 AND cancel_by IS NULL";

impl Store {
    /// Writes how a run ended, and answers it as its caller may see it. The
    /// second time it changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when its last lines do not go on where its log is.
    pub async fn run_finish(
        &self,
        id: &RunId,
        finish: Finish,
        now_ms: i64,
    ) -> Result<RunRow, StoreError> {
        let id = id.clone();
        self.change("finish a run", move |tx| {
            Box::pin(async move { write_finish(tx, &id, finish, now_ms).await })
        })
        .await
    }

    /// Writes how a run ended, and gives its place to the next run in the queue.
    ///
    /// # Errors
    ///
    /// As [`Store::run_finish`].
    pub async fn run_finish_and_claim(
        &self,
        id: &RunId,
        finish: Finish,
        boot: &str,
        now_ms: i64,
    ) -> Result<(RunRow, Option<ClaimedRun>), StoreError> {
        let (id, boot, turns) = (id.clone(), boot.to_owned(), self.turns());
        self.change("finish a run", move |tx| {
            Box::pin(async move {
                let row = write_finish(tx, &id, finish, now_ms).await?;
                let next = claim::claim(tx, &turns, &boot, now_ms).await?;
                Ok((row, next))
            })
        })
        .await
    }

    /// Cancels a run for its caller, in whatever state it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it is not a run of `by`.
    pub async fn run_cancel(
        &self,
        id: &RunId,
        by: &Name,
        now_ms: i64,
    ) -> Result<CancelEffect, StoreError> {
        let (id, by) = (id.clone(), by.clone());
        self.change("cancel a run", move |tx| {
            Box::pin(async move { cancel(tx, &id, &by, now_ms).await })
        })
        .await
    }
}

pub(crate) async fn state(connection: &mut Connection, id: &RunId) -> Result<State, StoreError> {
    let row = connection.one(query(STATE).bind(id.as_str())).await?;
    row.ok_or(StoreError::NotFound)?.parsed("state")
}

/// Ends a run without a result.
pub(crate) async fn end(
    tx: &mut Tx,
    id: &RunId,
    reason: &Reason,
    now_ms: i64,
) -> Result<(), StoreError> {
    let question = query(END)
        .bind(id.as_str())
        .bind(canonical_of(reason))
        .bind(now_ms);
    tx.execute(question).await.map(drop)
}

/// Notes who wants a running run to end; the first one counts.
pub(crate) async fn request_cancel(tx: &mut Tx, id: &RunId, by: &Name) -> Result<(), StoreError> {
    let question = query(REQUEST_CANCEL).bind(id.as_str()).bind(by.as_str());
    tx.execute(question).await.map(drop)
}

async fn write_finish(
    tx: &mut Tx,
    id: &RunId,
    finish: Finish,
    now_ms: i64,
) -> Result<RunRow, StoreError> {
    let row = run::load(tx, id).await?.ok_or(StoreError::NotFound)?;
    if row.state == State::Ended {
        return Ok(run::for_caller(row));
    }
    log::append(tx, id, &finish.log).await?;
    let began = row.started_ms.is_some() && !finish.never_began;
    if !began {
        verdict::give_back(tx, &row.request).await?;
    }
    let mut finish = bounded(finish, row.cancel_requested_by.clone());
    let mut stages = row.stages;
    if let Some(ended) = finish.stage.take() {
        stage::end(tx, id, ended, now_ms).await?;
        stages = stage::of(tx, id).await?;
    }
    let row = RunRow {
        stages,
        state: State::Ended,
        ended_ms: Some(now_ms),
        started_ms: row.started_ms.filter(|_| began),
        usage: finish.usage,
        value: finish.value,
        files: finish.files,
        enforced: finish.enforced.or(row.enforced),
        reason: Some(finish.reason.clone()),
        ..row
    };
    let question = query(FINISH)
        .bind(id.as_str())
        .bind(canonical_of(&finish.reason))
        .bind(now_ms)
        .bind(row.started_ms)
        .bind(row.usage.as_ref().map(canonical_of))
        .bind(row.value.as_ref().map(canonical))
        .bind(canonical_of(&row.files))
        .bind(row.enforced.as_ref().map(canonical_of));
    tx.execute(question).await?;
    note(tx, id, STATION, ("run.finish", now_ms), &finish.reason).await?;
    Ok(run::for_caller(row))
}

/// What is kept of a result: nothing of a cancelled run's, and no value that
/// no database takes.
fn bounded(finish: Finish, cancel_by: Option<Name>) -> Finish {
    let reason = match cancel_by {
        Some(by) => Reason::Cancelled { by },
        None if value_bytes(finish.value.as_ref()) <= VALUE_BYTES_MAX => return finish,
        None => Reason::OutputTooLarge {
            limit_bytes: VALUE_BYTES_MAX,
        },
    };
    Finish {
        reason,
        value: None,
        files: Vec::new(),
        ..finish
    }
}

fn value_bytes(value: Option<&Value>) -> u64 {
    value.map_or(0, |value| canonical(value).len() as u64)
}

async fn cancel(
    tx: &mut Tx,
    id: &RunId,
    by: &Name,
    now_ms: i64,
) -> Result<CancelEffect, StoreError> {
    let row = run::load(tx, id).await?;
    let row = row
        .filter(|row| row.caller == *by)
        .ok_or(StoreError::NotFound)?;
    let reason = Reason::Cancelled { by: by.clone() };
    let effect = match row.state {
        State::Ended => return Ok(CancelEffect::AlreadyEnded),
        State::Running => {
            request_cancel(tx, id, by).await?;
            CancelEffect::Kill
        }
        State::Waiting => {
            let next = RequestState::Withdrawn;
            request::become_state(tx, &row.request, RequestState::Pending, next).await?;
            end_before_start(tx, (id, &row.request), &reason, now_ms).await?;
            CancelEffect::Ended
        }
        State::Queued | State::Starting => {
            end_before_start(tx, (id, &row.request), &reason, now_ms).await?;
            CancelEffect::Ended
        }
    };
    note(tx, id, by.as_str(), ("run.cancel", now_ms), &reason).await?;
    Ok(effect)
}

async fn end_before_start(
    tx: &mut Tx,
    (id, request): (&RunId, &RequestId),
    reason: &Reason,
    now_ms: i64,
) -> Result<(), StoreError> {
    verdict::give_back(tx, request).await?;
    end(tx, id, reason, now_ms).await
}

/// An event with the reason's code only: its text may be a guest's.
pub(crate) async fn note(
    tx: &mut Tx,
    id: &RunId,
    actor: &str,
    (action, at_ms): (&'static str, i64),
    reason: &Reason,
) -> Result<(), StoreError> {
    let parties = run::parties(tx, id).await?;
    tx.note(Note {
        at_ms,
        actor,
        action,
        subject: id.to_string(),
        detail: json!({ "reason": reason.code() }),
        parties: parties.iter().collect(),
    })
    .await
}
