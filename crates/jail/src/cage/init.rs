//! Init: pid 1 of a sandbox. Makes the root, forks the worker, reaps, and ends
//! when the worker ends, upon which the kernel kills everything else inside.
//!
//! It is never the guest: pid 1 ignores signals without a handler and has to
//! reap. After the fork it holds nothing but its socket and may only wait.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::keeper::Filters;
use super::{GUEST_ID, die_with_parent, end, privileges, refuse, root, worker};
use crate::mutation::{Part, stands};
use crate::protocol::{Build, OrRefuse as _, Refusal, Report};
use crate::{kernel, syscall, wire};

pub(super) fn live(
    socket: BorrowedFd<'_>,
    order: &Build,
    sources: root::Sources,
    descriptors: Vec<OwnedFd>,
    go: &OwnedFd,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let _ = rustix::thread::set_name(c"strongroom-init");
    wait_for_keeper(go);
    privileges::become_user(GUEST_ID).or_refuse(kernel::USER_NAMESPACE, "become its one user")?;
    die_with_parent()?;
    exit_if_orphaned(go);
    if stands(Part::OwnSession) {
        rustix::process::setsid().or_refuse(kernel::OTHER_NAMESPACES, "start a session")?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let built = root::build(&order.spec, sources)?;
    let report = Report::Rooted { proc: built.proc };
    wire::send(socket, &report, &[built.out.as_fd(), built.scratch.as_fd()])
        .or_refuse(kernel::PRIVATE_ROOT, "hand over /out")?;
    drop((built.out, built.scratch));
    let pid = syscall::fork(|| end(socket, worker::live(socket, order, descriptors, filters)))
        .or_refuse(kernel::OTHER_NAMESPACES, "fork the worker")?;
    reap(socket, pid, filters)
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

fn reap(socket: BorrowedFd<'_>, worker: i32, filters: &Filters) -> Result<Infallible, Refusal> {
    let kept = syscall::number(&socket);
    syscall::close_between(0, kept - 1, 0)
        .and_then(|()| syscall::close_from(kept + 1, false))
        .or_refuse(kernel::DESCRIPTORS, "close init's descriptors")?;
    privileges::drop_all()?;
    privileges::hide_memory()?;
    filters.init.install()?;
    loop {
        match syscall::wait_any() {
            Ok((pid, wait_status)) if pid == worker => {
                let _ = wire::send(socket, &Report::Ended { wait_status }, &[]);
                syscall::exit_now(0);
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
