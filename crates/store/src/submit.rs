//! Asking for a run: the request, its first answers and its run, in one change.
//!
//! The answers are found inside the change, so an approval that is good for
//! three runs is good for three, however many ask at once.

mod checks;
mod rows;

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    id::{RequestId, RunId},
    json::canonical_of,
    manifest::Manifest,
    name::{Name, ObjectName},
    plan::{InputVersion, Inputs, Plan},
    request::{self, Verdicts},
    run::{Enforced, State},
    stage::Expose,
    tree::Tree,
};

use crate::{
    Store, Tx,
    claim::{self, ClaimedRun, Turns},
    content,
    dataset::{self, NewTransform},
    error::StoreError,
    event::Note,
    fields::without_nul,
    judge::Asked,
    labels, plan,
    question::query,
    request::RequestRow,
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
    /// What the caller says of a function that exposes data.
    pub expose: Expose,
    /// The code that came along and is kept with its run: a script, or a
    /// function of the caller's that he has not pushed.
    pub script: Option<(Tree, Manifest)>,
    /// The version of a dataset that it is to make.
    pub transform: Option<NewTransform>,
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
    /// It was given the free place that the caller offered.
    pub claimed: Option<ClaimedRun>,
}

/// A free place to run in, held by whoever submits.
struct Place {
    boot: String,
    turns: Turns,
    /// What stands around the guest that waits there, where one does.
    begins: Option<Enforced>,
}

const EARLIER: &str = "SELECT body, run FROM idempotency WHERE caller = $1 AND label = $2";

const REMEMBER: &str = "
    INSERT INTO idempotency (caller, label, body, run) VALUES ($1, $2, $3, $4)";

const OPEN: &str = "
    SELECT COUNT(*) AS number FROM run
     WHERE caller = $1 AND state IN ('waiting', 'queued', 'starting', 'running')";

const ADD_REQUEST: &str = "
    INSERT INTO request (id, state, caller, run, function, function_version, plan, inputs, purpose,
                         at_ms, labels, asked_seq)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
            (SELECT COALESCE(MAX(seq), 0) FROM audit))";

const ADD_RUN: &str = "
    INSERT INTO run (id, request, caller, kind, plan, state, at_ms, ended_ms, reason, boot,
                     started_ms, enforced)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

impl Store {
    /// Asks for a run. It is queued, waits for owners, or was refused.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the key was used for something else, or
    /// when plan, inputs and function do not belong together;
    /// [`StoreError::TooMany`] when the caller has too many open runs.
    pub async fn run_submit(&self, new: NewRun, now_ms: i64) -> Result<Submitted, StoreError> {
        self.submit(new, None, now_ms).await
    }

    /// Asks for a run which the station's start `boot` has a free place for.
    /// It takes the place at once if it may run and nobody waits before it. Where
    /// a guest waits there inside of the walls `begins`, the same commit says that
    /// it begins, as [`Store::run_start`] does.
    ///
    /// # Errors
    ///
    /// As [`Store::run_submit`].
    pub async fn run_submit_and_claim(
        &self,
        new: NewRun,
        boot: &str,
        begins: Option<Enforced>,
        now_ms: i64,
    ) -> Result<Submitted, StoreError> {
        let place = Place {
            boot: boot.to_owned(),
            turns: self.turns(),
            begins,
        };
        self.submit(new, Some(place), now_ms).await
    }

    async fn submit(
        &self,
        new: NewRun,
        place: Option<Place>,
        now_ms: i64,
    ) -> Result<Submitted, StoreError> {
        if let Some((tree, _)) = &new.script {
            self.blobs().check(tree).await?;
        }
        self.change("submit a run", move |tx| {
            Box::pin(async move { submit(tx, new, place, now_ms).await })
        })
        .await
    }
}

