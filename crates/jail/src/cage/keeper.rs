//! The keeper: the process that lives in a slot's control group and builds.
//!
//! It is made ahead of need, since entering a group of version 1 takes
//! milliseconds. Told to build, it opens the host directories while it still
//! may, gives birth to init in new namespaces, maps its one user id, and waits
//! for its end. It never touches anything a guest made.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::{HOST_NAME, die_with_parent, end, init, root};
use crate::cgroup::Leaf;
use crate::mutation::{Part, stands};
use crate::protocol::{Build, OrRefuse as _, Refusal, Report};
use crate::seccomp::Filter;
use crate::wire::{self, Received};
use crate::{cage, kernel, syscall};

/// Out-of-memory killing prefers guests over everything else on the host.
const OOM_SCORE: &str = "500";
/// The namespaces of a guest that the keeper did not make for it already.
const NAMESPACES: [(i32, Option<Part>); 4] = [
    (libc::CLONE_NEWNS, None),
    (libc::CLONE_NEWUSER, Some(Part::UserNamespace)),
    (libc::CLONE_NEWPID, Some(Part::PidNamespace)),
    (libc::CLONE_NEWCGROUP, Some(Part::CgroupNamespace)),
];

/// A keeper, seen from the warden.
pub(crate) struct Cradle {
    pub(crate) leaf: Leaf,
    pub(crate) socket: OwnedFd,
    pub(crate) pidfd: OwnedFd,
}

/// Starts a keeper in `leaf`.
pub(crate) fn spawn(leaf: Leaf, filters: &Filters) -> io::Result<Cradle> {
    let (ours, theirs) = wire::pair()?;
    let warden = rustix::process::getpid();
    let born = syscall::clone(0, leaf.birthplace(), || {
        let socket = match settle(theirs.as_fd()) {
            Ok(socket) => socket,
            Err(_) => syscall::exit_now(cage::REFUSED),
        };
        end(socket.as_fd(), live(socket.as_fd(), &leaf, warden, filters))
    });
    let (_, pidfd) = born?;
    Ok(Cradle {
        leaf,
        socket: ours,
        pidfd,
    })
}

/// The compiled system call filters, made once.
pub(crate) struct Filters {
    pub(crate) guest: Filter,
    pub(crate) init: Filter,
}

/// Keeps the socket and nothing else of what the warden had open.
fn settle(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, 3)?;
    for number in 0..3 {
        syscall::duplicate_onto(&null, number)?;
    }
    let kept = syscall::number(&socket);
    syscall::close_between(3, kept - 1, 0)?;
    syscall::close_from(kept + 1, false)?;
    std::mem::forget(null);
    Ok(socket)
}

fn live(
    socket: BorrowedFd<'_>,
    leaf: &Leaf,
    warden: rustix::process::Pid,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let _ = rustix::thread::set_name(c"strongroom-keep");
    // The warden ignores its children; a keeper and init must not.
    syscall::reset_signals();
    die_with_parent()?;
    if rustix::process::getppid() != Some(warden) {
        syscall::exit_now(cage::REFUSED);
    }
    leaf.enter().or_refuse(kernel::CGROUP, "enter the group")?;
    if stands(Part::NetworkNamespace) {
        syscall::unshare(libc::CLONE_NEWNET)
            .or_refuse(kernel::NETWORK_NAMESPACE, "make a network")?;
    }
    if stands(Part::IpcNamespace) {
        syscall::unshare(libc::CLONE_NEWIPC)
            .or_refuse(kernel::OTHER_NAMESPACES, "make an IPC namespace")?;
    }
    if stands(Part::HostNameNamespace) {
        syscall::unshare(libc::CLONE_NEWUTS)
            .and_then(|()| syscall::set_host_name(HOST_NAME))
            .or_refuse(kernel::OTHER_NAMESPACES, "make a host name namespace")?;
    }
    match wire::receive::<Build>(socket).or_refuse(kernel::OTHER_NAMESPACES, "hear the order")? {
        Received::Frame(order, descriptors) => build(socket, &order, descriptors, filters),
        _ => syscall::exit_now(0),
    }
}

fn build(
    socket: BorrowedFd<'_>,
    order: &Build,
    descriptors: Vec<OwnedFd>,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let sources = root::open_sources(&order.spec)?;
    let (go_read, go_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .or_refuse(kernel::USER_NAMESPACE, "make a pipe")?;
    let writer = syscall::number(&go_write);
    let made = NAMESPACES
        .iter()
        .filter(|(_, part)| part.is_none_or(stands));
    let namespaces = made.fold(0, |all, (one, _)| all | one);
    let (pid, pidfd) = syscall::clone(namespaces, None, || {
        // Only the keeper may hold the writing end, so that its death shows.
        let _ = syscall::close_between(writer, writer, 0);
        end(
            socket,
            init::live(socket, order, sources, descriptors, &go_read, filters),
        )
    })
    .or_refuse(kernel::USER_NAMESPACE, "clone into new namespaces")?;
    map_ids(pid, order).or_refuse(kernel::USER_NAMESPACE, "map one user id")?;
    wire::send(socket, &Report::Born, &[pidfd.as_fd()])
        .or_refuse(kernel::USER_NAMESPACE, "report the birth")?;
    rustix::io::write(&go_write, b"!").or_refuse(kernel::USER_NAMESPACE, "release init")?;
    // Descriptors of the guest must not stay open here: its readers wait for
    // the last writer. Only the socket and the pipe to init are needed.
    keep_two(syscall::number(&socket), writer)
        .or_refuse(kernel::DESCRIPTORS, "close what init has")?;
    let _ = syscall::wait_any();
    syscall::exit_now(0)
}

fn keep_two(one: u32, other: u32) -> io::Result<()> {
    let (low, high) = (one.min(other), one.max(other));
    syscall::close_between(3, low - 1, 0)?;
    syscall::close_between(low + 1, high - 1, 0)?;
    syscall::close_from(high + 1, false)
}

/// One user and one group inside, one host user and group outside.
fn map_ids(pid: i32, order: &Build) -> io::Result<()> {
    let write = |file: &str, value: String| {
        std::fs::write(format!("/proc/{pid}/{file}"), value)
            .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))
    };
    write("oom_score_adj", OOM_SCORE.to_owned())?;
    if !stands(Part::UserNamespace) {
        return Ok(());
    }
    write("setgroups", "deny".to_owned())?;
    write(
        "uid_map",
        format!("{} {} 1", cage::GUEST_ID, order.host_uid),
    )?;
    write(
        "gid_map",
        format!("{} {} 1", cage::GUEST_ID, order.host_gid),
    )
}
