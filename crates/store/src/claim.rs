//! The queue: which run is next, and the moment its guest begins.
//!
//! A claim goes to the caller with the fewest runs under way, then to the run
//! that waited longest, so a thousand runs of one caller do not hold up
//! another's first. A guest begins only through [`Store::run_start`], which
//! fails if the run was ended meanwhile.

use serde_json::json;
use strongroom_core::{
    id::{RequestId, RunId},
    json::canonical_of,
    name::Name,
    plan::{InputVersion, Inputs, Plan},
    run::{Enforced, Reason},
};

use crate::{
    Store, Tx,
    error::StoreError,
    event::{Note, STATION},
    finish, plan,
    question::query,
    request,
    run::{self, Kind},
};

/// A run that is the worker's now.
#[derive(Clone, Debug)]
pub struct ClaimedRun {
    pub run: RunId,
    pub request: RequestId,
    pub caller: Name,
    pub kind: Kind,
    pub plan: Plan,
    pub inputs: Inputs<InputVersion>,
}

const NEXT: &str = "
    SELECT q.id
      FROM (SELECT caller, MIN(id) AS id FROM run WHERE state = 'queued' GROUP BY caller) q
     ORDER BY (SELECT COUNT(*) FROM run b
                WHERE b.caller = q.caller AND b.state IN ('starting', 'running')),
              q.id
     LIMIT 1";

const CLAIM: &str = "
    UPDATE run SET state = 'starting', boot = $2 WHERE id = $1 AND state = 'queued'";

const START: &str = "
    UPDATE run SET state = 'running', started_ms = $2, enforced = $3
     WHERE id = $1 AND state = 'starting' AND cancel_by IS NULL";

impl Store {
    /// Takes at most one run off the queue, for the station's start `boot`.
    pub async fn run_claim(
        &self,
        boot: &str,
        now_ms: i64,
    ) -> Result<Option<ClaimedRun>, StoreError> {
        let boot = boot.to_owned();
        self.change("claim a run", move |tx| {
            Box::pin(async move { claim(tx, &boot, now_ms).await })
        })
        .await
    }

    /// Says that the guest begins now. `false`: it must not, the run has ended.
    pub async fn run_start(
        &self,
        id: &RunId,
        enforced: &Enforced,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let (id, enforced) = (id.clone(), enforced.clone());
        self.change("start a run", move |tx| {
            Box::pin(async move { start(tx, &id, &enforced, now_ms).await })
        })
        .await
    }
}

async fn claim(tx: &mut Tx, boot: &str, now_ms: i64) -> Result<Option<ClaimedRun>, StoreError> {
    while let Some(fields) = tx.one(query(NEXT)).await? {
        let id: RunId = fields.parsed("id")?;
        match read(tx, &id).await {
            Ok(claimed) => {
                mark(tx, &claimed, boot, now_ms).await?;
                return Ok(Some(claimed));
            }
            // One that cannot be read must not hold up all that come after it.
            Err(StoreError::Corrupt { what }) => {
                tracing::error!(run.id = %id, what, "a queued run cannot be read");
                let reason = Reason::HostError {
                    what: "what is kept of this run cannot be read".to_owned(),
                };
                finish::end(tx, &id, &reason, now_ms).await?;
                finish::note(tx, &id, STATION, ("run.finish", now_ms), &reason).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn read(tx: &mut Tx, id: &RunId) -> Result<ClaimedRun, StoreError> {
    let row = run::load(tx, id).await?;
    let row = row.ok_or_else(|| StoreError::corrupt(format!("there is no run {id}")))?;
    let asked = request::load(tx, &row.request).await?;
    let asked = asked.ok_or_else(|| StoreError::corrupt(format!("{id} has no request")))?;
    Ok(ClaimedRun {
        run: row.id,
        request: row.request,
        caller: row.caller,
        kind: row.kind,
        plan: plan::find(tx, &row.plan).await?,
        inputs: asked.inputs,
    })
}

async fn mark(
    tx: &mut Tx,
    claimed: &ClaimedRun,
    boot: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let question = query(CLAIM).bind(claimed.run.as_str()).bind(boot);
    tx.execute(question).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: STATION,
        action: "run.claim",
        subject: claimed.run.to_string(),
        detail: json!({}),
        parties: vec![&claimed.caller],
    })
    .await
}

async fn start(
    tx: &mut Tx,
    id: &RunId,
    enforced: &Enforced,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let question = query(START)
        .bind(id.as_str())
        .bind(now_ms)
        .bind(canonical_of(enforced));
    if tx.execute(question).await? == 0 {
        return Ok(false);
    }
    let parties = run::parties(tx, id).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: STATION,
        action: "run.start",
        subject: id.to_string(),
        detail: json!({ "tier": enforced.tier }),
        parties: parties.iter().collect(),
    })
    .await?;
    Ok(true)
}
