//! One run from its claim to its end.
//!
//! The permit is minted from the owners' answers as they were when the run was
//! claimed, a moment ago. While the sandbox is built the store is told that the
//! guest begins; the guest waits for both, and never begins if the run was
//! ended meanwhile. Whatever happens here, the run ends with a reason, and the
//! store is told until it has heard.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;

use strongroom_core::{
    limits::Limits,
    permit::{self, Permit},
    run::{Enforced, OutputFile, Reason},
};
use strongroom_run::{Job, Local, OutFolder, PrepareError, Prepared, Reach};
use strongroom_store::{BlobError, ClaimedRun, Finish, LogLine, RunRow, StoreError};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{log, outputs};
use crate::app::{App, error::chain, watch::Ended};

/// The first rest after the store did not take a run's end; it doubles.
const FINISH_REST: Duration = Duration::from_millis(100);
/// How often a run's end is told to a store that does not take it: for nearly
/// two minutes. After that the next start of the station ends the run.
const FINISH_TRIES: u32 = 11;
/// Log lines between the guest's pipe and the store.
const LINES_WAITING_MAX: usize = 256;

const INTERRUPTED: &str = "interrupted: the station was stopped";

/// Runs what was claimed; the run that has its place now. Should this very code
/// fail, the run still ends.
pub async fn whatever_happens(app: &App, local: &Local, claimed: ClaimedRun) -> Option<ClaimedRun> {
    let run = AssertUnwindSafe(execute(app, local, &claimed));
    match run.catch_unwind().await {
        Ok(next) => next,
        Err(_) => {
            let what = "the station failed while it ran this".to_owned();
            finish(app, &claimed, Finish::because(Reason::HostError { what })).await
        }
    }
}

/// Runs what was claimed, and tells the store how it ended.
async fn execute(app: &App, local: &Local, claimed: &ClaimedRun) -> Option<ClaimedRun> {
    if app.stop.is_cancelled() {
        // It has not begun, so the next start takes it up again.
        return None;
    }
    let (_alive, cancel) = app.live.enter(&claimed.run);
    let readied = match ready(app, claimed).await {
        Ok(readied) => readied,
        // It has not begun, so the next start takes it up again.
        Err(_) if app.stop.is_cancelled() => return None,
        Err(reason) => return finish(app, claimed, Finish::because(reason)).await,
    };
    let limits = readied.1.limits();
    let (prepared, begins) = tokio::join!(prepare(local, claimed, readied), begin(app, claimed));
    let outcome = match (prepared, begins) {
        (_, Ok(false)) => {
            app.watch.changed(&claimed.run);
            return None;
        }
        (_, Err(reason)) => Finish::because(reason),
        (Err(reason), Ok(true)) => Finish {
            never_began: true,
            ..Finish::because(reason)
        },
        (Ok(prepared), Ok(true)) => guest(app, claimed, prepared, limits, cancel).await,
    };
    finish(app, claimed, outcome).await
}

fn host_error(what: &str, error: &StoreError) -> Reason {
    tracing::error!(error = chain(error), "{what}");
    // Paths and what the database says stay here; what the host lacks does not.
    let what = match error {
        StoreError::Lacking { lack, .. } | StoreError::Blob(BlobError::Lacking { lack, .. }) => {
            format!("{what}: {lack}")
        }
        _ => what.to_owned(),
    };
    Reason::HostError { what }
}

/// Lays out what the guest will see, and mints its permit.
async fn ready(app: &App, claimed: &ClaimedRun) -> Result<(Job, Permit), Reason> {
    let job = job(app, claimed).await?;
    let standing = claimed.standing.as_core();
    let permit = permit::mint(claimed.run.clone(), &claimed.plan, &standing, app.now_ms());
    let permit = permit.map_err(|error| Reason::Refused {
        why: error.to_string(),
    })?;
    Ok((job, permit))
}

/// Builds the sandbox, up to the moment before the guest begins.
async fn prepare(
    local: &Local,
    claimed: &ClaimedRun,
    (job, permit): (Job, Permit),
) -> Result<Prepared, Reason> {
    local.prepare(permit, job).await.map_err(|error| {
        match &error {
            PrepareError::Refused { .. } | PrepareError::RuntimeChanged => {}
            other => {
                tracing::error!(run.id = %claimed.run, error = chain(other), "could not prepare a run")
            }
        }
        match error.reason() {
            // Its causes are in the log; paths of this host stay here.
            Reason::HostError { .. } => Reason::HostError {
                what: error.to_string(),
            },
            reason => reason,
        }
    })
}

/// Lays out what the guest will see.
async fn job(app: &App, claimed: &ClaimedRun) -> Result<Job, Reason> {
    let wrong =
        |error: StoreError| host_error("could not lay out the function and its inputs", &error);
    let content = app
        .store
        .function_content(&claimed.plan.function)
        .await
        .map_err(wrong)?;
    let content = content.ok_or_else(|| wrong(StoreError::NotFound))?;
    let blobs = app.store.blobs();
    let function_dir = blobs.view(&content.tree).await.map_err(wrong)?;
    let mut folders = Vec::new();
    for (_, version) in claimed.plan.inputs.iter() {
        let tree = app.store.dataset_tree(version).await.map_err(wrong)?;
        folders.push(blobs.view(&tree).await.map_err(wrong)?);
    }
    let mut folders = folders.into_iter();
    let inputs = claimed
        .plan
        .inputs
        .clone()
        .try_map(|_| folders.next().ok_or_else(|| wrong(StoreError::NotFound)))?;
    Ok(Job {
        tenant: claimed.caller.clone(),
        plan: claimed.plan.clone(),
        entry: content.manifest.entry.clone(),
        function_dir,
        inputs,
        reach: Reach::Nothing,
        secrets: BTreeMap::new(),
    })
}

