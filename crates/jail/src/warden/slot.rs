//! One slot, from the order to build until everything of it is gone.
//!
//! The rule: an end is told once, after the last process of the guest is dead.
//! Whatever happens (a refusal, the time limit, a
//! keeper that vanishes) the slot goes through the same ending.

mod beginning;
mod copying;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

use super::outcome::{Outcome, Rooted, is_full, status, vanished};
use crate::cage::Cradle;
use crate::cgroup::{GroupError, Leaf, Usage};
use crate::disk;
use crate::event::{Cause, Exit, SlotId, Status};
use crate::jail::{Origin, Spec, Waiting};
use crate::limits::Limits;
use crate::protocol::{Refusal, Report};
use crate::wire::{self, Received};

/// How long a slot may take from the order to ready.
const PREPARE_MS_MAX: u64 = 10_000;
/// How long a zygote may take to load, in its keeper's count and some.
const LOAD_MS_MAX: u64 = 130_000;
/// How long the kernel may take to let go of a dead guest's group.
const REMOVE_MS_MAX: u64 = 5_000;
/// Between two looks at a group that is not empty yet.
const LOOK_AGAIN_MS: u64 = 1;
/// Between the kill and the first look, if nothing is heard before.
const FIRST_LOOK_MS: u64 = 20;

enum Stage {
    Preparing,
    /// For work, which is attached first.
    Waiting,
    Attaching,
    Ready,
    Running,
    Ending {
        since: Instant,
    },
}

/// What a slot's own processes told that others have to know.
pub(super) enum Heard {
    /// Its guest stands behind every wall; whether there is a `/proc`.
    Ready { proc: bool },
    /// It has its limits and files.
    Attached,
    /// It wants to be a copy of this zygote, with these descriptors.
    WantsCopy {
        of: SlotId,
        descriptors: Vec<OwnedFd>,
    },
    /// Its zygote has made a copy the guest of that slot.
    Grafted { number: u64, reaped_as: i32 },
    /// Its zygote could not.
    NotGrafted { number: u64, why: String },
    /// A process that its init reaped; maybe a copy.
    Reaped { pid: i32, wait_status: i32 },
}

pub(super) struct Slot {
    pub(super) cradle: Cradle,
    pub(super) origin: Origin,
    waiting: Option<Waiting>,
    /// Whether it begins with what is attached.
    begins: bool,
    out_on_disk: bool,
    /// The descriptors that a copy will get.
    descriptors: Vec<OwnedFd>,
    /// The namespaces of a frozen zygote, in which its copies are born.
    pub(super) ground: Option<[OwnedFd; 2]>,
    /// The order for a copy, once it is given, and how the copy will be reaped.
    pub(super) ordered: Option<u64>,
    pub(super) reaped_as: Option<i32>,
    limits: Limits,
    stage: Stage,
    /// When something is due if nothing happens before.
    pub(super) deadline: Option<Instant>,
    init: Option<(i32, OwnedFd)>,
    /// Where the worker hears of its start.
    gate: Option<OwnedFd>,
    /// Where its gateway listens, until it is handed over.
    gateway: Option<OwnedFd>,
    /// Init says that everyone else inside is dead.
    alone: bool,
    rooted: Option<Rooted>,
    pub(super) memory_watch: Option<OwnedFd>,
    memory_ran_out: bool,
    refusal: Option<Refusal>,
    status: Option<Status>,
    exec_failed: Option<String>,
    cause: Cause,
    started: Option<(Instant, u64)>,
    ended: Option<Instant>,
    /// The socket has no other end any more: keeper and init are gone.
    pub(super) deaf: bool,
    /// The keeper's end was seen.
    pub(super) keeper_gone: bool,
}

impl Slot {
    pub(super) fn new(cradle: Cradle, spec: &Spec, now: Instant) -> Self {
        Self {
            cradle,
            origin: spec.origin,
            waiting: spec.waiting,
            begins: false,
            out_on_disk: spec.out_on_disk,
            descriptors: Vec::new(),
            ground: None,
            ordered: None,
            reaped_as: None,
            limits: spec.limits,
            stage: Stage::Preparing,
            deadline: Some(now + Duration::from_millis(PREPARE_MS_MAX)),
            init: None,
            gate: None,
            gateway: None,
            alone: false,
            rooted: None,
            memory_watch: None,
            memory_ran_out: false,
            refusal: None,
            status: None,
            exec_failed: None,
            cause: Cause::Own,
            started: None,
            ended: None,
            deaf: false,
            keeper_gone: false,
        }
    }

