//! The keeper: the process that lives in a slot's control group and builds.
//!
//! It is made ahead of need, since entering a group of version 1 takes
//! milliseconds. Told to build, it opens the host directories while it still
//! may, gives birth to init in new namespaces, maps its one user id, and waits
//! for its end. It never touches anything a guest made.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::attach::{self, Inside, Place};
use super::stem::{self, Ground};
use super::{HOST_NAME, counters, die_with_parent, end, gateway, init, root, steer};
use crate::cgroup::Leaf;
use crate::jail::Origin;
use crate::mutation::{Part, stands};
use crate::protocol::{Build, OrRefuse as _, Refusal, Report, ToKeeper};
use crate::seccomp::Filter;
use crate::wire::{self, Received};
use crate::{cage, kernel, syscall};

/// Out-of-memory killing prefers guests over everything else on the host.
pub(super) const OOM_SCORE: &str = "500";
/// The namespaces of a guest that the keeper did not make for it already.
const NAMESPACES: [(i32, Option<Part>); 4] = [
    (libc::CLONE_NEWNS, None),
    (libc::CLONE_NEWUSER, Some(Part::UserNamespace)),
    (libc::CLONE_NEWPID, Some(Part::PidNamespace)),
    (libc::CLONE_NEWCGROUP, Some(Part::CgroupNamespace)),
];

/// The flags that make them.
pub(super) fn namespaces() -> i32 {
    let made = NAMESPACES
        .iter()
        .filter(|(_, part)| part.is_none_or(stands));
    made.fold(0, |all, (one, _)| all | one)
}

/// A keeper, seen from the warden.
pub(crate) struct Cradle {
    pub(crate) leaf: Leaf,
    pub(crate) socket: OwnedFd,
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// Whose network, IPC and host name a guest is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Its own, made by its keeper ahead of need.
    Own,
    /// Those of the zygote that it is a copy of, which are as empty.
    Zygotes,
}

/// Starts a keeper in `leaf`, which is removed again if there is none.
pub(crate) fn spawn(leaf: Leaf, network: Network, filters: &Filters) -> io::Result<Cradle> {
    let (socket, pid, pidfd) = bear(&leaf, network, filters).inspect_err(|_| {
        // Nothing was ever inside.
        let _ = leaf.remove();
    })?;
    Ok(Cradle {
        leaf,
        socket,
        pid,
        pidfd,
    })
}

fn bear(leaf: &Leaf, network: Network, filters: &Filters) -> io::Result<(OwnedFd, i32, OwnedFd)> {
    let (ours, theirs) = wire::pair()?;
    let warden = rustix::process::getpid();
    let (pid, pidfd) = syscall::clone(0, leaf.birthplace(), || {
        let socket = match settle(theirs.as_fd()) {
            Ok(socket) => socket,
            // Only what follows the last step that needs a descriptor closes this one.
            Err(error) => cage::refuse(
                theirs.as_fd(),
                Refusal {
                    wall: kernel::DESCRIPTORS.to_owned(),
                    detail: format!("settle down: {error}"),
                },
            ),
        };
        end(
            socket.as_fd(),
            live(socket.as_fd(), leaf, network, warden, filters),
        )
    })?;
    Ok((ours, pid, pidfd))
}

/// The compiled system call filters, made once.
pub(crate) struct Filters {
    pub(crate) guest: Filter,
    pub(crate) client: Filter,
    pub(crate) terminal: Filter,
    pub(crate) zygote: Filter,
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
    network: Network,
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
    if network == Network::Own {
        leave_networks()?;
    }
    let heard = wire::receive::<ToKeeper>(socket);
    match heard.or_refuse(kernel::OTHER_NAMESPACES, "hear the order")? {
        Received::Frame(ToKeeper::Build(order), descriptors) => {
            let home = Home {
                socket,
                leaf,
                warden,
            };
            build(&home, &order, descriptors, filters)
        }
        _ => syscall::exit_now(0),
    }
}

fn leave_networks() -> Result<(), Refusal> {
    if stands(Part::NetworkNamespace) {
        syscall::unshare(libc::CLONE_NEWNET)
            .and_then(|()| counters::close())
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
    Ok(())
}

/// Where a keeper lives, and whom it listens to.
struct Home<'a> {
    socket: BorrowedFd<'a>,
    leaf: &'a Leaf,
    warden: rustix::process::Pid,
}

