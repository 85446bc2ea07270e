//! The kill that leaves nothing.
//!
//! A run with a user of its own is killed by that user, with the one call that
//! reaches every process of a user at the same moment, so that no fork gets
//! away. A run that shares the station's user may not leave its process group,
//! which is killed by the one call for that.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait, waitpid};

use super::{User, watch};
use crate::event::Status;
use crate::mutation::{Part, stands};
use crate::syscall;

/// How long is looked for survivors, a millisecond apart.
const LOOK_MS_MAX: u64 = 30_000;
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

/// Kills everything below this process, reaps it, and says whether all of it
/// is gone. `reaped` hears of every end.
pub(super) fn kill_all(user: User, mut reaped: impl FnMut(i32, i32)) -> bool {
    if !stands(Part::KillAtTheEnd) {
        return true;
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let until = Instant::now() + Duration::from_millis(LOOK_MS_MAX);
    while Instant::now() < until {
        // What a run has started falls to its keeper: without a child there is
        // nothing to kill.
        if reap(&mut reaped) {
            return true;
        }
        if user.shared {
            kill_groups(&watch::children(own));
        } else if let Ok(killer) = kill_user(user.uid) {
            let _ = waitpid(Pid::from_raw(killer), WaitOptions::empty());
        }
        let _ = poll(&mut [], Some(&PAUSE));
    }
    false
}

/// Reaps who has ended; `true` when there is no child any more.
pub(super) fn reap(reaped: &mut impl FnMut(i32, i32)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => reaped(pid.as_raw_nonzero().get(), status.as_raw()),
            Ok(None) => return false,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// Starts to kill every process of a user, by becoming it.
fn kill_user(uid: u32) -> io::Result<i32> {
    syscall::fork(|| {
        if syscall::drop_groups().is_ok() && syscall::set_ids(uid, uid).is_ok() {
            syscall::kill_everyone();
        }
        syscall::exit_now(0)
    })
}

/// Kills what a dead warden's guests left running.
pub(super) fn kill_users(first: u32, count: u32) -> io::Result<()> {
    let users = first..first + count;
    let mut alive = BTreeSet::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        use std::os::unix::fs::MetadataExt as _;
        // A process that is not hidden belongs to its user here.
        let owner = entry.metadata().map_or(0, |found| found.uid());
        if users.contains(&owner) {
            alive.insert(owner);
        }
    }
    for uid in alive {
        let killer = kill_user(uid)?;
        // Later it would meet the next guest of this user. A warden ignores
        // its children, so this waits for the end and has nothing to reap.
        let _ = waitpid(Pid::from_raw(killer), WaitOptions::empty());
    }
    Ok(())
}

/// Kills the process group of each child, which holds the child's descendants
/// too: none of them may leave it. As long as a child is not reaped, no
/// stranger can get its group's number.
fn kill_groups(children: &[i32]) {
    let own = rustix::process::getpgrp();
    let mut killed = BTreeSet::new();
    for child in children.iter().copied().filter_map(Pid::from_raw) {
        match rustix::process::getpgid(Some(child)) {
            // Not in a group of its own yet.
            Ok(group) if group == own => {
                let _ = kill_process(child, Signal::KILL);
            }
            // Once for all of it: a storm has thousands of children.
            Ok(group) if killed.insert(group.as_raw_nonzero()) => {
                let _ = kill_process_group(group, Signal::KILL);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Kills every child's group but those of the given children.
pub(super) fn kill_all_except(kept: &[i32]) {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let until = Instant::now() + Duration::from_millis(LOOK_MS_MAX);
    while Instant::now() < until {
        let mut orphans = watch::children(own);
        orphans.retain(|pid| !kept.contains(pid));
        if orphans.is_empty() {
            return;
        }
        kill_groups(&orphans);
        let _ = poll(&mut [], Some(&PAUSE));
    }
}

/// How a process ended, in the kernel's words.
pub(super) fn status(raw: i32) -> Status {
    if libc::WIFSIGNALED(raw) {
        Status::Signaled(libc::WTERMSIG(raw))
    } else {
        Status::Exited(libc::WEXITSTATUS(raw))
    }
}
