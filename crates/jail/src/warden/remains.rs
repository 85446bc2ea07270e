//! What is left of dead guests, until the kernel lets go of it.
//!
//! A guest's end is told when all of it is dead. Its keeper and init end when
//! the warden hangs up, which it does a moment later: the kernel has its
//! namespaces to take apart then, and the station has an end to write down.
//! Then the group can be removed; nobody waits for that. What does not end by
//! itself is killed here, and tried again until it is gone.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::cgroup::Leaf;

/// How long a station has the processors for itself after an end.
const HANG_UP_AFTER_MS: u64 = 3;
/// How long a keeper and its init have to end by themselves.
const CLEAR_AFTER_MS: u64 = 10;
/// Between two tries to remove a group that the kernel holds on to.
const HELD_MS: u64 = 100;
/// Groups that may wait for their end; with more, there are no new guests.
const LEAVES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Remains {
    rests: Vec<Rest>,
}

struct Rest {
    leaf: Leaf,
    /// What keeper and init hear us on, until we hang up.
    socket: Option<OwnedFd>,
    /// When the next step is due.
    due: Instant,
}

impl Remains {
    /// A group whose processes end by themselves.
    pub(super) fn add(&mut self, leaf: Leaf, now: Instant) {
        self.rests.push(Rest {
            leaf,
            socket: None,
            due: now + Duration::from_millis(CLEAR_AFTER_MS),
        });
    }

    /// The group of a slot that is over, and our end of its socket.
    pub(super) fn add_last_of(&mut self, (leaf, socket): (Leaf, OwnedFd), now: Instant) {
        self.rests.push(Rest {
            leaf,
            socket: Some(socket),
            due: now + Duration::from_millis(HANG_UP_AFTER_MS),
        });
    }

    /// Whether so much is left that something must be wrong with this host.
    pub(super) fn is_full(&self) -> bool {
        LEAVES_MAX <= self.rests.len()
    }

    /// When the next step is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.rests.iter().map(|rest| rest.due).min()
    }

    /// Hangs up where that is due, and removes what is due and can be removed.
    pub(super) fn clear(&mut self, now: Instant) {
        self.rests.retain_mut(|rest| {
            if now < rest.due {
                return true;
            }
            if rest.socket.take().is_some() {
                rest.due = now + Duration::from_millis(CLEAR_AFTER_MS);
                return true;
            }
            rest.due = now + Duration::from_millis(HELD_MS);
            rest.leaf.kill() || rest.leaf.remove().is_err()
        });
    }

    /// All that is left, for the end.
    pub(super) fn give_up(&mut self) -> Vec<Leaf> {
        self.rests.drain(..).map(|rest| rest.leaf).collect()
    }
}