fn build(
    home: &Home<'_>,
    order: &Build,
    descriptors: Vec<OwnedFd>,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let socket = home.socket;
    let mut descriptors = descriptors;
    let disk = match order.spec.out_on_disk {
        true => Some(root::open_disk(order, descriptors.pop())?),
        false => None,
    };
    let sources = root::open_sources(&order.spec, disk)?;
    let (go_read, go_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .or_refuse(kernel::USER_NAMESPACE, "make a pipe")?;
    let writer = syscall::number(&go_write);
    let (mut descriptors, ground) = ground(order, descriptors)?;
    let steering = steering(order, &mut descriptors)?;
    let gateway = gateway::open(order)?;
    let (our_gate, gate) = wire::pair().or_refuse(kernel::DESCRIPTORS, "make a gate")?;
    let init = || {
        // Only the keeper may hold the writing end, so that its death shows.
        let _ = syscall::close_between(writer, writer, 0);
        end(
            socket,
            init::live(socket, order, sources, descriptors, gate, &go_read, filters),
        )
    };
    let (pid, pidfd) = match &ground {
        None => {
            let (pid, pidfd) = syscall::clone(namespaces(), None, init)
                .or_refuse(kernel::USER_NAMESPACE, "clone into new namespaces")?;
            prefer_when_memory_runs_out(pid)
                .and_then(|()| map_ids(pid, order))
                .or_refuse(kernel::USER_NAMESPACE, "map one user id")?;
            (pid, pidfd)
        }
        Some(ground) => stem::grow(socket, ground, order, init)
            .or_refuse(kernel::USER_NAMESPACE, "give birth below a zygote")?,
    };
    let inside = match order.spec.waiting {
        Some(_) => Some(Inside::of(pid).or_refuse(kernel::OTHER_NAMESPACES, "open namespaces")?),
        None => None,
    };
    let mut attached = vec![pidfd.as_fd(), our_gate.as_fd()];
    attached.extend(gateway.iter().map(|listener| listener.as_fd()));
    wire::send(socket, &Report::Born { init: pid }, &attached)
        .or_refuse(kernel::USER_NAMESPACE, "report the birth")?;
    rustix::io::write(&go_write, b"!").or_refuse(kernel::USER_NAMESPACE, "release init")?;
    // Descriptors of the guest must not stay open here: its readers wait for
    // the last writer. Only what leads to the warden, init and a zygote is needed.
    let entered = inside.iter().flat_map(Inside::each);
    let needed = steering.iter().chain([&go_write, &pidfd]).chain(entered);
    let kept = needed
        .map(syscall::number)
        .chain([syscall::number(&socket)]);
    syscall::close_all_but(3, kept).or_refuse(kernel::DESCRIPTORS, "close what init has")?;
    match steering {
        // Never back: what is dropped on the way was closed above.
        Some(steering) => end(
            socket,
            steer(socket, steering, home.leaf, &order.spec.limits),
        ),
        None => end(socket, attend(home, (pid, &pidfd), inside.as_ref())),
    }
}

/// Waits for the end of init, and for what may be attached before.
fn attend(
    home: &Home<'_>,
    init: (i32, &OwnedFd),
    inside: Option<&Inside>,
) -> Result<Infallible, Refusal> {
    loop {
        let mut ends = [
            PollFd::new(init.1, PollFlags::IN),
            PollFd::new(&home.socket, PollFlags::IN),
        ];
        match poll(&mut ends, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).or_refuse(kernel::OTHER_NAMESPACES, "wait for init"),
        }
        let [ended, asked] = ends.map(|end| !end.revents().is_empty());
        if ended {
            let _ = syscall::wait_any();
            syscall::exit_now(0);
        }
        if asked {
            attach(home, init.0, inside)?;
        }
    }
}

fn attach(home: &Home<'_>, init: i32, inside: Option<&Inside>) -> Result<(), Refusal> {
    let heard = wire::receive_now::<ToKeeper>(home.socket);
    match heard.or_refuse(kernel::OTHER_NAMESPACES, "hear an order")? {
        Received::Frame(ToKeeper::Attach(attachment), _) => {
            let inside = inside.ok_or("it does not wait for work");
            let place = Place {
                leaf: home.leaf,
                warden: home.warden,
                init,
                inside: inside.or_refuse(kernel::OTHER_NAMESPACES, "join the sandbox")?,
            };
            attach::attach_to(&place, &attachment)?;
            wire::send(home.socket, &Report::Attached, &[])
                .or_refuse(kernel::OTHER_NAMESPACES, "report what is attached")
        }
        Received::Nothing => Ok(()),
        _ => syscall::exit_now(0),
    }
}

/// A copy comes with the namespaces of its zygote, and without descriptors.
fn ground(
    order: &Build,
    descriptors: Vec<OwnedFd>,
) -> Result<(Vec<OwnedFd>, Option<Ground>), Refusal> {
    if !matches!(order.spec.origin, Origin::CopyOf(_)) {
        return Ok((descriptors, None));
    }
    let mut found = descriptors.into_iter();
    match (found.next(), found.next()) {
        (Some(user), Some(processes)) => Ok((Vec::new(), Some(Ground { user, processes }))),
        _ => Err("its namespaces are missing").or_refuse(kernel::USER_NAMESPACE, "find a zygote"),
    }
}

/// A zygote gets one descriptor more; the other end is ours, to steer it by.
fn steering(order: &Build, descriptors: &mut Vec<OwnedFd>) -> Result<Option<OwnedFd>, Refusal> {
    if order.spec.origin != Origin::Zygote {
        return Ok(None);
    }
    let (ours, theirs) = wire::pair().or_refuse(kernel::DESCRIPTORS, "make a zygote's socket")?;
    descriptors.push(theirs);
    Ok(Some(ours))
}

/// One user and one group inside, one host user and group outside. Below a
/// zygote also the users of its copies, which no process of its own can become.
pub(super) fn map_ids(pid: i32, order: &Build) -> io::Result<()> {
    let copies = match &order.copies {
        Some(range) => format!("\n{0} {0} {1}", range.start, range.len()),
        None => String::new(),
    };
    if stands(Part::UserNamespace) {
        write_of(pid, "setgroups", "deny")?;
        for (file, id) in [("uid_map", order.host_uid), ("gid_map", order.host_gid)] {
            write_of(pid, file, &format!("{} {id} 1{copies}\n", cage::GUEST_ID))?;
        }
    }
    Ok(())
}

fn prefer_when_memory_runs_out(pid: i32) -> io::Result<()> {
    write_of(pid, "oom_score_adj", OOM_SCORE)
}

fn write_of(pid: i32, file: &str, value: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/{file}"), value)
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))
}
