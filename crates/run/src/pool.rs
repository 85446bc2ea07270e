//! Guests that wait for work, a shelf for each runtime.
//!
//! A run takes the one that waited longest; behind it a keeper of the shelf
//! makes another. How many there are follows the demand: one more after each
//! run that found none, fewer when some were never needed, none after a while
//! without runs. A shelf has one keeper, which sleeps until somebody takes
//! something or something is due. Each guest serves one run and is never put
//! back. Where nothing waits, runs go the plain way, so nothing here can make
//! a run fail.

mod demand;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use strongroom_core::{plan::RuntimePin, runtime::RuntimeName};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use demand::{Demand, Next};

use crate::{local::Shared, prepare::PrepareError, waiting::Waiting};

/// How long the run that took something has the processor for itself.
const AFTER_MS: u64 = 5;

/// The shelves of one backend.
pub(crate) struct Pool {
    max: u32,
    places: Arc<Semaphore>,
    shelves: Mutex<BTreeMap<RuntimeName, Shelf>>,
}

/// What waits for work on one runtime.
struct Shelf {
    waiting: VecDeque<Waiting>,
    demand: Demand,
    news: Arc<Notify>,
    keeper: JoinHandle<()>,
}

impl Pool {
    pub(crate) fn new(max: u32) -> Self {
        Self {
            max,
            places: Arc::new(Semaphore::new(max as usize)),
            shelves: Mutex::default(),
        }
    }

    /// A guest that waits for work on this runtime, if there is one. Either
    /// way there will be more of them for a while.
    pub(crate) fn take(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        pin: &RuntimePin,
    ) -> Option<Waiting> {
        if self.max == 0 {
            return None;
        }
        let mut shelves = self.lock();
        // A keeper ends with its async runtime, and what it made is of no use
        // to another.
        shelves.retain(|_, shelf| !shelf.keeper.is_finished());
        let shelf = shelves.entry(pin.name.clone()).or_insert_with(|| {
            let news = Arc::new(Notify::new());
            let keeper = keep(Arc::downgrade(shared), pin.name.clone(), Arc::clone(&news));
            Shelf {
                waiting: VecDeque::new(),
                demand: Demand::new(Instant::now()),
                news,
                keeper: tokio::spawn(keeper),
            }
        });
        let found = shelf.take(pin, self.max as usize);
        shelf.news.notify_one();
        found
    }

    /// How many wait for work on this runtime.
    pub(crate) fn waiting(&self, name: &RuntimeName) -> usize {
        self.lock().get(name).map_or(0, |shelf| shelf.waiting.len())
    }

    /// Ends everything that waits, and all keepers.
    pub(crate) fn close(&self) {
        for (_, shelf) in std::mem::take(&mut *self.lock()) {
            shelf.keeper.abort();
        }
    }

    /// What the keeper of this shelf does next; the shelf is gone after its end.
    fn next(&self, name: &RuntimeName) -> Next {
        let mut shelves = self.lock();
        let next = shelves.get_mut(name).map_or(Next::End, Shelf::next);
        if matches!(next, Next::End) {
            shelves.remove(name);
        }
        next
    }

    fn made(&self, name: &RuntimeName, made: Result<Option<Waiting>, PrepareError>) {
        let mut shelves = self.lock();
        let Some(shelf) = shelves.get_mut(name) else {
            return;
        };
        match made {
            Ok(Some(waiting)) => {
                shelf.demand.made();
                shelf.waiting.push_back(waiting);
            }
            // All places are taken by other shelves.
            Ok(None) => shelf.demand.settle_for(shelf.waiting.len()),
            Err(error) => {
                let rest = shelf.demand.failed(Instant::now());
                tracing::warn!(
                    runtime = %name,
                    error = &error as &dyn std::error::Error,
                    rest_ms = rest,
                    "could not make a guest ahead of its work"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RuntimeName, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// The one that waited longest, if it is good for this runtime.
    fn take(&mut self, pin: &RuntimePin, max: usize) -> Option<Waiting> {
        let now = Instant::now();
        while let Some(mut waiting) = self.waiting.pop_front() {
            if waiting.is_good_for(pin) {
                self.demand.taken(self.waiting.len(), now);
                return Some(waiting);
            }
        }
        self.demand.missed(max, now);
        None
    }

    fn next(&mut self) -> Next {
        let now = Instant::now();
        let kept = self.demand.kept(self.waiting.len(), now);
        self.waiting.truncate(kept);
        self.demand.next(kept, now)
    }
}

/// The life of a shelf's keeper.
async fn keep(shared: Weak<Shared>, name: RuntimeName, news: Arc<Notify>) {
    loop {
        let Some(alive) = shared.upgrade() else {
            return;
        };
        match alive.pool.next(&name) {
            Next::Make => {
                let made = make(&alive, &name).await;
                alive.pool.made(&name, made);
            }
            Next::Rest(until) => {
                drop(alive);
                tokio::select! {
                    () = news.notified() => sleep(Duration::from_millis(AFTER_MS)).await,
                    () = sleep_until(until) => {}
                }
            }
            Next::End => return,
        }
    }
}

/// One more guest that waits; `None` when there is no place for it.
async fn make(shared: &Arc<Shared>, name: &RuntimeName) -> Result<Option<Waiting>, PrepareError> {
    let Ok(place) = Arc::clone(&shared.pool.places).try_acquire_owned() else {
        return Ok(None);
    };
    let (pin, runtime) = shared.runtimes.pinned(name)?;
    let jail = runtime.furnish_ahead(shared.runtimes.root())?;
    let live = crate::prepare::live(shared).await?;
    Waiting::make(&live, pin, jail, place).await.map(Some)
}

#[cfg(test)]
mod tests;
