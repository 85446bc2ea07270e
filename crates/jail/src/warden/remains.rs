//! The control groups of dead guests, until the kernel lets go of them.
//!
//! A guest's end is told when all of it is dead. Its keeper and init then end
//! by themselves, and the group can be removed; nobody waits for that. What
//! does not end by itself is killed here, and tried again until it is gone.

use std::time::{Duration, Instant};

use crate::cgroup::Leaf;

/// How long a keeper and its init have to end by themselves.
const CLEAR_AFTER_MS: u64 = 10;
/// Between two tries to remove a group that the kernel holds on to.
const HELD_MS: u64 = 100;
/// Groups that may wait for their end; with more, there are no new guests.
const LEAVES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Remains {
    /// Each with the time of its next try.
    leaves: Vec<(Leaf, Instant)>,
}

impl Remains {
    pub(super) fn add(&mut self, leaf: Leaf, now: Instant) {
        let due = now + Duration::from_millis(CLEAR_AFTER_MS);
        self.leaves.push((leaf, due));
    }

    /// Whether so much is left that something must be wrong with this host.
    pub(super) fn is_full(&self) -> bool {
        LEAVES_MAX <= self.leaves.len()
    }

    /// When the next try is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.leaves.iter().map(|(_, due)| *due).min()
    }

    /// Removes what is due and can be removed.
    pub(super) fn clear(&mut self, now: Instant) {
        self.leaves.retain_mut(|(leaf, due)| {
            if now < *due {
                return true;
            }
            *due = now + Duration::from_millis(HELD_MS);
            leaf.kill() || leaf.remove().is_err()
        });
    }

    /// All that is left, for the end.
    pub(super) fn give_up(&mut self) -> Vec<Leaf> {
        self.leaves.drain(..).map(|(leaf, _)| leaf).collect()
    }
}
