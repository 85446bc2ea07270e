//! Who waits for news of a run, and how the news gets there.
//!
//! News says only *that* something changed; the listener reads the store for
//! what. So nothing is lost when a listener is slow, nothing is shown before
//! it is stored, and a listener costs no memory per log line. The end alone is
//! handed round as it was stored, to those who listen then. Nobody polls.
//! A listener holds a connection for as long as he likes, so each user has a
//! bounded number of places to wait in.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use strongroom_core::{id::RunId, name::Name};
use strongroom_store::{LogLine, RunRow};
use tokio::sync::watch;

/// How many of one user's calls wait for news at once; a quarter of all
/// connections.
pub const PLACES_MAX: usize = 256;

/// A run that has ended, as it was stored.
#[derive(Debug, Clone)]
pub struct Ended {
    pub run: RunRow,
    /// All that its guest wrote, where that was little.
    pub log: Option<Vec<LogLine>>,
}

/// What is known of a run beside the store.
#[derive(Debug, Default)]
struct News {
    end: Option<Arc<Ended>>,
    /// How often its listeners were told that it may be over, or that what
    /// they may see of it changed.
    turns: u64,
}

type Listened = HashMap<RunId, watch::Sender<News>>;

/// The runs that somebody listens to.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    runs: Arc<Mutex<Listened>>,
    taken: Arc<Mutex<HashMap<Name, usize>>>,
    /// How often everybody was told to look.
    looks: Arc<AtomicU64>,
}

/// A user's place to wait in. Dropping it frees it.
#[derive(Debug)]
pub struct Place {
    watch: Watch,
    user: Name,
}

/// One listener's ear. Dropping it stops listening.
#[derive(Debug)]
pub struct Ear {
    watch: Watch,
    run: RunId,
    news: watch::Receiver<News>,
    turns: u64,
}

impl From<RunRow> for Ended {
    fn from(run: RunRow) -> Self {
        Self { run, log: None }
    }
}

impl Watch {
    /// Starts to listen; whatever changes from now on is heard.
    pub fn listen(&self, run: &RunId) -> Ear {
        let news = self.with(|runs| runs.entry(run.clone()).or_default().subscribe());
        let turns = news.borrow().turns;
        Ear {
            watch: self.clone(),
            run: run.clone(),
            news,
            turns,
        }
    }

    /// A place for one more call of `user` that waits, if he has one left.
    pub fn place(&self, user: &Name) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user.clone()).or_insert(0);
        if PLACES_MAX <= *count {
            return None;
        }
        *count += 1;
        Some(Place {
            watch: self.clone(),
            user: user.clone(),
        })
    }

    /// Tells the listeners of one run that it went on, and has not ended.
    pub fn went_on(&self, run: &RunId) {
        self.with(|runs| {
            if let Some(sender) = runs.get(run) {
                sender.send_modify(|_| {});
            }
        });
    }

    /// Tells the listeners of one run that it may have ended.
    pub fn may_be_over(&self, run: &RunId) {
        self.with(|runs| {
            if let Some(sender) = runs.get(run) {
                sender.send_modify(|news| news.turns += 1);
            }
        });
    }

    /// How often everybody was told to look so far.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Acquire)
    }

    /// Tells the listeners of one run how it ended, once that is stored. Where
    /// everybody was told to look since `looks`, they are told to look: what
    /// was stored may be for nobody's eyes any more.
    pub fn ended(&self, ended: Ended, looks: u64) {
        self.with(|runs| {
            if let Some(sender) = runs.get(&ended.run.id) {
                let stands = self.looks() == looks;
                sender.send_modify(|news| {
                    news.turns += 1;
                    news.end = stands.then(|| Arc::new(ended));
                });
            }
        });
    }

    /// Tells all listeners to look: more than one run may have changed. What
    /// was handed round before may be for nobody's eyes now.
    pub fn all_changed(&self) {
        self.looks.fetch_add(1, Ordering::Release);
        self.with(|runs| {
            for sender in runs.values() {
                sender.send_modify(|news| {
                    news.turns += 1;
                    news.end = None;
                });
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Listened) -> T) -> T {
        work(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ear {
    /// Waits until something changed since the last call.
    pub async fn news(&mut self) {
        // The sender lives as long as an ear does, so this cannot fail.
        let _ = self.news.changed().await;
    }

    /// Waits until the run may be over, or until there may be less of it to
    /// see, since the last call.
    pub async fn turn(&mut self) {
        let heard = self.turns;
        // As above.
        if let Ok(news) = self.news.wait_for(|news| news.turns != heard).await {
            self.turns = news.turns;
        }
    }

    /// The run that it listens to.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// How the run ended, if it did while this ear listened.
    pub fn ended(&self) -> Option<Arc<Ended>> {
        self.news.borrow().end.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.watch.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.watch.with(|runs| {
            // This ear's own receiver is still counted.
            if runs
                .get(&self.run)
                .is_some_and(|sender| sender.receiver_count() <= 1)
            {
                runs.remove(&self.run);
            }
        });
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
