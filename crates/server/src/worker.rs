//! The worker: takes approved runs off the queue and runs them.
//!
//! It is a door like HTTP is: it calls the store and the backend and is
//! called by nobody. It sleeps until the app says that something was queued;
//! nothing is polled. As many runs execute at once as there are slots, and
//! the next is claimed only when one is free, so that the order of the queue
//! is decided as late as it can be.

mod execute;
mod log;
mod outputs;

use std::{sync::Arc, time::Duration};

use strongroom_run::Local;
use strongroom_store::StoreError;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::app::{App, error::chain};

/// How long the worker rests after the store failed it.
const REST: Duration = Duration::from_secs(1);

/// The worker of one station.
pub struct Worker {
    app: App,
    local: Arc<Local>,
    slots: Arc<Semaphore>,
    /// Names this start of the station in the runs that it claims.
    boot: String,
}

impl Worker {
    /// A worker with `slots` places in `local`.
    pub fn new(app: App, local: Local, slots: u32) -> Self {
        let boot = base16(&crate::app::clock::random::<8>());
        let slots = Arc::new(Semaphore::new(slots as usize));
        Self {
            app,
            local: Arc::new(local),
            slots,
            boot,
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
    pub async fn run(self) {
        let mut running = JoinSet::new();
        while let Some(slot) = self.free_slot().await {
            while running.try_join_next().is_some() {}
            match self
                .app
                .store
                .run_claim(&self.boot, self.app.now_ms())
                .await
            {
                Ok(Some(claimed)) => {
                    let (app, local) = (self.app.clone(), Arc::clone(&self.local));
                    running.spawn(async move {
                        execute::whatever_happens(&app, &local, claimed).await;
                        drop(slot);
                    });
                }
                Ok(None) => self.until_queued().await,
                Err(error) => {
                    tracing::error!(error = chain(&error), "could not claim a run");
                    self.rest(REST).await;
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn free_slot(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.app.stop.cancelled() => None,
            slot = Arc::clone(&self.slots).acquire_owned() => slot.ok(),
        }
    }

    async fn until_queued(&self) {
        tokio::select! {
            () = self.app.queued.notified() => {}
            () = self.app.stop.cancelled() => {}
        }
    }

    async fn rest(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.app.stop.cancelled() => {}
        }
    }
}

/// Ends requests that nobody answers, from time to time, until the station stops.
pub async fn expire(app: App) {
    /// Fine enough for a bound that is counted in days.
    const EVERY: Duration = Duration::from_secs(600);
    loop {
        if let Err(error) = app.requests_expire().await {
            tracing::error!(error = chain(&error), "could not expire requests");
        }
        tokio::select! {
            () = sleep(EVERY) => {}
            () = app.stop.cancelled() => return,
        }
    }
}

fn base16(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
