//! The way from the app to the worker: free places, and runs handed over.
//!
//! Whoever submits a run holds a place while he does, if there is a free one;
//! a run that was claimed by its own submission goes to the worker together
//! with the place. Every other run waits in the store, and the worker is told
//! that it does. The worker brings the places, so where there is none every
//! run waits.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use strongroom_core::{name::Name, plan::Plan};
use strongroom_run::Backend;
use strongroom_store::ClaimedRun;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::{clock::random, live::Alive};

/// A run that was claimed, and the place it runs in.
#[derive(Debug)]
pub struct Handed {
    pub claimed: ClaimedRun,
    /// Its place among the living, since before it was claimed.
    pub alive: Alive,
    pub place: OwnedSemaphorePermit,
}

/// The way from the app to the worker.
pub struct Queue {
    /// Names this start of the station in the runs that it claims.
    pub boot: String,
    /// Where a guest could run now.
    pub places: Arc<Semaphore>,
    /// Where the guests are that wait; the worker's.
    backend: OnceLock<Weak<Backend>>,
    /// Never holds more than there are places, since each message holds one.
    handing: mpsc::UnboundedSender<Handed>,
    handed: Mutex<Option<mpsc::UnboundedReceiver<Handed>>>,
    queued: Notify,
}

/// Wakes the worker when it is dropped.
#[must_use]
pub struct Waking<'a>(&'a Queue);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl Default for Queue {
    fn default() -> Self {
        let (handing, handed) = mpsc::unbounded_channel();
        let boot = random::<8>().into_iter().map(|byte| format!("{byte:02x}"));
        Self {
            boot: boot.collect(),
            places: Arc::new(Semaphore::new(0)),
            backend: OnceLock::new(),
            handing,
            handed: Mutex::new(Some(handed)),
            queued: Notify::new(),
        }
    }
}

impl Queue {
    /// A free place, if there is one at this moment.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Opens so many places, where `backend` runs guests.
    pub fn open(&self, places: u32, backend: &Arc<Backend>) {
        let _ = self.backend.set(Arc::downgrade(backend));
        self.places.add_permits(places as usize);
    }

    /// Whether a guest waits at this moment that could take this run.
    pub fn has_waiting(&self, plan: &Plan, caller: &Name) -> bool {
        let backend = self.backend.get().and_then(Weak::upgrade);
        backend.is_some_and(|backend| backend.has_waiting(plan, caller))
    }

    /// Gives a run to the worker. Where it has gone already, the next start of
    /// the station takes the run up, or ends it if it was to begin at once.
    pub fn hand(&self, handed: Handed) {
        let _ = self.handing.send(handed);
    }

    /// Says that a run waits in the store.
    pub fn wake(&self) {
        self.queued.notify_one();
    }

    /// Says so when it is dropped, for a change that may be made though nobody
    /// waits for it any more. A claim is made after all changes before it.
    pub fn wake_after(&self) -> Waking<'_> {
        Waking(self)
    }

    /// Waits until it was said that a run waits in the store.
    pub async fn queued(&self) {
        self.queued.notified().await;
    }

    /// The runs that are handed over, for the one worker.
    pub fn handed(&self) -> Option<mpsc::UnboundedReceiver<Handed>> {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.take()
    }
}
