//! The writer: every change goes through it, one after another.
//!
//! A change is whole or not at all, and nobody hears of it before it is on
//! the disk. Changes that wait at the same moment share one commit: each has a
//! savepoint of its own, so that one which is refused takes nothing with it,
//! and all hear of their ends after the commit they share. What fails the
//! commit itself fails all of them, and the next group begins on a new
//! connection. A change that was handed over is done even if whoever asked
//! has gone away.

use std::{panic::AssertUnwindSafe, pin::Pin};

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use crate::{
    connection::Connection,
    database::Source,
    error::{DatabaseError, StoreError},
    question::query,
};

/// The most changes that share a commit.
const GROUP_MAX: usize = 64;
/// The most changes that wait for the writer; who comes then waits outside.
pub(crate) const WAITING_MAX: usize = 256;

const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const SAVE: &str = "SAVEPOINT change";
const RELEASE: &str = "RELEASE SAVEPOINT change";
const BACK: &str = "ROLLBACK TO SAVEPOINT change";

/// The connection of the change that is under way.
pub(crate) struct Tx {
    pub connection: Connection,
}

/// What a change does.
pub(crate) type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;

/// A change on its way to the writer.
pub(crate) trait Change: Send {
    fn attempt(&self) -> &'static str;

    /// Does it; whether it is to be kept.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> Pin<Box<dyn Future<Output = bool> + Send + 't>>;

    /// Why it is not to be kept.
    fn refusal(&self) -> Option<&StoreError>;

    /// Tells who asked what came of it, and of the commit it was part of.
    fn tell(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A change of one kind, and who asked for it.
pub(crate) struct Asked<T, F> {
    pub attempt: &'static str,
    pub work: Option<F>,
    pub outcome: Option<Result<T, StoreError>>,
    pub reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Change for Asked<T, F>
where
    T: Send,
    F: for<'t> FnOnce(&'t mut Tx) -> Work<'t, T> + Send,
{
    fn attempt(&self) -> &'static str {
        self.attempt
    }

    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> Pin<Box<dyn Future<Output = bool> + Send + 't>> {
        tx.connection.attempt = self.attempt;
        Box::pin(async move {
            let work = self.work.take();
            let work = AssertUnwindSafe(async move {
                match work {
                    Some(work) => Some(work(tx).await),
                    None => None,
                }
            });
            // A panic is the mistake of one change, and costs no other anything.
            self.outcome = work.catch_unwind().await.unwrap_or(None);
            matches!(self.outcome, Some(Ok(_)))
        })
    }

    fn refusal(&self) -> Option<&StoreError> {
        match &self.outcome {
            Some(Err(error)) => Some(error),
            _ => None,
        }
    }

    fn tell(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            (Some(Ok(done)), Ok(())) => Ok(done),
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => {
                let why = DatabaseError::Together("it panicked".to_owned());
                Err(StoreError::db(self.attempt)(why))
            }
        };
        // Whoever asked may have gone away.
        let _ = self.reply.send(outcome);
    }
}

type Waiting = Box<dyn Change>;

/// Does changes until nobody can ask for any more.
pub(crate) async fn write(mut source: Source, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let mut tx = match source.begin(first.attempt()).await {
            Ok(tx) => tx,
            Err(error) => {
                first.tell(Err(error));
                continue;
            }
        };
        let mut group = Vec::new();
        let outcome = match waiting.is_empty() {
            true => alone(&mut tx, first, &mut group).await,
            false => together(&mut tx, first, &mut waiting, &mut group).await,
        };
        match &outcome {
            Ok(()) => source.keep(tx),
            Err(_) => source.discard(tx),
        }
        for change in group {
            let attempt = change.attempt();
            change.tell(match &outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(error.alike(attempt)),
            });
        }
    }
}

/// One change that nobody waits behind needs no savepoint.
async fn alone(
    tx: &mut Tx,
    mut change: Waiting,
    group: &mut Vec<Waiting>,
) -> Result<(), StoreError> {
    let kept = change.run(tx).await;
    group.push(change);
    let end = if kept { COMMIT } else { ROLLBACK };
    tx.execute(query(end)).await.map(drop)
}

/// Everything that waits, up to a bound, and one commit.
async fn together(
    tx: &mut Tx,
    first: Waiting,
    waiting: &mut mpsc::Receiver<Waiting>,
    group: &mut Vec<Waiting>,
) -> Result<(), StoreError> {
    let mut next = Some(first);
    while let Some(mut change) = next {
        let step = step(tx, &mut change).await;
        // Why the database gave up is said by the change that it gave up on.
        let step = step.map_err(|error| match change.refusal() {
            Some(refusal) => refusal.alike(change.attempt()),
            None => error,
        });
        group.push(change);
        step?;
        let room = group.len() < GROUP_MAX;
        next = room.then(|| waiting.try_recv().ok()).flatten();
    }
    tx.execute(query(COMMIT)).await.map(drop)
}

/// One change in a group: it, or nothing of it.
///
/// # Errors
///
/// When the whole group is lost: a database that had to give up in the middle
/// knows the savepoint no more.
async fn step(tx: &mut Tx, change: &mut Waiting) -> Result<(), StoreError> {
    tx.execute(query(SAVE)).await?;
    if !change.run(tx).await {
        tx.execute(query(BACK)).await?;
    }
    tx.execute(query(RELEASE)).await.map(drop)
}

impl std::ops::Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
