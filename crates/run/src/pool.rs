//! Guests that wait for work, a shelf for each runtime.
//!
//! A run takes the one that waited longest; behind it a keeper of the shelf
//! makes another. How many there are follows the demand: one more after each
//! run that found none, fewer when some were never needed, none after a while
//! without runs. A shelf has one keeper, which sleeps until somebody takes
//! something or something is due. Each guest serves one run and is never put
//! back. Where nothing waits, runs go the plain way, so nothing here can make
//! a run fail.
//!
//! A caller who runs much, or on a runtime with modules to load ahead, gets a
//! zygote, and a shelf of his own that is filled with copies of it. When that
//! is empty a copy is made at once, which is still quicker than the plain way.

mod demand;
mod often;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use strongroom_core::{name::Name, plan::RuntimePin, runtime::RuntimeName};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use demand::{Demand, Next};
use often::Often;

use crate::{
    local::Shared,
    prepare::{PrepareError, of_seal},
    runtime::{Dependencies, Furniture},
    waiting::Waiting,
    zygotes::{self, Frozen},
};

/// How long the run that took something has the processor for itself, unless
/// another comes.
const AFTER_MS: u64 = 10;

/// How long the first run of a shelf has it, which has its interpreter to load.
const FIRST_MS: u64 = 50;

/// The shelves of one backend.
pub(crate) struct Pool {
    max: u32,
    places: Arc<Semaphore>,
    shelves: Mutex<BTreeMap<Label, Shelf>>,
    often: Mutex<Often>,
}

/// What a shelf holds: guests for one runtime, of anybody or copies for one caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    runtime: RuntimeName,
    /// What they show besides, for functions that bring packages.
    dependencies: Option<Dependencies>,
    tenant: Option<Name>,
}

