//! The runs that are executing in this process, and how to stop each.
//!
//! Stopping is asked here after the store knows of it; why the run ended is
//! what the store says, so a stop that comes too late changes nothing. This
//! is told from the app to the worker; the worker never calls back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use strongroom_core::{id::RunId, name::Name};
use tokio::sync::oneshot;

/// The runs that are executing now.
#[derive(Debug, Clone, Default)]
pub struct Live {
    runs: Arc<Mutex<HashMap<RunId, oneshot::Sender<Name>>>>,
}

/// A run's place among the living; dropping it takes the run out.
#[derive(Debug)]
pub struct Alive {
    live: Live,
    run: RunId,
    /// Hears who ends it.
    pub cancel: oneshot::Receiver<Name>,
}

impl Live {
    /// Enters a run before the store says that it runs, so that nobody ends it
    /// in between without its hearing of it.
    pub fn enter(&self, run: &RunId) -> Alive {
        let (sender, cancel) = oneshot::channel();
        self.with(|runs| runs.insert(run.clone(), sender));
        Alive {
            live: self.clone(),
            run: run.clone(),
            cancel,
        }
    }

    /// Ends a run's guest in the name of `by`, if it has one.
    pub fn kill(&self, run: &RunId, by: &Name) {
        if let Some(sender) = self.with(|runs| runs.remove(run)) {
            // Nobody listens any more when it has just ended by itself.
            let _ = sender.send(by.clone());
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<RunId, oneshot::Sender<Name>>) -> T) -> T {
        work(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.live.with(|runs| runs.remove(&self.run));
    }
}
