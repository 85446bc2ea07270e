//! The stem: two short-lived processes between a keeper and the init of a
//! sandbox whose guest will be a copy of a zygote.
//!
//! A copy can only enter namespaces that belong to its zygote, so init must be
//! born below the zygote's user and process namespaces, yet in the control
//! group of its own keeper and as the keeper's child. The first stem enters
//! both and stays behind to map init's user; the second is born inside of them
//! and gives birth to init. Both share the keeper's descriptors, so that it
//! holds init's pidfd when they are gone.

use std::convert::Infallible;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::keeper::{OOM_SCORE, map_ids, namespaces};
use super::{GUEST_ID, end, privileges};
use crate::protocol::{Build, OrRefuse as _, Refusal};
use crate::{kernel, syscall};

/// The zygote's namespaces, below which init is born.
pub(super) struct Ground {
    pub(super) user: OwnedFd,
    pub(super) processes: OwnedFd,
}

/// A pipe whose both ends are open in every process that shares descriptors.
type Pipe = (OwnedFd, OwnedFd);

/// Gives birth to init below `ground`; answers its pid and pidfd, mapped.
pub(super) fn grow(
    socket: BorrowedFd<'_>,
    ground: &Ground,
    order: &Build,
    init: impl FnOnce() -> Infallible,
) -> io::Result<(i32, OwnedFd)> {
    // What init takes along is open in the table that all of us share, so nobody
    // but init may close it by letting go; the keeper closes it all by number.
    let mut init = ManuallyDrop::new(Some(init));
    let (born, mapped) = (
        pipe_with(PipeFlags::CLOEXEC)?,
        pipe_with(PipeFlags::CLOEXEC)?,
    );
    let (_, stem) = syscall::clone(libc::CLONE_FILES, None, || {
        end(
            socket,
            first(socket, ground, order, (&born, &mapped), &mut init),
        )
    })?;
    let number = hear(&mapped.0, &stem)?;
    let pid = host_pid(number)?;
    // The stems are the keeper's children too, and count as processes until
    // they are waited for.
    for _ in 0..2 {
        if syscall::wait_any()?.0 == pid {
            return Err(io::Error::other("init ended at once"));
        }
    }
    Ok((pid, syscall::own(number)))
}

fn first(
    socket: BorrowedFd<'_>,
    ground: &Ground,
    order: &Build,
    (born, mapped): (&Pipe, &Pipe),
    init: &mut Option<impl FnOnce() -> Infallible>,
) -> Result<Infallible, Refusal> {
    let wall = kernel::USER_NAMESPACE;
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE)
        .or_refuse(wall, "be preferred when memory runs out")?;
    syscall::enter(&ground.user, libc::CLONE_NEWUSER)
        .and_then(|()| privileges::become_user(GUEST_ID))
        .or_refuse(wall, "enter a zygote's user namespace")?;
    // A change of user hides a process's files, and init's map is one of them.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
        .or_refuse(wall, "show init's user map")?;
    syscall::enter(&ground.processes, libc::CLONE_NEWPID)
        .or_refuse(kernel::OTHER_NAMESPACES, "enter a zygote's processes")?;
    let flags = libc::CLONE_FILES | libc::CLONE_PARENT;
    let (_, second) = syscall::clone(flags, None, || end(socket, second(born, init)))
        .or_refuse(wall, "fork among a zygote's processes")?;
    let number = hear(&born.0, &second).or_refuse(wall, "hear of init")?;
    let pid = host_pid(number).or_refuse(wall, "find init")?;
    map_ids(pid, order).or_refuse(wall, "map one user id")?;
    rustix::io::write(&mapped.1, &number.to_ne_bytes()).or_refuse(wall, "hand over init")?;
    syscall::exit_now(0)
}

fn second(
    born: &Pipe,
    init: &mut Option<impl FnOnce() -> Infallible>,
) -> Result<Infallible, Refusal> {
    let wall = kernel::USER_NAMESPACE;
    let life = || match init.take() {
        Some(init) => init(),
        None => syscall::exit_now(super::REFUSED),
    };
    let (_, pidfd) = syscall::clone(namespaces() | libc::CLONE_PARENT, None, life)
        .or_refuse(wall, "clone into new namespaces below a zygote")?;
    rustix::io::write(&born.1, &pidfd.as_raw_fd().to_ne_bytes()).or_refuse(wall, "tell of init")?;
    // The descriptor stays open in the table that is shared.
    syscall::exit_now(0)
}

/// The number that a child writes, or the news that it ended before.
fn hear(pipe: &OwnedFd, child: &OwnedFd) -> io::Result<i32> {
    loop {
        let mut ends = [
            PollFd::new(pipe, PollFlags::IN),
            PollFd::new(child, PollFlags::IN),
        ];
        match poll(&mut ends, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut number = [0; 4];
        if ends[0].revents().contains(PollFlags::IN) {
            return match rustix::io::read(pipe, &mut number)? {
                4 => Ok(i32::from_ne_bytes(number)),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        if !ends[1].revents().is_empty() {
            return Err(io::Error::other("it ended before init was born"));
        }
    }
}

/// The pid of a pidfd's process, as this process's `/proc` has it.
fn host_pid(pidfd: i32) -> io::Result<i32> {
    let said = std::fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}"))?;
    let pid = said.lines().find_map(|line| line.strip_prefix("Pid:"));
    pid.and_then(|pid| pid.trim().parse().ok())
        .ok_or_else(|| io::Error::other("a pidfd without a pid"))
}
