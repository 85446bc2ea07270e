//! A guest's log lines on their way into the store.
//!
//! Lines are gathered for a moment so that a talkative guest costs a commit
//! per batch and not per line. They are stored first and told of then. While
//! the store does not take them, the guest's pipe fills and the guest waits.

use std::time::Duration;

use strongroom_core::id::RunId;
use strongroom_run::LogChunk;
use strongroom_store::{LogLine, StoreError};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use crate::app::App;

/// The longest that a line waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// The most lines of one batch.
const LINES_MAX: usize = 256;
/// How often a batch is given to a store that does not take it.
const TRIES: u32 = 6;
/// The first rest after the store did not take a batch; it doubles.
const REST: Duration = Duration::from_millis(100);

/// Stores every line until the guest says no more.
///
/// # Errors
///
/// [`StoreError`] when the store does not take a batch; later lines are lost.
pub async fn keep(
    app: &App,
    run: &RunId,
    mut lines: mpsc::Receiver<LogChunk>,
) -> Result<(), StoreError> {
    let mut seq = 0;
    loop {
        let batch = gather(&mut lines).await;
        if batch.is_empty() {
            return Ok(());
        }
        let at_ms = app.now_ms();
        let batch: Vec<LogLine> = batch
            .into_iter()
            .map(|LogChunk { stream, text }| {
                seq += 1;
                LogLine {
                    seq,
                    at_ms,
                    stream,
                    text,
                }
            })
            .collect();
        append(app, run, &batch).await?;
        app.watch.changed(run);
    }
}

/// Waits for a line and for those that come right after it. Empty at the end.
async fn gather(lines: &mut mpsc::Receiver<LogChunk>) -> Vec<LogChunk> {
    let mut batch = Vec::new();
    if lines.recv_many(&mut batch, LINES_MAX).await == 0 {
        return batch;
    }
    let until = Instant::now() + GATHER;
    while batch.len() < LINES_MAX {
        let room = LINES_MAX - batch.len();
        match timeout_at(until, lines.recv_many(&mut batch, room)).await {
            Ok(count) if count != 0 => {}
            _ => break,
        }
    }
    batch
}

async fn append(app: &App, run: &RunId, batch: &[LogLine]) -> Result<(), StoreError> {
    let mut rest = REST;
    for _ in 1..TRIES {
        match app.store.log_append(run, batch).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(run.id = %run, %error, "could not store log lines yet"),
        }
        sleep(rest).await;
        rest *= 2;
    }
    app.store.log_append(run, batch).await
}
