//! One run from its claim to its end.
//!
//! The permits are minted from the owners' answers as they were when the run was
//! claimed, a moment ago. While the first sandbox is built the store is told that the
//! guest begins, and looks at the answers again, as it does before each later
//! stage; the guest waits for both, and never begins if the run was ended or
//! forbidden meanwhile. Where a guest waited when the run was asked for, all of that
//! was one change, and who ends the run since then is heard before it begins. Whatever happens here, the run ends with a reason, and the
//! store is told until it has heard.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;

use strongroom_core::{permit, run::Reason};
use strongroom_run::{Backend, Course};
use strongroom_store::{BlobError, ClaimedRun, Finish, LogLine, RunRow, StoreError};
use tokio::time::sleep;

use super::{
    laid::Laid,
    stages::{House, INTERRUPTED},
};
use crate::app::{App, error::chain, live::Alive, watch::Ended};

/// The first rest after the store did not take a run's end; it doubles.
const FINISH_REST: Duration = Duration::from_millis(100);
/// How often a run's end is told to a store that does not take it: for nearly
/// two minutes. After that the next start of the station ends the run.
const FINISH_TRIES: u32 = 11;

/// Runs what was claimed; the run that has its place now. Should this very code
/// fail, the run still ends.
pub async fn whatever_happens(
    app: &App,
    backend: &Backend,
    claimed: ClaimedRun,
    alive: Alive,
) -> Option<ClaimedRun> {
    let run = AssertUnwindSafe(execute(app, backend, &claimed, alive));
    match run.catch_unwind().await {
        Ok(next) => next,
        Err(_) => {
            let what = "the station failed while it ran this".to_owned();
            finish(app, &claimed, Finish::because(Reason::HostError { what })).await
        }
    }
}

/// Runs what was claimed, and tells the store how it ended.
async fn execute(
    app: &App,
    backend: &Backend,
    claimed: &ClaimedRun,
    mut alive: Alive,
) -> Option<ClaimedRun> {
    let not_begun = |reason| Finish {
        never_began: claimed.begun,
        ..Finish::because(reason)
    };
    if app.stop.is_cancelled() {
        return stopped(app, claimed, not_begun).await;
    }
    let (laid, mut course) = match ready(app, claimed).await {
        Ok(readied) => readied,
        Err(_) if app.stop.is_cancelled() => return stopped(app, claimed, not_begun).await,
        Err(reason) => return finish(app, claimed, not_begun(reason)).await,
    };
    let house = House {
        app,
        backend,
        claimed,
        laid: &laid,
    };
    let (first, begins) = tokio::join!(house.ready(&mut course), begin(app, claimed));
    let outcome = match (first, begins) {
        (_, Ok(false)) => {
            app.watch.may_be_over(&claimed.run);
            return None;
        }
        (_, Err(reason)) => Finish::because(reason),
        (Err(reason), Ok(true)) => Finish {
            never_began: true,
            ..Finish::because(reason)
        },
        (Ok(first), Ok(true)) => house.run(course, first, &mut alive.cancel).await,
    };
    finish(app, claimed, outcome).await
}

/// The station stops before the guest began. What is not written down as begun
/// the next start takes up again.
async fn stopped(
    app: &App,
    claimed: &ClaimedRun,
    not_begun: impl FnOnce(Reason) -> Finish,
) -> Option<ClaimedRun> {
    if !claimed.begun {
        return None;
    }
    let what = INTERRUPTED.to_owned();
    finish(app, claimed, not_begun(Reason::HostError { what })).await
}

pub(super) fn host_error(what: &str, error: &StoreError) -> Reason {
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

/// Why a guest does not begin: nobody lets it any more, or this host is at fault.
pub(super) fn no_leave(what: &str, error: StoreError) -> Reason {
    match error {
        StoreError::Refused { why } => Reason::Refused { why },
        error => host_error(what, &error),
    }
}

/// Lays out what the guest will see, and mints its permits.
async fn ready(app: &App, claimed: &ClaimedRun) -> Result<(Laid, Course), Reason> {
    let laid = Laid::of(app, claimed).await?;
    let standing = claimed.standing.as_core();
    let permits = permit::mint(claimed.run.clone(), &claimed.plan, &standing, app.now_ms());
    let permits = permits.map_err(|error| Reason::Refused {
        why: error.to_string(),
    })?;
    Ok((laid, Course::new(permits)))
}

/// Whether the guest may begin: not if the run was ended meanwhile. What will
/// stand around it is known from the jail's start; its end says what stood.
async fn begin(app: &App, claimed: &ClaimedRun) -> Result<bool, Reason> {
    if claimed.begun {
        return Ok(true);
    }
    let enforced = app.enforced();
    let started = app
        .store
        .run_start(&claimed.run, &enforced, app.now_ms())
        .await;
    let started =
        started.map_err(|error| no_leave("could not record that the guest begins", error))?;
    app.watch.went_on(&claimed.run);
    Ok(started)
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
        let looks = app.watch.looks();
        match store_finish(app, claimed, outcome).await {
            Ok((run, next)) => {
                // What the last try stored is not what the guest wrote.
                let log = log.filter(|_| attempt < FINISH_TRIES);
                app.watch.ended(Ended { run, log }, looks);
                app.transforms.ended(&claimed.run);
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
