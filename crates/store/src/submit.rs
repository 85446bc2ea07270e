//! Asking for a run: the request, its first answers and its run, in one change.
//!
//! The answers are found inside the change, so an approval that is good for
//! three runs is good for three, however many ask at once.

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    id::{RequestId, RunId},
    json::canonical_of,
    name::Name,
    plan::{InputVersion, Inputs, Plan},
    request::{self, Verdicts},
    run::State,
};

use crate::{
    Store, Tx, content, dataset,
    error::StoreError,
    event::Note,
    fields::without_nul,
    function,
    judge::Asked,
    plan,
    question::query,
    run::{self, Kind, RunRow},
    verdict,
};

/// The most runs of one caller that have not ended.
pub const RUNS_OPEN_MAX: i64 = 10_000;

/// A run to be asked for.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub run: RunId,
    pub request: RequestId,
    pub caller: Name,
    pub kind: Kind,
    pub plan: Plan,
    /// What the plan's inputs are called.
    pub inputs: Inputs<InputVersion>,
    pub purpose: String,
    /// From a caller who may send the same twice: his key, and the digest of
    /// what he sent.
    pub idempotency: Option<(String, Digest)>,
}

/// What came of asking.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub run: RunRow,
    /// It is the run of an earlier submission with the same key and body.
    pub replayed: bool,
}

const EARLIER: &str = "SELECT body, run FROM idempotency WHERE caller = $1 AND label = $2";

const REMEMBER: &str = "
    INSERT INTO idempotency (caller, label, body, run) VALUES ($1, $2, $3, $4)";

const OPEN: &str = "
    SELECT COUNT(*) AS number FROM run
     WHERE caller = $1 AND state IN ('waiting', 'queued', 'starting', 'running')";

