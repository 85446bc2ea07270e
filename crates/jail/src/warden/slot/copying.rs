//! How a sandbox comes to its guest when that is a copy of a zygote.

use std::os::fd::OwnedFd;
use std::time::Instant;

use super::{Heard, Slot, Stage};
use crate::jail::Origin;
use crate::kernel::CGROUP;
use crate::limits::Limits;
use crate::protocol::{Graft, Refusal};

impl Slot {
    /// Whoever makes copies, or the sandbox of one, does so in two more steps.
    pub(super) fn limits_while_made(&self) -> Limits {
        let more = match self.origin {
            Origin::Program => 0,
            Origin::Zygote | Origin::CopyOf(_) => 2,
        };
        let processes = self.limits.processes.saturating_add(more);
        Limits {
            processes,
            ..self.limits
        }
    }

    /// What its zygote's keeper has to be told of a copy.
    pub(in crate::warden) fn graft(&mut self, number: u64) -> Graft {
        self.ordered = Some(number);
        Graft {
            number,
            group: self.cradle.leaf.directories().to_vec(),
            limits: self.limits,
            waits: self.waiting.is_some(),
        }
    }

    /// Keeps what a copy will get once its sandbox stands.
    pub(in crate::warden) fn keep(&mut self, descriptors: Vec<OwnedFd>) {
        self.descriptors = descriptors;
    }

    pub(super) fn wants_copy(
        &mut self,
        namespaces: impl Iterator<Item = OwnedFd>,
        now: Instant,
    ) -> Option<Heard> {
        let Origin::CopyOf(of) = self.origin else {
            return None;
        };
        let made = self.limits_while_made();
        if let Err(error) = self.cradle.leaf.change(&made, &self.limits) {
            let (wall, detail) = (CGROUP.to_owned(), error.to_string());
            self.refuse(Refusal { wall, detail }, now);
            return None;
        }
        let mut descriptors = std::mem::take(&mut self.descriptors);
        descriptors.extend(namespaces);
        Some(Heard::WantsCopy { of, descriptors })
    }

    /// A copy runs: the slot is as ready as one whose worker waits.
    pub(in crate::warden) fn grafted(&mut self, now: Instant) -> Option<Heard> {
        match self.stage {
            Stage::Preparing => self.become_ready(now),
            _ => None,
        }
    }
}
