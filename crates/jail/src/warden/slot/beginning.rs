//! How a guest comes to its work: what is attached first, and the start.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::{Slot, Stage};
use crate::event::Cause;
use crate::jail::{Attachment, Origin, Program, Waiting};
use crate::kernel::CGROUP;
use crate::mutation::{Part, bound};
use crate::protocol::{Refusal, ToKeeper, ToWorker};
use crate::wire;

/// How long it may take to attach files to a guest that waits.
pub(super) const ATTACH_MS_MAX: u64 = 5_000;

impl Slot {
    /// Gives limits and files to a guest that waits. The keeper works on the
    /// files while the group gets its limits.
    pub(in crate::warden) fn attach(&mut self, attachment: Attachment, now: Instant) {
        if !matches!(self.stage, Stage::Waiting) {
            return;
        }
        self.stage = Stage::Attaching;
        self.deadline = Some(now + Duration::from_millis(ATTACH_MS_MAX));
        let limits = attachment.limits;
        self.begins = attachment.begins;
        // If the keeper is dead, its end will be told.
        let order = ToKeeper::Attach(attachment);
        let _ = wire::send(&self.cradle.socket, &order, &[]);
        match self.cradle.leaf.change(&self.limits, &limits) {
            Ok(()) => self.limits = limits,
            Err(error) => {
                let (wall, detail) = (CGROUP.to_owned(), error.to_string());
                self.refuse(Refusal { wall, detail }, now);
            }
        }
    }

    /// All is attached; a launched guest may begin with that.
    pub(super) fn attached(&mut self, now: Instant) {
        self.stage = Stage::Ready;
        self.deadline = None;
        if self.begins && matches!(self.waiting, Some(Waiting::Launched)) {
            self.start(None, &[], now);
        }
    }

    /// Lets a ready guest begin.
    pub(in crate::warden) fn start(
        &mut self,
        program: Option<Program>,
        input: &[OwnedFd],
        now: Instant,
    ) {
        if !self.is_ready() {
            return;
        }
        self.started = Some((now, self.cradle.leaf.cpu_us()));
        let begun = match (self.origin, self.waiting) {
            (Origin::Program, None | Some(Waiting::AtTheGate)) => self.open_gate(program, input),
            // It reads its input already.
            _ => Ok(()),
        };
        match begun {
            Ok(()) => {
                self.stage = Stage::Running;
                let wall_ms = bound(Part::TimeLimit, self.limits.wall_ms);
                self.deadline = Some(now + Duration::from_millis(wall_ms));
            }
            Err(_) => self.kill(Cause::Killed, now),
        }
    }

    /// Where its gateway listens; nobody else may hold it.
    pub(in crate::warden) fn take_gateway(&mut self) -> Option<OwnedFd> {
        self.gateway.take()
    }

    pub(super) fn open_gate(&self, program: Option<Program>, input: &[OwnedFd]) -> io::Result<()> {
        let gate = self.gate.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let input: Vec<_> = input.iter().map(|fd| fd.as_fd()).collect();
        wire::send(gate, &ToWorker::Begin { program }, &input)
    }
}