    /// Writes the limits into the group, and watches its memory.
    pub(super) fn limit(&mut self) -> Result<(), GroupError> {
        self.cradle.leaf.limit(&self.limits_while_made())?;
        self.memory_watch = self.cradle.leaf.watch_memory()?;
        Ok(())
    }

    /// Reads every report that is there.
    pub(super) fn hear(&mut self, now: Instant) -> Vec<Heard> {
        let mut heard = Vec::new();
        while !self.deaf {
            match wire::receive_now::<Report>(&self.cradle.socket) {
                Ok(Received::Frame(report, descriptors)) => {
                    heard.extend(self.take(report, descriptors, now));
                }
                Ok(Received::Bare(_)) => self.refuse(Refusal::no_descriptors(), now),
                Ok(Received::Nothing) => break,
                Ok(Received::End) | Err(_) => self.deaf = true,
            }
        }
        heard
    }

    fn take(&mut self, report: Report, descriptors: Vec<OwnedFd>, now: Instant) -> Option<Heard> {
        let mut descriptors = descriptors.into_iter();
        match report {
            Report::Born { init } => {
                self.init = descriptors.next().map(|pidfd| (init, pidfd));
                self.gate = descriptors.next();
                self.gateway = descriptors.next();
            }
            Report::Rooted { proc } => {
                if let (Some(out), Some(scratch)) = (descriptors.next(), descriptors.next()) {
                    self.rooted = Some(Rooted { out, scratch, proc });
                }
                return self.wants_copy(descriptors, now);
            }
            Report::Ready if matches!(self.stage, Stage::Preparing) => return self.ready(now),
            Report::Attached if matches!(self.stage, Stage::Attaching) => {
                self.attached(now);
                return Some(Heard::Attached);
            }
            Report::Ready | Report::Attached => {}
            Report::Frozen => {
                let mut next = || descriptors.next();
                self.ground = next().zip(next()).map(<[OwnedFd; 2]>::from);
                return self.become_ready(now);
            }
            Report::Grafted { number, reaped_as } => {
                return Some(Heard::Grafted { number, reaped_as });
            }
            Report::NotGrafted { number, why } => {
                return Some(Heard::NotGrafted { number, why });
            }
            Report::Reaped { pid, wait_status } => {
                return Some(Heard::Reaped { pid, wait_status });
            }
            Report::Refused(refusal) => self.refuse(refusal, now),
            Report::ExecFailed(why) => self.exec_failed = Some(why),
            Report::Ended { wait_status } => self.guest_ended(wait_status, now),
            Report::Alone => {
                self.alone = true;
                self.deadline = Some(now);
            }
        }
        None
    }

    /// The worker of a zygote begins at once; it is ready when it stands still.
    fn ready(&mut self, now: Instant) -> Option<Heard> {
        if self.origin != Origin::Zygote {
            return self.become_ready(now);
        }
        if self.open_gate(None, &[]).is_err() {
            self.kill(Cause::Killed, now);
        }
        self.deadline = Some(now + Duration::from_millis(LOAD_MS_MAX));
        None
    }

    fn become_ready(&mut self, now: Instant) -> Option<Heard> {
        (self.stage, self.deadline) = match self.waiting {
            Some(_) => (
                Stage::Waiting,
                Some(now + Duration::from_millis(self.limits.wall_ms)),
            ),
            None => (Stage::Ready, None),
        };
        let proc = self.rooted.as_ref()?.proc;
        Some(Heard::Ready { proc })
    }

    /// The guest has ended, as its parent saw.
    pub(super) fn guest_ended(&mut self, wait_status: i32, now: Instant) {
        self.status = Some(status(wait_status));
        self.ended = Some(now);
        self.end(Cause::Own, now);
        // The init of a copy, which is not its parent, waits for us to hang up.
        self.gate = None;
    }

