//! An owner's answer to a request: yes or no.
//!
//! What an answer sets off (other requests that it covers, runs that may now
//! start or have to end) happens in the same change.

use serde_json::json;
use strongroom_core::{
    approval::{Approval, Scope},
    id::{ApprovalId, RequestId},
    limits::Limits,
    name::Name,
    request::{Grounds, State, Verdict, state_of},
    stage::Expose,
};

use crate::{
    Store, Tx, approval,
    error::StoreError,
    event::Note,
    fields::without_nul,
    finish,
    judge::Asked,
    question::query,
    request::{self, RequestRow},
    verdict,
};

/// An owner's yes, to be written.
#[derive(Clone, Debug)]
pub struct NewApproval {
    pub id: ApprovalId,
    pub scope: Scope,
    /// It names `expose`.
    pub expose: bool,
    pub limits_max: Limits,
    /// How many runs it is good for, the one that was asked for included.
    pub uses: Option<u32>,
    pub until_ms: Option<i64>,
}

/// Requests of one caller for the same function version that wait for one owner.
const ALIKE: &str = "
    SELECT r.id FROM verdict v JOIN request r ON r.id = v.request
     WHERE v.owner = $1 AND v.answer = 'pending' AND r.state = 'pending'
       AND r.caller = $2 AND r.function_version = $3
     ORDER BY r.id";

const QUEUE: &str = "UPDATE run SET state = 'queued' WHERE id = $1 AND state = 'waiting'";

impl Store {
    /// Approves a request, and with it whatever else of this owner's it covers.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] unless `owner` is asked,
    /// [`StoreError::Conflict`] unless it waits for him and the approval covers it.
    pub async fn request_approve(
        &self,
        owner: &Name,
        id: &RequestId,
        new: NewApproval,
        now_ms: i64,
    ) -> Result<RequestRow, StoreError> {
        let (owner, id) = (owner.clone(), id.clone());
        self.change("approve a request", move |tx| {
            Box::pin(async move { approve(tx, &owner, &id, new, now_ms).await })
        })
        .await
    }

    /// Rejects a request, which ends it.
    ///
    /// # Errors
    ///
    /// As [`Store::request_approve`].
    pub async fn request_reject(
        &self,
        owner: &Name,
        id: &RequestId,
        reason: &str,
        now_ms: i64,
    ) -> Result<RequestRow, StoreError> {
        let (owner, id) = (owner.clone(), id.clone());
        let reason = without_nul(reason).into_owned();
        self.change("reject a request", move |tx| {
            Box::pin(async move { reject(tx, &owner, &id, &reason, now_ms).await })
        })
        .await
    }
}

/// The request, if `owner` is one of those asked.
pub(crate) async fn asked(
    tx: &mut Tx,
    owner: &Name,
    id: &RequestId,
) -> Result<RequestRow, StoreError> {
    let row = request::load(tx, id).await?;
    row.filter(|row| row.verdicts.contains_key(owner))
        .ok_or(StoreError::NotFound)
}

fn check_waits_for(row: &RequestRow, owner: &Name) -> Result<(), StoreError> {
    if row.state != State::Pending {
        let what = format!("the request is {}", row.state.as_str());
        return Err(StoreError::conflict(what));
    }
    match &row.verdicts[owner] {
        Verdict::Pending { .. } => Ok(()),
        answered => Err(StoreError::conflict(format!(
            "you have {} it already",
            answered.as_str()
        ))),
    }
}

async fn approve(
    tx: &mut Tx,
    owner: &Name,
    id: &RequestId,
    new: NewApproval,
    now_ms: i64,
) -> Result<RequestRow, StoreError> {
    let row = asked(tx, owner, id).await?;
    check_waits_for(&row, owner)?;
    let approval = Approval {
        id: new.id,
        owner: owner.clone(),
        caller: row.caller.clone(),
        request: row.id.clone(),
        scope: new.scope,
        expose: new.expose,
        limits_max: new.limits_max,
        uses_left: new.uses,
        until_ms: new.until_ms,
        revoked: false,
        at_ms: now_ms,
    };
    let plan = row
        .plan
        .as_ref()
        .expect("a request is loaded with its plan");
    approval
        .covers_new(&row.caller, plan, now_ms)
        .map_err(|why| StoreError::conflict(format!("it would not cover this request: {why}")))?;
    approval::add(tx, &approval).await?;
    grant(tx, &row, &approval, now_ms).await?;
    let also = approve_alike(tx, &row, approval.clone(), now_ms).await?;
    note(
        tx,
        &row,
        owner.as_str(),
        ("request.approve", now_ms),
        json!({ "approval": approval.id, "plan": row.plan_digest, "also": also }),
    )
    .await?;
    reload(tx, id).await
}