const ADD_REQUEST: &str = "
    INSERT INTO request (id, state, caller, run, function, function_version, plan, inputs, purpose,
                         at_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const ADD_RUN: &str = "
    INSERT INTO run (id, request, caller, kind, plan, state, at_ms, ended_ms, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

impl Store {
    /// Asks for a run. It is queued, waits for owners, or was refused.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the key was used for something else, or
    /// when plan, inputs and function do not belong together;
    /// [`StoreError::TooMany`] when the caller has too many open runs.
    pub async fn run_submit(&self, new: NewRun, now_ms: i64) -> Result<Submitted, StoreError> {
        self.change("submit a run", move |tx| {
            Box::pin(async move { submit(tx, &new, now_ms).await })
        })
        .await
    }
}

async fn submit(tx: &mut Tx, new: &NewRun, now_ms: i64) -> Result<Submitted, StoreError> {
    if let Some(run) = earlier(tx, new).await? {
        return Ok(Submitted {
            run,
            replayed: true,
        });
    }
    check(tx, new).await?;
    let verdicts = match &new.kind {
        Kind::Script { .. } => Verdicts::new(),
        Kind::Function { name } => {
            let asked = Asked {
                caller: &new.caller,
                function: name,
                plan: &new.plan,
                inputs: &new.inputs,
                purpose: &new.purpose,
            };
            asked.verdicts(tx, now_ms).await?
        }
    };
    let state = request::state_of(verdicts.values());
    let digest = new.plan.digest();
    plan::keep(tx, &digest, &new.plan).await?;
    add_request(tx, new, state, &digest, now_ms).await?;
    add_verdicts(tx, new, state, &verdicts).await?;
    add_run(tx, new, (state, &verdicts), &digest, now_ms).await?;
    if let Some((key, body)) = &new.idempotency {
        remember(tx, new, key, body).await?;
    }
    note(tx, new, (state, &verdicts), &digest, now_ms).await?;
    let run = run::load(tx, &new.run).await?;
    Ok(Submitted {
        run: run.ok_or_else(|| StoreError::corrupt("a run that was just added is not there"))?,
        replayed: false,
    })
}

async fn earlier(tx: &mut Tx, new: &NewRun) -> Result<Option<RunRow>, StoreError> {
    let Some((key, body)) = &new.idempotency else {
        return Ok(None);
    };
    let question = query(EARLIER)
        .bind(new.caller.as_str())
        .bind(without_nul(key).into_owned());
    let Some(row) = tx.one(question).await? else {
        return Ok(None);
    };
    if row.parsed::<Digest>("body")? != *body {
        let what = "the idempotency key was used for another request";
        return Err(StoreError::conflict(what));
    }
    run::load(tx, &row.parsed("run")?).await
}

/// Whether all that the run names exists and belongs together. What it names
/// never changes, so this holds for good.
async fn check(tx: &mut Tx, new: &NewRun) -> Result<(), StoreError> {
    let open = query(OPEN).bind(new.caller.as_str());
    if RUNS_OPEN_MAX <= tx.count(open).await? {
        return Err(StoreError::TooMany {
            what: "runs of yours that have not ended",
            max: RUNS_OPEN_MAX,
        });
    }
    let Ok(versions) = new
        .inputs
        .clone()
        .try_map(|input| Ok::<_, std::convert::Infallible>(input.version));
    if versions != new.plan.inputs {
        let what = "the plan has other inputs than those that were named";
        return Err(StoreError::conflict(what));
    }
    let function = &new.plan.function;
    let exists = match &new.kind {
        Kind::Function { name } => function::has_version(tx, name, function).await?,
        Kind::Script { .. } if new.inputs != Inputs::None => {
            return Err(StoreError::conflict("a script has no inputs"));
        }
        Kind::Script { .. } => content::exists(tx, function).await?,
    };
    if !exists {
        let what = format!("there is no such function version {function}");
        return Err(StoreError::Conflict { what });
    }
    for (_, input) in new.inputs.iter() {
        if !dataset::has_version(tx, &input.dataset, &input.version).await? {
            let what = format!("{} has no version {}", input.dataset, input.version);
            return Err(StoreError::Conflict { what });
        }
    }
    Ok(())
}

async fn add_request(
    tx: &mut Tx,
    new: &NewRun,
    state: request::State,
    plan: &Digest,
    now_ms: i64,
) -> Result<(), StoreError> {
    let function = match &new.kind {
        Kind::Function { name } => Some(name.to_string()),
        Kind::Script { .. } => None,
    };
    let question = query(ADD_REQUEST)
        .bind(new.request.as_str())
        .bind(state.as_str())
        .bind(new.caller.as_str())
        .bind(new.run.as_str())
        .bind(function)
        .bind(new.plan.function.to_string())
        .bind(plan.to_string())
        .bind(canonical_of(&new.inputs))
        .bind(without_nul(&new.purpose).into_owned())
        .bind(now_ms);
    tx.execute(question).await.map(drop)
}

/// Writes the answers, and spends the approvals they rest on unless it is all over.
async fn add_verdicts(
    tx: &mut Tx,
    new: &NewRun,
    state: request::State,
    verdicts: &Verdicts,
) -> Result<(), StoreError> {
    for (owner, answer) in verdicts {
        verdict::put(tx, &new.request, owner, answer).await?;
        if state != request::State::Rejected
            && let Some(approval) = verdict::approval_of(answer)
        {
            verdict::spend(tx, approval).await?;
        }
    }
    Ok(())
}

async fn add_run(
    tx: &mut Tx,
    new: &NewRun,
    (state, verdicts): (request::State, &Verdicts),
    plan: &Digest,
    now_ms: i64,
) -> Result<(), StoreError> {
    let reason = verdict::refusal(verdicts);
    let question = query(ADD_RUN)
        .bind(new.run.as_str())
        .bind(new.request.as_str())
        .bind(new.caller.as_str())
        .bind(canonical_of(&new.kind))
        .bind(plan.to_string())
        .bind(run_state(state).as_str())
        .bind(now_ms)
        .bind(reason.as_ref().map(|_| now_ms))
        .bind(reason.as_ref().map(canonical_of));
    tx.execute(question).await.map(drop)
}

fn run_state(state: request::State) -> State {
    match state {
        request::State::Pending => State::Waiting,
        request::State::Approved => State::Queued,
        _ => State::Ended,
    }
}

async fn remember(tx: &mut Tx, new: &NewRun, key: &str, body: &Digest) -> Result<(), StoreError> {
    let question = query(REMEMBER)
        .bind(new.caller.as_str())
        .bind(without_nul(key).into_owned())
        .bind(body.to_string())
        .bind(new.run.as_str());
    tx.execute(question).await.map(drop)
}

async fn note(
    tx: &mut Tx,
    new: &NewRun,
    (state, verdicts): (request::State, &Verdicts),
    plan: &Digest,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.note(Note {
        at_ms: now_ms,
        actor: new.caller.as_str(),
        action: "run.submit",
        subject: new.run.to_string(),
        detail: json!({
            "request": new.request,
            "function": new.plan.function,
            "plan": plan,
            "state": state,
        }),
        parties: verdicts.keys().collect(),
    })
    .await
}
