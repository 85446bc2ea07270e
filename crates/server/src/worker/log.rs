//! A guest's log lines on their way into the store.
//!
//! Lines are gathered for a moment so that a talkative guest costs a commit
//! per batch and not per line. They are stored first and told of then. The last
//! lines of a run go into the same commit as its end. While the store does not
//! take lines, the guest's pipe fills and the guest waits.

use std::time::Duration;

use strongroom_core::{
    id::RunId,
    run::{Reason, Stream},
    step::{Open, StepEvent},
};
use strongroom_run::LogChunk;
use strongroom_store::{LogLine, StoreError};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use crate::{app::App, gateway::Mask};

/// The longest that a line waits for others.
pub const GATHER: Duration = Duration::from_millis(50);
/// The most lines of one batch.
const LINES_MAX: usize = 256;
/// How often a batch is given to a store that does not take it.
const TRIES: u32 = 6;
/// The first rest after the store did not take a batch; it doubles.
const REST: Duration = Duration::from_millis(100);

/// What is known of a log when the guest says no more.
#[derive(Debug, Default)]
pub struct Kept {
    /// How many lines there are.
    pub count: i64,
    /// Those that are not stored yet.
    pub last: Vec<LogLine>,
    /// What its events have begun and not ended.
    open: Open,
}

impl Kept {
    /// Ends, in the station's name, what a guest left open that came to no end
    /// of its own.
    pub fn end(&mut self, reason: &Reason, at_ms: i64) {
        if reason.is_success() {
            return;
        }
        let by = match reason {
            Reason::Cancelled { by } => Some(by),
            _ => None,
        };
        let open = std::mem::take(&mut self.open);
        for event in open.ends(&reason.to_string(), by) {
            self.count += 1;
            self.last.push(LogLine {
                seq: self.count,
                at_ms,
                stream: Stream::Event,
                text: event.text(),
            });
        }
    }
}

/// Stores lines, without secrets, until the guest says no more, after the
/// `before` that there are already; the last ones, which are left to be stored with the run's end.
///
/// # Errors
///
/// [`StoreError`] when the store does not take a batch; later lines are lost.
pub async fn keep(
    app: &App,
    run: &RunId,
    before: i64,
    mask: &Mask,
    mut lines: mpsc::Receiver<LogChunk>,
) -> Result<Kept, StoreError> {
    let mut seq = before;
    let mut open = Open::default();
    loop {
        let (batch, is_last) = gather(&mut lines).await;
        let at_ms = app.now_ms();
        let batch: Vec<LogLine> = batch
            .into_iter()
            .map(|chunk| {
                seq += 1;
                let LogChunk { stream, text } = masked(mask, chunk, &mut open);
                LogLine {
                    seq,
                    at_ms,
                    stream,
                    text,
                }
            })
            .collect();
        if is_last {
            return Ok(Kept {
                count: seq,
                last: batch,
                open,
            });
        }
        append(app, run, &batch).await?;
    }
}

/// A line without secrets. An event that cannot be without them is none.
fn masked(mask: &Mask, chunk: LogChunk, open: &mut Open) -> LogChunk {
    let LogChunk { stream, text } = chunk;
    if stream != Stream::Event {
        let text = mask.hide(text);
        return LogChunk { stream, text };
    }
    let event = StepEvent::of_text(&text);
    match event.and_then(|event| event.hidden(&|text| mask.hide(text))) {
        Some(event) => {
            open.hear(&event);
            let text = event.text();
            LogChunk { stream, text }
        }
        None => LogChunk {
            stream: Stream::Stderr,
            text: mask.hide(text),
        },
    }
}

/// Waits for a line and for those that come right after it; whether the guest
/// says no more.
async fn gather(lines: &mut mpsc::Receiver<LogChunk>) -> (Vec<LogChunk>, bool) {
    let mut batch = Vec::new();
    if lines.recv_many(&mut batch, LINES_MAX).await == 0 {
        return (batch, true);
    }
    let until = Instant::now() + GATHER;
    while batch.len() < LINES_MAX {
        let room = LINES_MAX - batch.len();
        match timeout_at(until, lines.recv_many(&mut batch, room)).await {
            Ok(0) => return (batch, true),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    (batch, false)
}

/// Stores a batch, and tells those who listen.
pub async fn append(app: &App, run: &RunId, batch: &[LogLine]) -> Result<(), StoreError> {
    let mut rest = REST;
    for _ in 1..TRIES {
        match app.store.log_append(run, batch).await {
            Ok(()) => {
                app.watch.went_on(run);
                return Ok(());
            }
            Err(error) => tracing::warn!(run.id = %run, %error, "could not store log lines yet"),
        }
        sleep(rest).await;
        rest *= 2;
    }
    app.store.log_append(run, batch).await?;
    app.watch.went_on(run);
    Ok(())
}
