//! The warden: one process, one thread, that builds and ends every sandbox.
//!
//! It runs from a sealed copy of the supervisor's own program, with an empty
//! environment and no descriptors but its socket. It never waits for anything
//! except in `poll`; all building happens in keepers. When its socket closes it
//! kills every guest, removes its control groups, and ends.
//! Deliberately absent: threads, async, and trust in what a guest wrote: it
//! never reads a byte of one.

mod cradles;
mod house;
pub(crate) mod link;
mod outcome;
mod remains;
mod slot;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::fd::OwnedFd;

use crate::event::Tier;
use crate::kernel::USER_NAMESPACE;
use crate::mutation::{Part, stands};
use crate::protocol::{OrRefuse as _, Refusal, ToWarden};
use crate::supervisor::WardenConfig;
use crate::wire::{self, Received};
use crate::{reduced, syscall};

/// The name under which a supervisor starts its own program as a warden.
pub(crate) const NAME: &str = "strongroom-warden";

/// Becomes a warden and never returns, if this process was started as one.
///
/// Must come first in `main`, before any thread.
pub fn main_if_asked() {
    let asked = std::env::args_os().next();
    if asked.as_deref() != Some(OsStr::new(NAME)) {
        return;
    }
    let code = match live() {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "strongroom warden: {error}");
            1
        }
    };
    syscall::exit_now(code)
}

fn live() -> io::Result<()> {
    let socket = take_socket()?;
    // Run from memory, it would otherwise be called after a descriptor.
    let _ = rustix::thread::set_name(c"strongroom-ward");
    // Out of the terminal's foreground group: its signals are the supervisor's.
    let _ = rustix::process::setsid();
    // Keepers, and inits that lost theirs, tell their end by other means.
    syscall::ignore_children();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let config = match wire::receive::<ToWarden>(&socket)? {
        Received::Frame(ToWarden::Configure(config), _) => config,
        _ => return Ok(()),
    };
    if config.tier == Tier::Reduced {
        return reduced::House::open(socket, &config).run();
    }
    let identity = Identity::assume(&config);
    house::House::open(socket, &config, identity).run()
}

/// Moves the socket from its place as standard input, and closes all else.
fn take_socket() -> io::Result<OwnedFd> {
    let socket = syscall::adopt(0)?;
    let null = std::fs::File::open("/dev/null")?;
    syscall::duplicate_onto(&null, 0)?;
    drop(null);
    let kept = syscall::number(&socket);
    syscall::close_between(3, kept - 1, 0)?;
    syscall::close_from(kept + 1, false)?;
    Ok(socket)
}

/// Which host users guests are.
pub(crate) struct Identity {
    pub(crate) ordinary_user: bool,
    /// What kept an ordinary user from a user namespace of the warden's own.
    pub(crate) refusal: Option<Refusal>,
    uid: u32,
    gid: u32,
    uid_base: u32,
    slots_max: u32,
}

impl Identity {
    /// Root leaves its groups; an ordinary user enters a user namespace of its
    /// own, in which everything else works as it does for root.
    fn assume(config: &WardenConfig) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let ordinary_user = uid != 0;
        let entered = if ordinary_user {
            enter_user_namespace(uid, gid).or_refuse(USER_NAMESPACE, "enter a user namespace")
        } else {
            syscall::drop_groups().or_refuse(USER_NAMESPACE, "leave supplementary groups")
        };
        let refusal = entered.err();
        Self {
            ordinary_user,
            refusal,
            uid,
            gid,
            uid_base: config.uid_base,
            slots_max: config.slots_max,
        }
    }

    /// The host user and group of a slot's guest.
    pub(crate) fn of_slot(&self, index: u32) -> (u32, u32) {
        if self.ordinary_user {
            return (self.uid, self.gid);
        }
        let index = if stands(Part::UserPerSlot) { index } else { 0 };
        let id = self.uid_base.saturating_add(index);
        (id, id)
    }
}

impl Identity {
    /// The host ids of a zygote's copies; an ordinary user has only his own.
    pub(crate) fn of_copies(&self) -> Option<Range<u32>> {
        let end = self.uid_base.saturating_add(self.slots_max);
        (!self.ordinary_user).then_some(self.uid_base..end)
    }
}

fn enter_user_namespace(uid: u32, gid: u32) -> io::Result<()> {
    syscall::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}