async fn submit(
    tx: &mut Tx,
    new: NewRun,
    place: Option<Place>,
    now_ms: i64,
) -> Result<Submitted, StoreError> {
    if let Some(run) = earlier(tx, &new).await? {
        return Ok(Submitted {
            run,
            replayed: true,
            claimed: None,
        });
    }
    if let Some((tree, manifest)) = &new.script {
        content::keep(tx, tree, manifest).await?;
    }
    checks::check(tx, &new).await?;
    let labels = labels::of(tx, &new.inputs).await?;
    checks::check_expose(&new, &labels)?;
    checks::check_secrets(&new, &labels)?;
    let verdicts = match &new.kind {
        Kind::Script { .. } => Verdicts::new(),
        Kind::Function { name } => {
            let asked = Asked {
                caller: &new.caller,
                function: name,
                plan: &new.plan,
                inputs: &new.inputs,
                labels: &labels,
                purpose: &new.purpose,
                expose: new.expose,
            };
            asked.verdicts(tx, now_ms).await?
        }
    };
    let request = rows::request_of(&new, labels, verdicts, now_ms);
    plan::keep(tx, &request.plan_digest, &new.plan).await?;
    add_request(tx, &request).await?;
    add_verdicts(tx, &request).await?;
    let place = match place {
        Some(place) if request.state == request::State::Approved => {
            (!claim::is_queued(tx).await?).then_some(place)
        }
        _ => None,
    };
    let mut run = rows::run_of(&request, &new.kind, place.is_some());
    if let Some(enforced) = place.as_ref().and_then(|place| place.begins.as_ref()) {
        run.state = State::Running;
        run.started_ms = Some(now_ms);
        run.enforced = Some(enforced.clone());
    }
    add_run(tx, &run, place.as_ref()).await?;
    if let Some(transform) = &new.transform {
        dataset::transform::add(tx, &new.run, transform).await?;
    }
    if let Some((key, body)) = &new.idempotency {
        remember(tx, &new, key, body).await?;
    }
    note(tx, &request).await?;
    let claimed = match place {
        Some(place) => Some(claimed(tx, new, request, &place, now_ms).await?),
        None => None,
    };
    Ok(Submitted {
        run,
        replayed: false,
        claimed,
    })
}

/// What the worker gets that holds the place.
async fn claimed(
    tx: &mut Tx,
    new: NewRun,
    request: RequestRow,
    place: &Place,
    now_ms: i64,
) -> Result<ClaimedRun, StoreError> {
    let claimed = ClaimedRun {
        standing: run::standing(tx, &new.kind, &request, now_ms).await?,
        run: new.run,
        request: new.request,
        caller: new.caller,
        kind: new.kind,
        plan: new.plan,
        inputs: new.inputs,
        begun: place.begins.is_some(),
    };
    claim::note(tx, &claimed, &place.turns, now_ms).await?;
    if let Some(enforced) = &place.begins {
        claim::note_start(tx, &claimed.run, enforced, now_ms).await?;
    }
    Ok(claimed)
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
    // He may have been allowed then, and not now.
    let run = run::load(tx, &row.parsed("run")?).await?;
    Ok(run.map(run::for_caller))
}

async fn add_request(tx: &mut Tx, request: &RequestRow) -> Result<(), StoreError> {
    let function = request.function.as_ref().map(ObjectName::to_string);
    let question = query(ADD_REQUEST)
        .bind(request.id.as_str())
        .bind(request.state.as_str())
        .bind(request.caller.as_str())
        .bind(request.run.as_str())
        .bind(function)
        .bind(request.function_version.to_string())
        .bind(request.plan_digest.to_string())
        .bind(canonical_of(&request.inputs))
        .bind(request.purpose.as_str())
        .bind(request.at_ms)
        .bind(canonical_of(&request.labels));
    tx.execute(question).await.map(drop)
}

/// Writes the answers, and spends the approvals they rest on unless it is all over.
async fn add_verdicts(tx: &mut Tx, request: &RequestRow) -> Result<(), StoreError> {
    for (owner, answer) in &request.verdicts {
        verdict::put(tx, &request.id, owner, answer).await?;
        if request.state != request::State::Rejected
            && let Some(approval) = verdict::approval_of(answer)
        {
            verdict::spend(tx, approval).await?;
        }
    }
    Ok(())
}

async fn add_run(tx: &mut Tx, run: &RunRow, place: Option<&Place>) -> Result<(), StoreError> {
    let question = query(ADD_RUN)
        .bind(run.id.as_str())
        .bind(run.request.as_str())
        .bind(run.caller.as_str())
        .bind(canonical_of(&run.kind))
        .bind(run.plan.to_string())
        .bind(run.state.as_str())
        .bind(run.at_ms)
        .bind(run.ended_ms)
        .bind(run.reason.as_ref().map(canonical_of))
        .bind(place.map(|place| place.boot.clone()))
        .bind(run.started_ms)
        .bind(run.enforced.as_ref().map(canonical_of));
    tx.execute(question).await.map(drop)
}

async fn remember(tx: &mut Tx, new: &NewRun, key: &str, body: &Digest) -> Result<(), StoreError> {
    let question = query(REMEMBER)
        .bind(new.caller.as_str())
        .bind(without_nul(key).into_owned())
        .bind(body.to_string())
        .bind(new.run.as_str());
    tx.execute(question).await.map(drop)
}

async fn note(tx: &mut Tx, request: &RequestRow) -> Result<(), StoreError> {
    tx.note(Note {
        at_ms: request.at_ms,
        actor: request.caller.as_str(),
        action: "run.submit",
        subject: request.run.to_string(),
        detail: json!({
            "request": request.id,
            "function": request.function_version,
            "plan": request.plan_digest,
            "state": request.state,
        }),
        parties: request.verdicts.keys().collect(),
    })
    .await
}