    /// Whether anything is being done in this slot; a ready one only waits.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Waiting | Stage::Ready)
    }

    /// Whether its `/out` lies on a disk.
    pub(super) fn has_disk(&self) -> bool {
        self.out_on_disk
    }

    /// Whether it only has to be started.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    /// Notes why this slot cannot be, and ends it.
    pub(super) fn refuse(&mut self, refusal: Refusal, now: Instant) {
        self.refusal.get_or_insert(refusal);
        self.kill(Cause::Own, now);
    }

    /// Ends the guest, whatever it is doing.
    pub(super) fn kill(&mut self, cause: Cause, now: Instant) {
        if let Some((_, init)) = &self.init {
            let _ = pidfd_send_signal(init, Signal::KILL);
        }
        let _ = pidfd_send_signal(&self.cradle.pidfd, Signal::KILL);
        self.end(cause, now);
    }

    fn end(&mut self, cause: Cause, now: Instant) {
        if !matches!(self.stage, Stage::Ending { .. }) {
            self.cause = cause;
            self.ended.get_or_insert(now);
            self.stage = Stage::Ending { since: now };
            self.deadline = Some(now + Duration::from_millis(FIRST_LOOK_MS));
        }
    }

    /// The kernel says that memory ran out. It kills one process; a guest that
    /// has lost a process is not the guest that was asked for, so all of it ends.
    pub(super) fn memory_ran_out(&mut self, now: Instant) {
        self.memory_ran_out = true;
        self.memory_watch = None;
        self.kill(Cause::Own, now);
    }

    /// The keeper is gone: nothing of the slot can be alive, or it must end now.
    pub(super) fn keeper_ended(&mut self, now: Instant) {
        self.keeper_gone = true;
        self.hear(now);
        self.kill(Cause::Own, now);
        self.deadline = Some(now);
    }

    /// Does what is due. Answers the outcome once everything is gone.
    pub(super) fn due(&mut self, now: Instant) -> Option<Outcome> {
        match self.stage {
            Stage::Preparing => self.too_slow("preparation", PREPARE_MS_MAX, now),
            Stage::Attaching => self.too_slow("attachment", beginning::ATTACH_MS_MAX, now),
            Stage::Ready => None,
            Stage::Waiting | Stage::Running => {
                self.kill(Cause::Timeout, now);
                None
            }
            Stage::Ending { since } => self.finish(since, now),
        }
    }

    fn too_slow(&mut self, wall: &str, ms_max: u64, now: Instant) -> Option<Outcome> {
        let (wall, detail) = (wall.to_owned(), format!("not done within {ms_max} ms"));
        self.refuse(Refusal { wall, detail }, now);
        None
    }

    fn finish(&mut self, since: Instant, now: Instant) -> Option<Outcome> {
        if self.is_empty() {
            let usage = self.cradle.leaf.usage();
            return Some(self.outcome(&usage));
        }
        let too_late = Duration::from_millis(REMOVE_MS_MAX) < now.duration_since(since);
        let inhabited = self.cradle.leaf.kill();
        let usage = self.cradle.leaf.usage();
        if !too_late && (inhabited || self.cradle.leaf.remove().is_err()) {
            self.deadline = Some(now + Duration::from_millis(LOOK_AGAIN_MS));
            return None;
        }
        self.hear(now);
        Some(self.outcome(&usage))
    }

    /// Whether only our own are left. Init says it first; the group has the last word.
    fn is_empty(&self) -> bool {
        let Some((init, _)) = self.init.as_ref().filter(|_| self.alone) else {
            return false;
        };
        let own = [self.cradle.pid, *init];
        let inside = self.cradle.leaf.processes();
        inside.iter().all(|pid| own.contains(pid))
    }

    fn outcome(&mut self, usage: &Usage) -> Outcome {
        let out_of_memory = self.memory_ran_out || usage.out_of_memory;
        let rooted = match (self.refusal.take(), self.rooted.take()) {
            (Some(refusal), _) => return Outcome::Refused(refusal),
            (None, Some(rooted)) => rooted,
            (None, None) => return Outcome::Refused(vanished(self.cause, out_of_memory)),
        };
        let begun = self.started.unwrap_or_else(|| (self.ended(), usage.cpu_us));
        let wall = self.ended().duration_since(begun.0);
        let exit = Exit {
            status: self.status.unwrap_or(Status::Signaled(libc::SIGKILL)),
            cause: match (self.cause, self.status) {
                (Cause::Own, None) if !out_of_memory => Cause::Lost,
                (cause, _) => cause,
            },
            out_of_memory,
            processes_refused: usage.processes_refused,
            out_full: match self.out_on_disk {
                true => disk::is_over(&rooted.out, &self.limits),
                false => is_full(&rooted.out),
            },
            tmp_full: is_full(&rooted.scratch),
            exec_failed: self.exec_failed.take(),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            cpu_ms: usage.cpu_us.saturating_sub(begun.1) / 1000,
            memory_peak_bytes: usage.memory_peak_bytes,
        };
        Outcome::Exited(Box::new(exit), rooted.out)
    }

    fn ended(&self) -> Instant {
        self.ended.unwrap_or_else(Instant::now)
    }

    /// What may still have to be cleared away, and what its own processes wait
    /// to see closed.
    pub(super) fn into_remains(self) -> (Leaf, OwnedFd) {
        (self.cradle.leaf, self.cradle.socket)
    }
}
