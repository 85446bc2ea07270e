//! The runs that are executing in this process, and how to stop each.
//!
//! Stopping is asked here after the store knows of it; why the run ended is
//! what the store says, so a stop that comes too late changes nothing. This
//! is told from the app to the worker; the worker never calls back.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use strongroom_core::{id::RunId, name::Name};
use tokio::sync::oneshot;

/// The runs that are executing now.
#[derive(Debug, Default)]
pub struct Live {
    runs: Mutex<HashMap<RunId, oneshot::Sender<Name>>>,
}

/// A run's place among the living; dropping it takes the run out.
pub struct Alive<'a> {
    live: &'a Live,
    run: RunId,
}

impl Live {
    /// Enters a run before its sandbox is built. The receiver hears who ends it.
    pub fn enter(&self, run: &RunId) -> (Alive<'_>, oneshot::Receiver<Name>) {
        let (sender, receiver) = oneshot::channel();
        self.with(|runs| runs.insert(run.clone(), sender));
        (
            Alive {
                live: self,
                run: run.clone(),
            },
            receiver,
        )
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

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.live.with(|runs| runs.remove(&self.run));
    }
}
