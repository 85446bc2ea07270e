//! The queue: which run is next, and the moment its guest begins.
//!
//! A claim goes to the caller with the fewest runs under way; among equals to
//! the one whose last turn is longest ago; and of his to the run that waited
//! longest. So a thousand runs of one caller hold up another's first for one
//! turn. A run that is submitted while nobody waits and a place is free is
//! claimed by its own submission, and one may be claimed by the end of another.
//! A guest begins only through [`Store::run_start`], which fails if the run was
//! ended meanwhile, or through its submission, where one waits already.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

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
    finish,
    question::query,
    request,
    run::{self, Kind, Standing},
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
    /// What its permit is minted from, as it was when the run was claimed.
    pub standing: Standing,
    /// Its start is written down already: its guest may begin.
    pub begun: bool,
}

/// When each caller had his last turn. It is a memory of this start of the
/// station only: an order among equals, and no promise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    count: u64,
    /// One number for each user who ever had a turn.
    last: HashMap<Name, u64>,
}

impl Turns {
    fn take(&self, caller: &Name) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.count += 1;
        let count = taken.count;
        taken.last.insert(caller.clone(), count);
    }

    fn last(&self, caller: &Name) -> u64 {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.last.get(caller).copied().unwrap_or(0)
    }
}

/// Each caller who has runs in the queue. It steps from one to the next by the
/// index, since looking at every queued run for every claim would make a long
/// queue slow.
const NEXT: &str = "
    WITH RECURSIVE waiting (caller) AS (
        SELECT MIN(caller) FROM run WHERE state = 'queued'
         UNION ALL
        SELECT (SELECT MIN(r.caller) FROM run r
                 WHERE r.state = 'queued' AND waiting.caller < r.caller)
          FROM waiting WHERE waiting.caller IS NOT NULL)
    SELECT w.caller,
           (SELECT MIN(r.id) FROM run r
             WHERE r.state = 'queued' AND r.caller = w.caller) AS id,
           (SELECT COUNT(*) FROM run r
             WHERE r.caller = w.caller AND r.state IN ('starting', 'running')) AS number
      FROM waiting w WHERE w.caller IS NOT NULL";

const IS_QUEUED: &str = "
    SELECT COUNT(*) AS number FROM (SELECT 1 AS one FROM run WHERE state = 'queued' LIMIT 1) q";

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
        let turns = self.turns();
        self.change("claim a run", move |tx| {
            Box::pin(async move { claim(tx, &turns, &boot, now_ms).await })
        })
        .await
    }

    /// Says that the guest begins now. `false`: it must not, the run has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] when the owners' answers do not let it any more.
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

pub(crate) async fn claim(
    tx: &mut Tx,
    turns: &Turns,
    boot: &str,
    now_ms: i64,
) -> Result<Option<ClaimedRun>, StoreError> {
    while let Some(id) = next(tx, turns).await? {
        match read(tx, &id, now_ms).await {
            Ok(claimed) => {
                let question = query(CLAIM).bind(id.as_str()).bind(boot);
                tx.execute(question).await?;
                note(tx, &claimed, turns, now_ms).await?;
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

/// Whether somebody waits in the queue.
pub(crate) async fn is_queued(tx: &mut Tx) -> Result<bool, StoreError> {
    Ok(tx.count(query(IS_QUEUED)).await? != 0)
}

/// Whose turn it is, and with which run.
async fn next(tx: &mut Tx, turns: &Turns) -> Result<Option<RunId>, StoreError> {
    let mut first: Option<((i64, u64, String), RunId)> = None;
    for row in tx.all(query(NEXT)).await? {
        let (caller, id): (Name, RunId) = (row.parsed("caller")?, row.parsed("id")?);
        let order = (row.number("number")?, turns.last(&caller), id.to_string());
        if first.as_ref().is_none_or(|(before, _)| order < *before) {
            first = Some((order, id));
        }
    }
    Ok(first.map(|(_, id)| id))
}

async fn read(tx: &mut Tx, id: &RunId, now_ms: i64) -> Result<ClaimedRun, StoreError> {
    let row = run::load(tx, id).await?;
    let row = row.ok_or_else(|| StoreError::corrupt(format!("there is no run {id}")))?;
    let asked = request::load(tx, &row.request).await?;
    let asked = asked.ok_or_else(|| StoreError::corrupt(format!("{id} has no request")))?;
    let standing = run::standing(tx, &row.kind, &asked, now_ms).await?;
    let plan = asked.plan.expect("a request is loaded with its plan");
    if asked.plan_digest != row.plan {
        let what = format!("{id} and its request have two plans");
        return Err(StoreError::Corrupt { what });
    }
    Ok(ClaimedRun {
        run: row.id,
        request: row.request,
        caller: row.caller,
        kind: row.kind,
        plan,
        inputs: asked.inputs,
        standing,
        begun: false,
    })
}

/// Writes down who was given a turn.
pub(crate) async fn note(
    tx: &mut Tx,
    claimed: &ClaimedRun,
    turns: &Turns,
    now_ms: i64,
) -> Result<(), StoreError> {
    turns.take(&claimed.caller);
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
    run::stands::check(tx, id, now_ms).await?;
    note_start(tx, id, enforced, now_ms).await?;
    Ok(true)
}

/// Writes down that a guest begins.
pub(crate) async fn note_start(
    tx: &mut Tx,
    id: &RunId,
    enforced: &Enforced,
    now_ms: i64,
) -> Result<(), StoreError> {
    let parties = run::parties(tx, id).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: STATION,
        action: "run.start",
        subject: id.to_string(),
        detail: json!({ "tier": enforced.tier }),
        parties: parties.iter().collect(),
    })
    .await
}