/// Whether the guest may begin: not if the run was ended meanwhile. What will
/// stand around it is known from the jail's start; its end says what stood.
async fn begin(app: &App, claimed: &ClaimedRun) -> Result<bool, Reason> {
    let walls = app.walls.iter().filter(|wall| wall.enforced);
    let enforced = Enforced {
        tier: app.tier.clone(),
        walls: walls.map(|wall| wall.name.clone()).collect(),
    };
    let started = app
        .store
        .run_start(&claimed.run, &enforced, app.now_ms())
        .await;
    let started =
        started.map_err(|error| host_error("could not record that the guest begins", &error))?;
    app.watch.changed(&claimed.run);
    Ok(started)
}

/// Runs the guest and takes what came out of it.
async fn guest(
    app: &App,
    claimed: &ClaimedRun,
    prepared: Prepared,
    limits: Limits,
    cancel: tokio::sync::oneshot::Receiver<strongroom_core::name::Name>,
) -> Finish {
    let enforced = prepared.enforced().clone();
    let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
    let both = async {
        tokio::join!(
            prepared.run(sender, cancel),
            log::keep(app, &claimed.run, lines)
        )
    };
    let outcome = tokio::select! {
        both = both => Some(both),
        () = app.stop.cancelled() => None,
    };
    let mut finish = Finish::because(Reason::HostError {
        what: INTERRUPTED.to_owned(),
    });
    finish.enforced = Some(enforced);
    let Some((ended, kept)) = outcome else {
        return finish;
    };
    finish.reason = ended.reason;
    match kept {
        Ok(lines) => finish.log = lines,
        Err(error) => finish.reason = host_error("could not store the log", &error),
    }
    let mut usage = ended.usage;
    if matches!(finish.reason, Reason::Succeeded | Reason::Failed { .. }) {
        finish.value = ended.value;
        match collect(app, claimed, (ended.out, limits), &mut finish.log).await {
            Ok(files) => {
                usage.out_bytes += files.iter().map(|file| file.size_bytes).sum::<u64>();
                finish.files = files;
            }
            Err(reason) if finish.reason.is_success() => finish.reason = reason,
            Err(_) => {}
        }
    }
    finish.usage = Some(usage);
    finish
}

/// Takes the files. Where that takes long, the last lines are stored meanwhile.
async fn collect(
    app: &App,
    claimed: &ClaimedRun,
    (out, limits): (Option<OutFolder>, Limits),
    log: &mut Vec<LogLine>,
) -> Result<Vec<OutputFile>, Reason> {
    let mut collecting = std::pin::pin!(outputs::collect(app, out, limits));
    if let Ok(files) = timeout(log::GATHER, &mut collecting).await {
        return files;
    }
    let kept = log::append(app, &claimed.run, &std::mem::take(log)).await;
    let files = collecting.await;
    kept.map_err(|error| host_error("could not store the log", &error))?;
    files
}

/// Tells the store until it has heard, or until trying is over; the run that
/// has the place now.
async fn finish(app: &App, claimed: &ClaimedRun, outcome: Finish) -> Option<ClaimedRun> {
    let log = whole_log(&outcome.log);
    let mut rest = FINISH_REST;
    for attempt in 1..=FINISH_TRIES {
        // A store that does not take the outcome may still take the bare end.
        let outcome = match attempt {
            FINISH_TRIES => Finish::because(Reason::HostError {
                what: "the outcome could not be stored".to_owned(),
            }),
            _ => outcome.clone(),
        };
        match store_finish(app, claimed, outcome).await {
            Ok((run, next)) => {
                // What the last try stored is not what the guest wrote.
                let log = log.filter(|_| attempt < FINISH_TRIES);
                app.watch.ended(Ended { run, log });
                return next;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(run.id = %claimed.run, attempt, error, "could not record a run's end");
            }
        }
        sleep(rest).await;
        rest *= 2;
    }
    None
}

/// A station that stops takes no more runs.
async fn store_finish(
    app: &App,
    claimed: &ClaimedRun,
    outcome: Finish,
) -> Result<(RunRow, Option<ClaimedRun>), StoreError> {
    let (store, now_ms) = (&app.store, app.now_ms());
    if app.stop.is_cancelled() {
        let run = store.run_finish(&claimed.run, outcome, now_ms).await?;
        return Ok((run, None));
    }
    store
        .run_finish_and_claim(&claimed.run, outcome, &app.queue.boot, now_ms)
        .await
}

/// The last lines, if they are all there were. Where there is none, there may
/// have been some before.
fn whole_log(lines: &[LogLine]) -> Option<Vec<LogLine>> {
    (lines.first()?.seq == 1).then(|| lines.to_vec())
}