/// Writes a yes that rests on an approval, and what follows from it.
async fn grant(
    tx: &mut Tx,
    row: &RequestRow,
    approval: &Approval,
    now_ms: i64,
) -> Result<(), StoreError> {
    let verdict = Verdict::Approved {
        grounds: Grounds::Approval {
            approval: approval.id.clone(),
        },
    };
    verdict::put(tx, &row.id, &approval.owner, &verdict).await?;
    verdict::spend(tx, &approval.id).await?;
    settle(tx, row, now_ms).await
}

/// Grants the other requests that a new approval covers, oldest first, for as
/// long as it has uses left; which they were.
async fn approve_alike(
    tx: &mut Tx,
    row: &RequestRow,
    mut approval: Approval,
    now_ms: i64,
) -> Result<Vec<RequestId>, StoreError> {
    let question = query(ALIKE)
        .bind(approval.owner.as_str())
        .bind(row.caller.as_str())
        .bind(row.function_version.to_string());
    let mut granted = Vec::new();
    let mut alike = tx.all(question).await?.into_iter();
    // The request that was asked for has taken the first use.
    count_down(&mut approval);
    while approval.uses_left != Some(0)
        && let Some(fields) = alike.next()
    {
        let other = reload(tx, &fields.parsed("id")?).await?;
        if covers(tx, &other, &approval, now_ms).await? {
            grant(tx, &other, &approval, now_ms).await?;
            count_down(&mut approval);
            granted.push(other.id);
        }
    }
    Ok(granted)
}

fn count_down(approval: &mut Approval) {
    approval.uses_left = approval.uses_left.map(|left| left.saturating_sub(1));
}

/// Whether the owner's answer to another request now rests on this approval.
async fn covers(
    tx: &mut Tx,
    row: &RequestRow,
    approval: &Approval,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let (Some(function), Some(plan)) = (&row.function, &row.plan) else {
        return Ok(false);
    };
    let asked = Asked {
        caller: &row.caller,
        function,
        plan,
        inputs: &row.inputs,
        labels: &row.labels,
        purpose: &row.purpose,
        expose: Expose::Off,
    };
    let approvals = std::slice::from_ref(approval);
    let verdict = asked
        .verdict(tx, &approval.owner, approvals, now_ms)
        .await?;
    Ok(verdict::approval_of(&verdict) == Some(&approval.id))
}

/// Brings a pending request and its run to where the answers now lead.
async fn settle(tx: &mut Tx, row: &RequestRow, now_ms: i64) -> Result<(), StoreError> {
    let verdicts = verdict::of(tx, &row.id).await?;
    let next = state_of(verdicts.values());
    if next == State::Pending {
        return Ok(());
    }
    request::become_state(tx, &row.id, row.state, next).await?;
    match verdict::refusal(&verdicts) {
        None => {
            let queued = tx.execute(query(QUEUE).bind(row.run.as_str())).await?;
            if queued != 1 {
                return Err(StoreError::corrupt(format!("{} did not wait", row.run)));
            }
            Ok(())
        }
        Some(reason) => {
            verdict::give_back(tx, &row.id).await?;
            finish::end(tx, &row.run, &reason, now_ms).await
        }
    }
}

async fn reject(
    tx: &mut Tx,
    owner: &Name,
    id: &RequestId,
    reason: &str,
    now_ms: i64,
) -> Result<RequestRow, StoreError> {
    let row = asked(tx, owner, id).await?;
    check_waits_for(&row, owner)?;
    let verdict = Verdict::Rejected {
        reason: reason.to_owned(),
        policies: Vec::new(),
    };
    verdict::put(tx, id, owner, &verdict).await?;
    settle(tx, &row, now_ms).await?;
    let detail = json!({ "plan": row.plan_digest, "run": row.run });
    note(tx, &row, owner.as_str(), ("request.reject", now_ms), detail).await?;
    reload(tx, id).await
}

pub(crate) async fn reload(tx: &mut Tx, id: &RequestId) -> Result<RequestRow, StoreError> {
    let row = request::load(tx, id).await?;
    row.ok_or_else(|| StoreError::corrupt(format!("there is no request {id}")))
}

pub(crate) async fn note(
    tx: &mut Tx,
    row: &RequestRow,
    actor: &str,
    (action, at_ms): (&'static str, i64),
    detail: serde_json::Value,
) -> Result<(), StoreError> {
    tx.note(Note {
        at_ms,
        actor,
        action,
        subject: row.id.to_string(),
        detail,
        parties: row.parties(),
    })
    .await
}
