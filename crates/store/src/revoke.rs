//! What becomes of a request after an owner's yes, or without any answer.
//!
//! A yes that is taken back ends whatever stands on it, all in one change:
//! what has not started never will, and what runs is handed back to be killed.

use serde_json::json;
use strongroom_core::{
    id::{RequestId, RunId},
    name::Name,
    request::{State, Verdict},
    run::{self, Reason},
};

use crate::{
    Store, Tx,
    answer::{asked, note, reload},
    approval,
    error::StoreError,
    event::STATION,
    finish,
    question::query,
    request::{self, RequestRow},
    verdict,
};

/// What a yes that was taken back leaves to do.
#[derive(Clone, Debug)]
pub struct Revoked {
    pub request: RequestRow,
    /// Their guests run, and have to be killed now.
    pub runs_to_kill: Vec<RunId>,
}

/// How many requests expire in one change.
const EXPIRE_STEP: i64 = 200;

const RESTS_ON: &str = "
    SELECT v.request FROM verdict v JOIN run r ON r.request = v.request
     WHERE v.approval = $1 AND r.state <> 'ended' AND v.request <> $2 ORDER BY v.request";

const OVERDUE: &str = "
    SELECT id FROM request WHERE state = 'pending' AND at_ms < $1 ORDER BY at_ms, id LIMIT $2";

impl Store {
    /// Takes a yes back, with the approval it rests on and every run under it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] unless `owner` was asked,
    /// [`StoreError::Conflict`] when there is no yes of his to take back.
    pub async fn request_revoke(
        &self,
        owner: &Name,
        id: &RequestId,
        now_ms: i64,
    ) -> Result<Revoked, StoreError> {
        let (owner, id) = (owner.clone(), id.clone());
        self.change("revoke a request", move |tx| {
            Box::pin(async move { revoke(tx, &owner, &id, now_ms).await })
        })
        .await
    }

    /// Ends the requests that were made before `pending_before_ms` and still
    /// wait; how many.
    pub async fn requests_expire(
        &self,
        pending_before_ms: i64,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        loop {
            let expired = self.change("expire requests", move |tx| {
                Box::pin(async move { expire(tx, pending_before_ms, now_ms).await })
            });
            match expired.await? {
                0 => return Ok(count),
                some => count += some,
            }
        }
    }
}

async fn revoke(
    tx: &mut Tx,
    owner: &Name,
    id: &RequestId,
    now_ms: i64,
) -> Result<Revoked, StoreError> {
    let row = asked(tx, owner, id).await?;
    let verdict = &row.verdicts[owner];
    if !matches!(verdict, Verdict::Approved { .. }) {
        return Err(StoreError::conflict("you have not approved it"));
    }
    let mut changed = row.state.may_become(State::Revoked);
    let mut hit = vec![id.clone()];
    let approval = verdict::approval_of(verdict).cloned();
    if let Some(approval) = &approval {
        changed |= approval::revoke(tx, approval).await?;
        let question = query(RESTS_ON).bind(approval.as_str()).bind(id.as_str());
        for fields in tx.all(question).await? {
            hit.push(fields.parsed("request")?);
        }
    }
    if !changed {
        let what = format!("the request is {}", row.state.as_str());
        return Err(StoreError::conflict(what));
    }
    let mut runs_to_kill = Vec::new();
    for request in &hit {
        runs_to_kill.extend(take_back(tx, owner, request, now_ms).await?);
    }
    let detail = json!({ "approval": approval, "requests": hit, "killed": runs_to_kill });
    note(tx, &row, owner.as_str(), ("request.revoke", now_ms), detail).await?;
    Ok(Revoked {
        request: reload(tx, id).await?,
        runs_to_kill,
    })
}

/// Ends what stands on a yes that is no more; the run, if its guest has to be killed.
pub(crate) async fn take_back(
    tx: &mut Tx,
    owner: &Name,
    id: &RequestId,
    now_ms: i64,
) -> Result<Option<RunId>, StoreError> {
    let row = reload(tx, id).await?;
    if row.state.may_become(State::Revoked) {
        request::become_state(tx, id, row.state, State::Revoked).await?;
    }
    match finish::state(tx, &row.run).await? {
        run::State::Ended => Ok(None),
        run::State::Running => {
            finish::request_cancel(tx, &row.run, owner).await?;
            Ok(Some(row.run))
        }
        run::State::Waiting | run::State::Queued | run::State::Starting => {
            verdict::give_back(tx, id).await?;
            let by = owner.clone();
            finish::end(tx, &row.run, &Reason::Cancelled { by }, now_ms).await?;
            Ok(None)
        }
    }
}

async fn expire(tx: &mut Tx, pending_before_ms: i64, now_ms: i64) -> Result<u64, StoreError> {
    let question = query(OVERDUE).bind(pending_before_ms).bind(EXPIRE_STEP);
    let overdue = tx.all(question).await?;
    for fields in &overdue {
        let row = reload(tx, &fields.parsed("id")?).await?;
        request::become_state(tx, &row.id, row.state, State::Expired).await?;
        verdict::give_back(tx, &row.id).await?;
        let why = "nobody answered in time".to_owned();
        finish::end(tx, &row.run, &Reason::Refused { why }, now_ms).await?;
        let detail = json!({ "run": row.run });
        note(tx, &row, STATION, ("request.expire", now_ms), detail).await?;
    }
    Ok(overdue.len() as u64)
}
