//! One run from its claim to its end.
//!
//! The permit is minted from what the owners' answers are *now*. The store
//! hears that the guest begins before it does, and if the run was ended
//! meanwhile it never begins. Whatever happens here, the run ends with a
//! reason, and the store is told until it has heard.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;

use strongroom_core::{
    limits::Limits,
    permit::{self, Permit},
    run::Reason,
};
use strongroom_run::{Job, Local, PrepareError, Prepared};
use strongroom_store::{ClaimedRun, Finish, StoreError};
use tokio::{sync::mpsc, time::sleep};

use super::{log, outputs};
use crate::app::{App, error::chain};

/// The first rest after the store did not take a run's end; it doubles.
const FINISH_REST: Duration = Duration::from_millis(100);
/// How often a run's end is told to a store that does not take it: for nearly
/// two minutes. After that the next start of the station ends the run.
const FINISH_TRIES: u32 = 11;
/// Log lines between the guest's pipe and the store.
const LINES_WAITING_MAX: usize = 256;

const INTERRUPTED: &str = "interrupted: the station was stopped";

/// Runs what was claimed. Should this very code fail, the run still ends.
pub async fn whatever_happens(app: &App, local: &Local, claimed: ClaimedRun) {
    let run = AssertUnwindSafe(execute(app, local, claimed.clone()));
    if run.catch_unwind().await.is_err() {
        let what = "the station failed while it ran this".to_owned();
        finish(app, &claimed, Finish::because(Reason::HostError { what })).await;
        app.watch.changed(&claimed.run);
    }
}

/// Runs what was claimed, and tells the store how it ended.
async fn execute(app: &App, local: &Local, claimed: ClaimedRun) {
    let run = claimed.run.clone();
    let (_alive, cancel) = app.live.enter(&run);
    let outcome = match prepare(app, local, &claimed).await {
        Ok((prepared, limits)) => match begin(app, &claimed, &prepared).await {
            Ok(true) => guest(app, &claimed, prepared, limits, cancel).await,
            Ok(false) => return app.watch.changed(&run),
            Err(reason) => Finish::because(reason),
        },
        // It has not begun, so the next start takes it up again.
        Err(_) if app.stop.is_cancelled() => return,
        Err(reason) => Finish::because(reason),
    };
    finish(app, &claimed, outcome).await;
    app.watch.changed(&run);
}

fn host_error(what: &str, error: &dyn std::error::Error) -> Reason {
    tracing::error!(error = chain(error), "{what}");
    // Paths and what the database says stay here.
    Reason::HostError {
        what: what.to_owned(),
    }
}

/// Builds the sandbox, up to the moment before the guest begins.
async fn prepare(
    app: &App,
    local: &Local,
    claimed: &ClaimedRun,
) -> Result<(Prepared, Limits), Reason> {
    let job = job(app, claimed).await?;
    // Last of all, so that no answer can have changed since.
    let permit = mint(app, claimed).await?;
    let limits = permit.limits();
    match local.prepare(permit, job).await {
        Ok(prepared) => Ok((prepared, limits)),
        Err(error) => {
            match &error {
                PrepareError::Refused { .. } | PrepareError::RuntimeChanged => {}
                other => {
                    tracing::error!(run.id = %claimed.run, error = chain(other), "could not prepare a run")
                }
            }
            Err(match error.reason() {
                // Its causes are in the log; paths of this host stay here.
                Reason::HostError { .. } => Reason::HostError {
                    what: error.to_string(),
                },
                reason => reason,
            })
        }
    }
}

async fn mint(app: &App, claimed: &ClaimedRun) -> Result<Permit, Reason> {
    let standing = app
        .store
        .run_standing(&claimed.run, app.now_ms())
        .await
        .map_err(|error| host_error("could not read the owners' answers", &error))?;
    permit::mint(
        claimed.run.clone(),
        &claimed.plan,
        &standing.as_core(),
        app.now_ms(),
    )
    .map_err(|error| Reason::Refused {
        why: error.to_string(),
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
        entry: content.manifest.entry,
        function_dir,
        inputs,
    })
}

/// Whether the guest may begin: not if the run was ended meanwhile.
async fn begin(app: &App, claimed: &ClaimedRun, prepared: &Prepared) -> Result<bool, Reason> {
    let started = app
        .store
        .run_start(&claimed.run, prepared.enforced(), app.now_ms())
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
    let mut usage = ended.usage;
    if matches!(finish.reason, Reason::Succeeded | Reason::Failed { .. }) {
        finish.value = ended.value;
        match outputs::collect(app, ended.out, limits).await {
            Ok(files) => {
                usage.out_bytes += files.iter().map(|file| file.size_bytes).sum::<u64>();
                finish.files = files;
            }
            Err(reason) if finish.reason.is_success() => finish.reason = reason,
            Err(_) => {}
        }
    }
    if let Err(error) = kept {
        finish.reason = host_error("could not store the log", &error);
    }
    finish.usage = Some(usage);
    finish
}

/// Tells the store until it has heard, or until trying is over.
async fn finish(app: &App, claimed: &ClaimedRun, outcome: Finish) {
    let mut rest = FINISH_REST;
    for attempt in 1..=FINISH_TRIES {
        // A store that does not take the outcome may still take the bare end.
        let outcome = match attempt {
            FINISH_TRIES => Finish::because(Reason::HostError {
                what: "the outcome could not be stored".to_owned(),
            }),
            _ => outcome.clone(),
        };
        match app
            .store
            .run_finish(&claimed.run, outcome, app.now_ms())
            .await
        {
            Ok(_) => return,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(run.id = %claimed.run, attempt, error, "could not record a run's end");
            }
        }
        sleep(rest).await;
        rest *= 2;
    }
}