/// What there is for a run.
pub(crate) enum Taken {
    Waiting(Box<Waiting>),
    /// Nothing waits, but a copy can be made of this.
    Zygote(Arc<Frozen>),
    Nothing,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "one that waited",
            Self::Zygote(_) => "a copy made now",
            Self::Nothing => "nothing",
        })
    }
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
            often: Mutex::default(),
        }
    }

    /// What there is for a run of `tenant` on this runtime. There will be more
    /// of it for a while.
    pub(crate) fn take(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        pin: &RuntimePin,
        runtime: &Furniture,
        tenant: &Name,
    ) -> Taken {
        if self.max == 0 {
            return Taken::Nothing;
        }
        let zygote = self.zygote(shared, pin, runtime, tenant);
        let label = Label {
            runtime: pin.name.clone(),
            dependencies: runtime.dependencies().cloned(),
            tenant: zygote.is_some().then(|| tenant.clone()),
        };
        let mut shelves = self.lock();
        // A keeper ends with its async runtime, and what it made is of no use
        // to another.
        shelves.retain(|_, shelf| !shelf.keeper.is_finished());
        let shelf = shelves.entry(label.clone()).or_insert_with(|| {
            let news = Arc::new(Notify::new());
            let keeper = keep(Arc::downgrade(shared), label.clone(), Arc::clone(&news));
            Shelf {
                waiting: VecDeque::new(),
                demand: Demand::new(Instant::now()),
                news,
                keeper: tokio::spawn(keeper),
            }
        });
        let mut found = shelf.take(pin, self.max as usize);
        shelf.news.notify_one();
        if found.is_none() && zygote.is_some() && self.places.available_permits() == 0 {
            found = give_up_one(&mut shelves, &label, pin);
        }
        let zygote_stands = zygote.is_some();
        let taken = match (found, zygote) {
            (Some(waiting), _) => Taken::Waiting(Box::new(waiting)),
            (None, Some(zygote)) => Taken::Zygote(zygote),
            (None, None) => Taken::Nothing,
        };
        tracing::debug!(runtime = %pin.name, zygote_stands, %taken, "a run asked for a guest");
        taken
    }

    /// The caller's zygote, if it stands. Has one made if that is worth it.
    fn zygote(
        &self,
        shared: &Arc<Shared>,
        pin: &RuntimePin,
        runtime: &Furniture,
        tenant: &Name,
    ) -> Option<Arc<Frozen>> {
        let live = shared.live_now()?;
        if !live.zygotes.are_wanted() || !runtime.can_stand_still() {
            return None;
        }
        let key = zygotes::Key {
            tenant: tenant.clone(),
            runtime: pin.digest,
        };
        let often = lock(&self.often).note(&key, Instant::now());
        let standing = live.zygotes.standing(&key);
        if standing.is_none() && (often || !runtime.preload().is_empty()) {
            live.dispatch();
            live.zygotes.want(&live, key, || {
                let jail = runtime.furnish_zygote(shared.runtimes.root())?;
                jail.seal(live.warden.kernel()).map_err(of_seal)
            });
        }
        standing
    }

    /// Makes a copy now, for a run that found nothing waiting.
    pub(crate) async fn copy(
        &self,
        shared: &Arc<Shared>,
        runtime: &Furniture,
        zygote: Arc<Frozen>,
    ) -> Result<Option<Waiting>, PrepareError> {
        make(
            shared,
            (runtime.name(), runtime.dependencies()),
            Some(zygote),
        )
        .await
    }

    /// How many wait for work on this runtime.
    pub(crate) fn waiting(&self, name: &RuntimeName) -> usize {
        let shelves = self.lock();
        let of_runtime = shelves.iter().filter(|(label, _)| label.runtime == *name);
        of_runtime.map(|(_, shelf)| shelf.waiting.len()).sum()
    }

    /// Whether one waits that this caller's runs may have.
    pub(crate) fn has_waiting(&self, name: &RuntimeName, tenant: &Name) -> bool {
        let may_have = |label: &Label| {
            label.runtime == *name && label.tenant.as_ref().is_none_or(|one| one == tenant)
        };
        let shelves = self.lock();
        let mut found = shelves.iter().filter(|(label, _)| may_have(label));
        found.any(|(_, shelf)| !shelf.waiting.is_empty())
    }

    /// Ends everything that waits, and all keepers.
    pub(crate) fn close(&self) {
        for (_, shelf) in std::mem::take(&mut *self.lock()) {
            shelf.keeper.abort();
        }
    }

    /// What the keeper of this shelf does next; the shelf is gone after its end.
    fn next(&self, label: &Label) -> Next {
        let mut shelves = self.lock();
        let next = shelves.get_mut(label).map_or(Next::End, Shelf::next);
        if matches!(next, Next::End) {
            shelves.remove(label);
        }
        next
    }

    fn made(&self, label: &Label, made: Result<Option<Waiting>, PrepareError>) {
        let mut shelves = self.lock();
        let Some(shelf) = shelves.get_mut(label) else {
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
                    runtime = %label.runtime,
                    error = &error as &dyn std::error::Error,
                    rest_ms = rest,
                    "could not make a guest ahead of its work"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Label, Shelf>> {
        lock(&self.shelves)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// One of those that wait for anybody, whose shelf then does with fewer: copies
/// that are wanted have no place as long as it holds them all.
fn give_up_one(
    shelves: &mut BTreeMap<Label, Shelf>,
    wanted: &Label,
    pin: &RuntimePin,
) -> Option<Waiting> {
    let anybodys = Label {
        tenant: None,
        ..wanted.clone()
    };
    let shelf = shelves.get_mut(&anybodys)?;
    let mut found = shelf.waiting.pop_front()?;
    shelf.demand.settle_for(shelf.waiting.len());
    found.is_good_for(pin).then_some(found)
}

/// Until a second run comes after the one that `news` tells of already.
async fn another(news: &Notify) {
    news.notified().await;
    news.notified().await;
}

/// The life of a shelf's keeper.
async fn keep(shared: Weak<Shared>, label: Label, news: Arc<Notify>) {
    // The run that this shelf is for began just now, and found nothing.
    let _ = timeout(Duration::from_millis(FIRST_MS), another(&news)).await;
    loop {
        let Some(alive) = shared.upgrade() else {
            return;
        };
        match alive.pool.next(&label) {
            Next::Make => {
                let zygote = match &label.tenant {
                    None => None,
                    Some(tenant) => match standing(&alive, &label, tenant) {
                        Some(zygote) => Some(zygote),
                        // It has gone, and its copies will: so does the shelf.
                        None => return drop(alive.pool.lock().remove(&label)),
                    },
                };
                let of = (&label.runtime, label.dependencies.as_ref());
                let made = make(&alive, of, zygote).await;
                alive.pool.made(&label, made);
            }
            Next::Rest(until) => {
                drop(alive);
                tokio::select! {
                    () = news.notified() => {
                        // An error means that nobody came.
                        let _ = timeout(Duration::from_millis(AFTER_MS), news.notified()).await;
                    }
                    () = sleep_until(until) => {}
                }
            }
            Next::End => return,
        }
    }
}

fn standing(shared: &Arc<Shared>, label: &Label, tenant: &Name) -> Option<Arc<Frozen>> {
    let dependencies = label.dependencies.as_ref();
    let furnished = shared.runtimes.furnished(&label.runtime, dependencies);
    let key = zygotes::Key {
        tenant: tenant.clone(),
        runtime: furnished.ok()?.0.digest,
    };
    shared.live_now()?.zygotes.standing(&key)
}

/// One more guest that waits; `None` when there is no place for it.
async fn make(
    shared: &Arc<Shared>,
    (name, dependencies): (&RuntimeName, Option<&Dependencies>),
    zygote: Option<Arc<Frozen>>,
) -> Result<Option<Waiting>, PrepareError> {
    let Ok(place) = Arc::clone(&shared.pool.places).try_acquire_owned() else {
        return Ok(None);
    };
    let (pin, runtime) = shared.runtimes.furnished(name, dependencies)?;
    let mut jail = runtime.furnish_ahead(shared.runtimes.root())?;
    if let Some(zygote) = &zygote {
        jail = jail.copy_of(zygote.slot());
    }
    let live = crate::prepare::live(shared).await?;
    Waiting::make(&live, pin, jail, (place, zygote))
        .await
        .map(Some)
}

#[cfg(test)]
mod tests;
