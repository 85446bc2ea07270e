//! Everything that happens inside a slot, from an empty process to a guest.
//!
//! Three processes, each a copy of the one before: the **keeper** waits in the
//! slot's control group with an empty network and builds when told; **init**
//! is pid 1 of the sandbox, makes the root, and reaps; the **worker** walks
//! into every wall and becomes the guest. All three report on one socket, which
//! closes for the worker when it becomes the guest.
//!
//! The rule: a step that fails is reported as a refusal and ends its process.
//! Deliberately absent: undoing; the warden kills the slot and its group.

mod attach;
pub(crate) mod command;
mod counters;
mod gateway;
#[cfg(target_arch = "x86_64")]
mod graft;
mod init;
mod keeper;
pub(crate) mod landlock;
mod mounting;
mod nodes;
pub(crate) mod privileges;
mod root;
#[cfg(target_arch = "x86_64")]
mod steering;
mod stem;
mod worker;
#[cfg(target_arch = "x86_64")]
mod zygote;

use std::convert::Infallible;
use std::os::fd::BorrowedFd;

use rustix::process::Signal;

use crate::mutation::{Part, stands};
use crate::protocol::{OrRefuse as _, Refusal, Report};
use crate::{kernel, syscall, wire};

pub(crate) use keeper::{Cradle, Filters, Network, spawn};

/// The user and group inside.
const GUEST_ID: u32 = 1000;
/// The host name inside.
const HOST_NAME: &str = "strongroom";
/// The exit code of our own processes after a refusal; never a guest's.
pub(crate) const REFUSED: i32 = 71;

/// Reports a refusal and ends this process.
fn refuse(socket: BorrowedFd<'_>, refusal: Refusal) -> ! {
    // The warden may be gone; then nobody needs to know.
    let _ = wire::send(socket, &Report::Refused(refusal), &[]);
    syscall::exit_now(REFUSED)
}

/// Ends this process with a report unless its life ended well.
fn end(socket: BorrowedFd<'_>, life: Result<Infallible, Refusal>) -> ! {
    match life {
        Ok(never) => match never {},
        Err(refusal) => refuse(socket, refusal),
    }
}

/// A keeper's life with a zygote: it freezes it, and makes copies when told.
#[cfg(target_arch = "x86_64")]
use steering::steer;

/// Copies are made by machine code that this processor has none of.
#[cfg(not(target_arch = "x86_64"))]
fn steer(
    _socket: BorrowedFd<'_>,
    _steering: std::os::fd::OwnedFd,
    _leaf: &crate::cgroup::Leaf,
    _limits: &crate::limits::Limits,
) -> Result<Infallible, Refusal> {
    Err("not on this processor").or_refuse(kernel::ZYGOTE, "freeze a zygote")
}

/// Dies with the parent from now on. A change of user id undoes this silently,
/// so it is called after the last one.
pub(crate) fn die_with_parent() -> Result<(), Refusal> {
    if !stands(Part::DeathSignal) {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .or_refuse(kernel::OTHER_NAMESPACES, "die with the parent")
}
