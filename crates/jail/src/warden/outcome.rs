//! How a slot ended, from what the kernel says.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::event::{Cause, Exit, Status};
use crate::kernel::CGROUP;
use crate::protocol::Refusal;

/// What init handed over.
pub(super) struct Rooted {
    pub(super) out: OwnedFd,
    pub(super) scratch: OwnedFd,
    pub(super) proc: bool,
}

/// How a slot ended.
pub(super) enum Outcome {
    Refused(Refusal),
    Exited(Box<Exit>, OwnedFd),
}

/// A slot whose processes were gone before there was a root.
pub(super) fn vanished(cause: Cause, out_of_memory: bool) -> Refusal {
    let (wall, detail) = match cause {
        _ if out_of_memory => (CGROUP, "the memory limit is too small to build a sandbox"),
        Cause::Killed => ("preparation", "killed before it was ready"),
        _ => ("preparation", "its keeper ended before it was ready"),
    };
    Refusal {
        wall: wall.to_owned(),
        detail: detail.to_owned(),
    }
}

pub(super) fn status(raw: i32) -> Status {
    if libc::WIFSIGNALED(raw) {
        Status::Signaled(libc::WTERMSIG(raw))
    } else {
        Status::Exited(libc::WEXITSTATUS(raw))
    }
}

/// Whether a bounded file system went over its limit: its last page or file,
/// which lies beyond the limit, is taken.
pub(super) fn is_full(directory: &OwnedFd) -> bool {
    match rustix::fs::fstatfs(directory.as_fd()) {
        Ok(found) => found.f_bfree == 0 || found.f_ffree == 0,
        Err(_) => false,
    }
}
