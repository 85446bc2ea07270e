//! What a warden tells: a slot is ready, was refused, or is over.
//!
//! An end is told only after every process of the guest is dead. What the
//! kernel still has to take apart holds nothing of it. All numbers come from the kernel, none from the
//! guest. Deliberately absent: interpretation; the caller decides what a
//! signal or a full disk means for a run.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// A place for one guest, from 0 to the warden's `slots_max` - 1. Each has its
/// own host user id; it is free again after `Refused` or `Exited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId(pub u32);

/// News about one slot.
#[derive(Debug)]
pub enum Event {
    /// Every wall stands and the guest waits just before its first instruction.
    Ready {
        slot: SlotId,
        enforced: Enforced,
        /// What listens on [`GATEWAY`](crate::GATEWAY) in the guest's network,
        /// where its jail asked for one. It does not block.
        gateway: Option<OwnedFd>,
    },
    /// A guest that waited has its limits and files.
    Attached { slot: SlotId },
    /// A wall could not be built. Nothing of the guest ran; all is torn down.
    Refused {
        slot: SlotId,
        wall: String,
        detail: String,
    },
    /// The guest is dead, all of it. `out` is its `/out` directory.
    Exited {
        slot: SlotId,
        exit: Exit,
        out: OwnedFd,
    },
}

/// How much stands around guests. The configuration names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Every wall of the design.
    #[default]
    Full,
    /// What can stand inside an unmodified container.
    Reduced,
}

impl Tier {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reduced => "reduced",
        }
    }
}

/// What really holds one guest; part of a run's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// `full` or `reduced`, see [`Tier`].
    pub tier: String,
    /// The walls by name, in the order they were built.
    pub walls: Vec<String>,
    /// The Landlock version whose every right is handled.
    pub landlock_abi: u32,
    /// Whether the guest has a `/proc` of its own (it works without one).
    pub proc: bool,
    /// `v1`, `v2`, or `none` in the tier `reduced`.
    pub cgroup: String,
}

/// How a guest ended and what it used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub status: Status,
    pub cause: Cause,
    /// The kernel ended a process because the memory limit was reached.
    pub out_of_memory: bool,
    /// A process or thread was refused because of the limit on processes.
    pub processes_refused: bool,
    /// At the end `/out` was over its limit of bytes or files.
    pub out_full: bool,
    /// At the end `/tmp` and `/dev/shm` were over their limit.
    pub tmp_full: bool,
    /// Why the program could not be executed at all; its status is then 127.
    pub exec_failed: Option<String>,
    pub wall_ms: u64,
    pub cpu_ms: u64,
    pub memory_peak_bytes: u64,
}

/// The end of the guest's first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Exited(i32),
    Signaled(i32),
}

/// Whose doing the end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The guest's: it returned, crashed, or ran out of memory.
    Own,
    /// The warden's, at the wall time limit.
    Timeout,
    /// The supervisor's.
    Killed,
    /// The host's: the guest's processes vanished, and nobody said how it ended.
    /// Nothing inside can bring that about.
    Lost,
}
