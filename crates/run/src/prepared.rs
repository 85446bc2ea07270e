//! A guest behind every wall, and its one run.
//!
//! While the guest runs, four things are watched at once and none waits for
//! another: its end, its log, its returned value and the wish to cancel it.
//! The jail keeps the time limit; a deadline here catches a jail that is gone
//! silent. Nothing that the guest writes is trusted.

use std::{
    io,
    net::TcpListener,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::Value;
use strongroom_core::{
    limits::Limits,
    name::Name,
    run::{Enforced, Reason, Stream, Usage},
    runtime::Answer,
    text,
};
use strongroom_jail::{Door, Pipes};
use tokio::{
    net::unix::pipe::Receiver,
    sync::{
        mpsc,
        oneshot::{self, error::TryRecvError},
    },
    time::{Instant, sleep_until, timeout},
};

pub(crate) use crate::beginning::Beginning;
use crate::{
    collect::OutFolder,
    guest::{Death, Guest},
    log::{self, Events, LogChunk},
    mutation::{Wall, bound},
    reason::{self, Stopped},
    result::{self, Written},
    slot::Slot,
};

/// How much later than the time limit the jail may report the end.
pub const REPORT_MS_MAX: u64 = 10_000;
/// How long what a dead guest wrote may take to be read and taken.
pub const DRAIN_MS_MAX: u64 = 30_000;

/// A guest that waits to begin. Dropping it ends the guest.
#[must_use]
pub struct Prepared {
    guest: Guest,
    pipes: Readers,
    enforced: Enforced,
    limits: Limits,
    beginning: Beginning,
    gateway: Option<TcpListener>,
    events: Events,
    /// Where the guest says what it returns.
    pub(crate) answer: Answer,
}

/// What comes out of a guest, and the way in to one that was launched.
pub(crate) struct Readers {
    stdout: Receiver,
    stderr: Receiver,
    pub(crate) result: Receiver,
    pub(crate) door: Option<Door>,
}

impl Readers {
    pub(crate) fn new(pipes: Pipes) -> io::Result<Self> {
        Ok(Self {
            stdout: Receiver::from_owned_fd(pipes.stdout)?,
            stderr: Receiver::from_owned_fd(pipes.stderr)?,
            result: Receiver::from_owned_fd(pipes.result)?,
            door: pipes.door,
        })
    }

    /// Of a guest whose words come from elsewhere, in this order.
    pub(crate) fn of([stdout, stderr, result]: [Receiver; 3]) -> Self {
        Self {
            stdout,
            stderr,
            result,
            door: None,
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub reason: Reason,
    /// What it used. The files in `/out` are added by who collects them.
    pub usage: Usage,
    /// What the function returned.
    pub value: Option<Value>,
    /// `/out`, if the sandbox stood.
    pub out: Option<OutFolder>,
    /// What was kept of its log.
    pub log_bytes: u64,
}

impl Prepared {
    pub(crate) fn new(
        slot: Slot,
        pipes: Readers,
        enforced: strongroom_jail::Enforced,
        limits: Limits,
        beginning: Beginning,
    ) -> Self {
        let enforced = Enforced {
            tier: enforced.tier,
            walls: enforced.walls,
        };
        Self::of(Guest::Jailed(slot), pipes, enforced, limits, beginning)
    }

    pub(crate) fn of(
        guest: Guest,
        pipes: Readers,
        enforced: Enforced,
        limits: Limits,
        beginning: Beginning,
    ) -> Self {
        Self {
            guest,
            pipes,
            enforced,
            limits,
            beginning,
            gateway: None,
            events: Events::None,
            answer: Answer::Value,
        }
    }

    /// The same guest, whose events are told from its other lines.
    pub(crate) fn with_events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    pub(crate) fn with_gateway(mut self, gateway: Option<OwnedFd>) -> Self {
        self.gateway = gateway.map(TcpListener::from);
        self
    }

    /// What listens for the guest, if its job has a gateway. It does not block;
    /// nobody answers the guest until somebody accepts from it, and it has to
    /// be closed for the guest's network to end.
    pub fn take_gateway(&mut self) -> Option<TcpListener> {
        self.gateway.take()
    }

    /// The walls that stand around this guest.
    pub fn enforced(&self) -> &Enforced {
        &self.enforced
    }

    /// Runs the guest to its end. Dropping the future ends the guest.
    ///
    /// Lines go to `log` as they come; a full channel slows the guest and not
    /// its clock. Whoever sends a name to `cancel` ends the run in that name,
    /// before its start as well; a sender that is dropped asks for nothing.
    pub async fn run(
        self,
        log: mpsc::Sender<LogChunk>,
        mut cancel: oneshot::Receiver<Name>,
    ) -> Ended {
        self.run_stage(log, &mut cancel).await
    }

    /// As [`Prepared::run`], for one stage of several: who wants the run to end
    /// is heard in each.
    pub async fn run_stage(
        self,
        log: mpsc::Sender<LogChunk>,
        cancel: &mut oneshot::Receiver<Name>,
    ) -> Ended {
        let Self {
            mut guest,
            pipes,
            limits,
            beginning,
            events,
            answer,
            ..
        } = self;
        // Where the answer is on stdout, the log has what would be the value.
        let (stdout, result) = match answer {
            Answer::Value => (pipes.stdout, pipes.result),
            Answer::Stdout => (pipes.result, pipes.stdout),
        };
        let killer = guest.killer();
        let mut stopped = Stopped::default();
        let log_over = AtomicBool::new(false);
        let value_max = bound(Wall::ValueBytes, result::value_len_max(limits.out_bytes));
        let mut written = None;
        let mut log_bytes = 0;
        let log_read = async {
            let bounds = (bound(Wall::LogBytes, limits.log_bytes), events);
            log_bytes = log::follow(stdout, pipes.stderr, bounds, &log, || {
                log_over.store(true, Ordering::Relaxed);
                killer.kill();
            })
            .await;
        };
        let value_read = async {
            written = Some(result::read(result, value_max, || killer.kill()).await);
        };
        let (death, all_read) = {
            let read = async { tokio::join!(log_read, value_read) };
            tokio::pin!(read);
            let mut all_read = false;
            let end = watch(&mut guest, beginning, &limits, cancel, &mut stopped);
            tokio::pin!(end);
            let death = loop {
                tokio::select! {
                    death = &mut end => break death,
                    _ = &mut read, if !all_read => all_read = true,
                }
            };
            if !all_read {
                // The guest is dead, so the pipes end as soon as they are empty.
                all_read = timeout(Duration::from_millis(DRAIN_MS_MAX), read)
                    .await
                    .is_ok();
            }
            (death, all_read)
        };
        stopped.log_over = log_over.into_inner();
        if matches!(written, Some(Written::TooLong)) {
            stopped.value_over = Some(value_max);
        }
        let mut ended = ended(death, (written, answer), &stopped, &limits, &log).await;
        ended.log_bytes = log_bytes;
        if !all_read && ended.reason.is_success() {
            ended.reason = Reason::HostError {
                what: "nobody took the guest's log".to_owned(),
            };
        }
        ended
    }
}

/// Starts the guest and waits until it is dead, killing it when asked.
async fn watch(
    guest: &mut Guest,
    beginning: Beginning,
    limits: &Limits,
    cancel: &mut oneshot::Receiver<Name>,
    stopped: &mut Stopped,
) -> Death {
    let killer = guest.killer();
    let asked = cancel.try_recv();
    // A channel that has answered, if only by being closed, is asked no more.
    let mut may_cancel = asked == Err(TryRecvError::Empty);
    if let Ok(by) = asked {
        stopped.cancelled = Some(by);
        killer.kill();
    } else if let Err(error) = guest.begin(beginning) {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not start a guest"
        );
        return Death::Host("the guest could not be started");
    }
    let latest =
        Instant::now() + Duration::from_millis(limits.time_ms.saturating_add(REPORT_MS_MAX));
    loop {
        tokio::select! {
            death = guest.death() => return death,
            by = &mut *cancel, if may_cancel => {
                may_cancel = false;
                if let Ok(by) = by {
                    stopped.cancelled = Some(by);
                    killer.kill();
                }
            }
            () = sleep_until(latest) => return Death::Host("nobody reported the guest's end"),
        }
    }
}

async fn ended(
    death: Death,
    (written, answer): (Option<Written>, Answer),
    stopped: &Stopped,
    limits: &Limits,
    log: &mpsc::Sender<LogChunk>,
) -> Ended {
    let (exit, leavings) = match death {
        Death::Host(what) => return lost(stopped, what),
        Death::Reported(exit, leavings) => (exit, leavings),
    };
    let mut reason = reason::of(stopped, &exit, limits);
    let out = leavings.folder().await;
    if out.is_none() && reason.is_success() {
        reason = Reason::HostError {
            what: "what the guest left could not be taken".to_owned(),
        };
    }
    let bytes = match written {
        Some(Written::Bytes(bytes)) => bytes,
        Some(Written::TooLong) | None => Vec::new(),
    };
    let out_bytes = bytes.len() as u64;
    let value = match result::value(bytes, answer, &reason).await {
        Ok(value) => value,
        Err(error) if reason.is_success() => {
            say(log, &format!("strongroom: the returned value is {error}")).await;
            reason = Reason::Failed {
                exit_code: None,
                signal: None,
            };
            None
        }
        // A guest that was ended in the middle of its sentence.
        Err(_) => None,
    };
    let usage = Usage {
        wall_ms: exit.wall_ms,
        cpu_ms: exit.cpu_ms,
        memory_peak_bytes: exit.memory_peak_bytes,
        out_bytes,
    };
    Ended {
        reason,
        usage,
        value,
        out: out.map(|out| out.beside_value(out_bytes)),
        log_bytes: 0,
    }
}

/// A run whose jail is gone; its cancel may have come in time all the same.
fn lost(stopped: &Stopped, what: &str) -> Ended {
    let reason = match &stopped.cancelled {
        Some(by) => Reason::Cancelled { by: by.clone() },
        None => Reason::HostError {
            what: what.to_owned(),
        },
    };
    Ended {
        reason,
        usage: Usage::default(),
        value: None,
        out: None,
        log_bytes: 0,
    }
}

/// A line of the station's own in the guest's log.
async fn say(log: &mpsc::Sender<LogChunk>, line: &str) {
    let chunk = LogChunk {
        stream: Stream::Stderr,
        text: text::line_shown(line),
    };
    let sent = timeout(Duration::from_millis(DRAIN_MS_MAX), log.send(chunk)).await;
    if sent.is_err() {
        tracing::warn!("gave up on a log that nobody took");
    }
}
