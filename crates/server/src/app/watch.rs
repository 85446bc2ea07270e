//! Who waits for news of a run, and how the news gets there.
//!
//! News says only *that* something changed; the listener reads the store for
//! what. So nothing is lost when a listener is slow, nothing is shown before
//! it is stored, and a listener costs no memory per log line. Nobody polls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use strongroom_core::id::RunId;
use tokio::sync::watch;

type Listened = HashMap<RunId, watch::Sender<()>>;

/// The runs that somebody listens to.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    runs: Arc<Mutex<Listened>>,
}

/// One listener's ear. Dropping it stops listening.
#[derive(Debug)]
pub struct Ear {
    watch: Watch,
    run: RunId,
    news: watch::Receiver<()>,
}

impl Watch {
    /// Starts to listen; whatever changes from now on is heard.
    pub fn listen(&self, run: &RunId) -> Ear {
        let news = self.with(|runs| {
            runs.entry(run.clone())
                .or_insert_with(|| watch::Sender::new(()))
                .subscribe()
        });
        Ear {
            watch: self.clone(),
            run: run.clone(),
            news,
        }
    }

    /// Tells the listeners of one run that it changed.
    pub fn changed(&self, run: &RunId) {
        self.with(|runs| {
            if let Some(sender) = runs.get(run) {
                sender.send_replace(());
            }
        });
    }

    /// Tells all listeners to look: more than one run may have changed.
    pub fn all_changed(&self) {
        self.with(|runs| {
            for sender in runs.values() {
                sender.send_replace(());
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
