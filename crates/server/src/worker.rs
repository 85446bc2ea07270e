//! The worker: takes approved runs off the queue and runs them.
//!
//! It is a door like HTTP is: it calls the store and the backend and is
//! called by nobody. It sleeps until a run is handed over or waits in the
//! queue; nothing is polled. As many runs execute at once as there are places,
//! and the next is claimed only when one is free, so that the order of the
//! queue is decided as late as it can be. A place whose run has ended goes to
//! the next run in the commit that ends the first.

mod execute;
mod laid;
mod log;
mod network;
mod outputs;
mod save;
mod stages;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::save::save;
use strongroom_run::Backend;
use strongroom_store::{ClaimedRun, StoreError};
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet, time::sleep};

use crate::app::{App, error::chain, live::Alive, queue::Handed};

/// How long the worker rests after the store failed it.
const REST: Duration = Duration::from_secs(1);

/// The worker of one station.
pub struct Worker {
    app: App,
    backend: Arc<Backend>,
    running: JoinSet<()>,
}

impl Worker {
    /// The one worker of `app`, with `slots` places in `backend`.
    pub fn new(app: App, backend: impl Into<Backend>, slots: u32) -> Self {
        let backend = Arc::new(backend.into());
        app.queue.open(slots, &backend);
        app.installer.use_backend(&backend);
        Self {
            app,
            backend,
            running: JoinSet::new(),
        }
    }

    /// Puts right what an earlier start left behind: what had not begun is
    /// queued again, what had is over.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the station cannot start then.
    pub async fn recover(app: &App) -> Result<(), StoreError> {
        let recovered = app.store.run_recover(app.now_ms()).await?;
        let (requeued, interrupted) = (recovered.requeued.len(), recovered.interrupted.len());
        if requeued != 0 || interrupted != 0 {
            tracing::info!(requeued, interrupted, "took up what an earlier start left");
        }
        Ok(())
    }

    /// Runs what is queued until the station stops. Guests that are running
    /// then are killed, and their runs say so.
    pub async fn run(mut self) {
        let Some(mut handed) = self.app.queue.handed() else {
            return tracing::error!("this station has a worker already");
        };
        let app = self.app.clone();
        // An earlier start may have left some.
        let mut somebody_waits = true;
        loop {
            while self.running.try_join_next().is_some() {}
            tokio::select! {
                biased;
                () = app.stop.cancelled() => break,
                Some(handed) = handed.recv() => {
                    let Handed { claimed, alive, place } = handed;
                    self.begin((claimed, alive), place);
                }
                () = app.queue.queued(), if !somebody_waits => somebody_waits = true,
                place = Arc::clone(&app.queue.places).acquire_owned(), if somebody_waits => {
                    let place = place.expect("the semaphore is never closed");
                    somebody_waits = self.claim(place).await;
                }
            }
        }
        // What was handed over last may be written down as begun, and ends here.
        handed.close();
        while let Ok(Handed {
            claimed,
            alive,
            place,
        }) = handed.try_recv()
        {
            self.begin((claimed, alive), place);
        }
        while self.running.join_next().await.is_some() {}
        self.backend.close().await;
    }

    /// Gives a place to the next run; whether there may be more who wait.
    async fn claim(&mut self, place: OwnedSemaphorePermit) -> bool {
        let (app, now_ms) = (&self.app, self.app.now_ms());
        match app.store.run_claim(&app.queue.boot, now_ms).await {
            Ok(Some(claimed)) => {
                let alive = app.live.enter(&claimed.run);
                self.begin((claimed, alive), place);
            }
            Ok(None) => return false,
            Err(error) => {
                tracing::error!(error = chain(&error), "could not claim a run");
                self.rest(REST).await;
            }
        }
        true
    }

    /// Runs a run, and in its place those that are claimed as it ends.
    fn begin(&mut self, first: (ClaimedRun, Alive), place: OwnedSemaphorePermit) {
        let (app, backend) = (self.app.clone(), Arc::clone(&self.backend));
        self.running.spawn(async move {
            let mut next = Some(first);
            while let Some((claimed, alive)) = next {
                let claimed = execute::whatever_happens(&app, &backend, claimed, alive).await;
                next = claimed.map(|claimed| {
                    let alive = app.live.enter(&claimed.run);
                    (claimed, alive)
                });
            }
            drop(place);
        });
    }

    async fn rest(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.app.stop.cancelled() => {}
        }
    }
}

/// Whether the time of day went far ahead of the time that has passed.
fn has_jumped(by_ms: i64, passed: Duration) -> bool {
    /// More than a clock is put right by, and less than what matters in days.
    const TOLERATED_MS: i64 = 3600 * 1000;
    let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
    TOLERATED_MS < by_ms.saturating_sub(passed_ms)
}

/// Ends requests that nobody answers and removes packages that nobody names,
/// from time to time, until the station stops.
pub async fn expire(app: App) {
    /// Fine enough for a bound that is counted in days.
    const EVERY: Duration = Duration::from_secs(600);
    let mut last = (app.now_ms(), Instant::now());
    loop {
        let now = (app.now_ms(), Instant::now());
        if has_jumped(now.0 - last.0, now.1 - last.1) {
            // What expires is gone for good. A clock that stays where it is is
            // believed the next time.
            tracing::warn!("the clock has jumped ahead; requests expire later");
        } else if let Err(error) = app.requests_expire().await {
            tracing::error!(error = chain(&error), "could not expire requests");
        }
        match app.dependencies_clear().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed packages that no function names"),
            Err(error) => tracing::error!(error = chain(&error), "could not look for packages"),
        }
        last = now;
        tokio::select! {
            () = sleep(EVERY) => {}
            () = app.stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, has_jumped};

    #[test]
    fn a_clock_that_jumps_ahead_is_not_believed_at_once_and_one_that_is_put_right_is() {
        let passed = Duration::from_secs(600);
        for (by_ms, jumped) in [
            (600_000, false),
            (630_000, false),
            (-9_000_000, false),
            (86_400_000, true),
        ] {
            assert_eq!(has_jumped(by_ms, passed), jumped, "{by_ms}");
        }
    }
}
