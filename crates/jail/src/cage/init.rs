//! Init: pid 1 of a sandbox. Makes the root, forks the worker, reaps, and when
//! the worker ends kills everything else inside. It says so when all are dead,
//! which is well before the kernel has taken its namespaces apart, and ends when
//! the warden has hung up.
//!
//! It is never the guest: pid 1 ignores signals without a handler and has to
//! reap. After the fork it holds nothing but its socket and may only wait.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::keeper::Filters;
use super::{GUEST_ID, die_with_parent, end, landlock, privileges, refuse, root, worker};
use crate::jail::Origin;
use crate::mutation::{Part, stands};
use crate::protocol::{Build, OrRefuse as _, Refusal, Report};
use crate::{kernel, syscall, wire};

pub(super) fn live(
    socket: BorrowedFd<'_>,
    order: &Build,
    sources: root::Sources,
    descriptors: Vec<OwnedFd>,
    gate: OwnedFd,
    go: &OwnedFd,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let _ = rustix::thread::set_name(c"strongroom-init");
    syscall::reset_signals();
    wait_for_keeper(go);
    if stands(Part::UserNamespace) {
        privileges::become_user(GUEST_ID)
            .or_refuse(kernel::USER_NAMESPACE, "become its one user")?;
    }
    die_with_parent()?;
    exit_if_orphaned(go);
    if stands(Part::OwnSession) {
        rustix::process::setsid().or_refuse(kernel::OTHER_NAMESPACES, "start a session")?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let namespaces = namespaces(order.spec.origin)?;
    let built = root::build(&order.spec, sources)?;
    let rules = match order.spec.origin {
        Origin::CopyOf(_) => Some(landlock::rules(&order.spec, order.landlock_abi)?),
        Origin::Program | Origin::Zygote => None,
    };
    let report = Report::Rooted { proc: built.proc };
    let mut attached = vec![built.out.as_fd(), built.scratch.as_fd()];
    attached.extend(namespaces.iter().chain(&rules).map(|fd| fd.as_fd()));
    wire::send(socket, &report, &attached).or_refuse(kernel::PRIVATE_ROOT, "hand over /out")?;
    drop((built.out, built.scratch));
    let charge = match order.spec.origin {
        Origin::CopyOf(_) => Charge::Copy(gate),
        origin => Charge::Worker {
            pid: syscall::fork(|| {
                let life = worker::live(socket, order, descriptors, gate, filters);
                end(socket, life)
            })
            .or_refuse(kernel::OTHER_NAMESPACES, "fork the worker")?,
            reports_others: origin == Origin::Zygote,
        },
    };
    attend(socket, &charge, filters)
}

/// Whose end init waits for.
enum Charge {
    /// Its child's. A zygote's init tells of everyone else that it reaps, too.
    Worker { pid: i32, reports_others: bool },
    /// A copy's, which the init of its zygote reaps: the warden hangs up.
    Copy(OwnedFd),
}

/// What a copy of a zygote enters. Must be opened while there is a `/proc`.
fn namespaces(origin: Origin) -> Result<Vec<OwnedFd>, Refusal> {
    if !matches!(origin, Origin::CopyOf(_)) {
        return Ok(Vec::new());
    }
    ["user", "mnt", "pid", "cgroup"]
        .iter()
        .map(|kind| {
            let opened = std::fs::File::open(format!("/proc/self/ns/{kind}"));
            opened
                .map(OwnedFd::from)
                .or_refuse(kernel::OTHER_NAMESPACES, "open its own namespaces")
        })
        .collect()
}

/// Kills and reaps whoever is left, and ends. All processes inside are init's
/// own in the end, so that nobody is left when it has no child any more.
fn end_all_others(socket: BorrowedFd<'_>) -> ! {
    // As any other process than the first it would kill outside of the sandbox.
    if rustix::process::getpid().is_init() && stands(Part::KillAtTheEnd) {
        syscall::kill_all_others();
        while syscall::wait_any().is_ok() {}
        let _ = wire::send(socket, &Report::Alone, &[]);
        // What the kernel has to take apart then can wait for who waits for us.
        syscall::wait_for_hangup(socket);
    }
    syscall::exit_now(0)
}

fn wait_for_keeper(go: &OwnedFd) {
    let mut byte = [0; 1];
    match rustix::io::read(go, &mut byte) {
        Ok(1) => {}
        _ => syscall::exit_now(super::REFUSED),
    }
}

/// The keeper holds the writing end as long as it lives.
fn exit_if_orphaned(go: &OwnedFd) {
    let mut ends = [rustix::event::PollFd::new(go, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if !matches!(rustix::event::poll(&mut ends, Some(&now)), Ok(0)) {
        syscall::exit_now(super::REFUSED);
    }
}

fn attend(
    socket: BorrowedFd<'_>,
    charge: &Charge,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let gate = match charge {
        Charge::Copy(gate) => Some(syscall::number(gate)),
        Charge::Worker { .. } => None,
    };
    syscall::close_all_but(0, [syscall::number(&socket)].into_iter().chain(gate))
        .or_refuse(kernel::DESCRIPTORS, "close init's descriptors")?;
    privileges::drop_all()?;
    privileges::hide_memory()?;
    if gate.is_some() {
        // The kernel reaps orphans by itself.
        syscall::ignore_children();
    }
    filters.init.install()?;
    match charge {
        Charge::Copy(gate) => loop {
            syscall::wait_for_hangup(gate.as_fd());
            if stands(Part::CopyEnd) {
                end_all_others(socket)
            }
        },
        Charge::Worker {
            pid,
            reports_others,
        } => reap(socket, *pid, *reports_others),
    }
}

fn reap(socket: BorrowedFd<'_>, worker: i32, reports_others: bool) -> Result<Infallible, Refusal> {
    loop {
        match syscall::wait_any() {
            Ok((pid, wait_status)) if pid == worker => {
                let _ = wire::send(socket, &Report::Ended { wait_status }, &[]);
                end_all_others(socket)
            }
            Ok((pid, wait_status)) if reports_others => {
                let _ = wire::send(socket, &Report::Reaped { pid, wait_status }, &[]);
            }
            Ok(_) => {}
            Err(error) => {
                let detail = format!("could not wait for the worker: {error}");
                refuse(
                    socket,
                    Refusal {
                        wall: kernel::OTHER_NAMESPACES.to_owned(),
                        detail,
                    },
                )
            }
        }
    }
}
