//! The worker: walks into every wall, waits for the start, becomes the guest.
//!
//! The order is the point. Everything that needs a privilege comes before the
//! privileges go, Landlock before the filter that forbids it, and the filter
//! last. Then it says that it is ready and waits for one frame.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, CWD};

use super::keeper::Filters;
use super::{landlock, privileges};
use crate::jail::{Origin, Spec};
use crate::mutation::{Part, stands};
use crate::protocol::{Build, OrRefuse as _, Refusal, Report, ToWorker};
use crate::wire::{self, Received};
use crate::{kernel, syscall};

/// What a shell answers when a program cannot be executed.
const NOT_EXECUTED: i32 = 127;
/// Not a wall of the host but a fault in the jail's description.
const COMMAND: &str = "command";
/// The guest's own: input, output, errors, result; a zygote has one more.
const GUEST_DESCRIPTORS_MAX: usize = 5;

pub(super) fn live(
    socket: BorrowedFd<'_>,
    order: &Build,
    descriptors: Vec<OwnedFd>,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let spec = &order.spec;
    syscall::reset_signals();
    if stands(Part::OwnSession) {
        rustix::process::setsid().or_refuse(kernel::OTHER_NAMESPACES, "start a session")?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let program = Program::from(spec)?;
    let kept = descriptors.len().min(GUEST_DESCRIPTORS_MAX);
    let socket = arrange(socket, descriptors)?;
    // A zygote's copies are at home in other file systems than its own, and a
    // rule names files; so they take on their rules one by one.
    let rules = match spec.origin {
        Origin::Zygote => None,
        Origin::Program | Origin::CopyOf(_) => Some(landlock::prepare(spec, order.landlock_abi)?),
    };
    privileges::limit_resources(&spec.limits)?;
    privileges::drop_all()?;
    privileges::stop_speculation();
    if let Some(rules) = rules {
        landlock::enforce(rules)?;
    }
    close_the_rest(&socket, kept)?;
    privileges::hide_memory()?;
    match spec.origin {
        Origin::Zygote => filters.zygote.install()?,
        Origin::Program | Origin::CopyOf(_) => filters.guest.install()?,
    }
    become_guest(&socket, &program)
}

/// The strings of an exec, made while allocation is unremarkable.
struct Program {
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    fn from(spec: &Spec) -> Result<Self, Refusal> {
        rustix::process::chdir(&spec.cwd).or_refuse(COMMAND, "enter the working directory")?;
        if let Some(program) = spec.argv.first() {
            rustix::fs::accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS)
                .or_refuse(COMMAND, &format!("find the program {program}"))?;
        }
        let text = |text: String| CString::new(text).or_refuse(COMMAND, "pass a text");
        let argv = spec
            .argv
            .iter()
            .cloned()
            .map(text)
            .collect::<Result<_, _>>()?;
        let pairs = spec
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        Ok(Self {
            argv,
            env: pairs.map(text).collect::<Result<_, _>>()?,
        })
    }
}

/// Puts the guest's descriptors at 0 and up, and the socket out of their way.
fn arrange(socket: BorrowedFd<'_>, descriptors: Vec<OwnedFd>) -> Result<OwnedFd, Refusal> {
    let wall = kernel::DESCRIPTORS;
    let high = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 10);
    let socket = high(socket).or_refuse(wall, "move the socket")?;
    let moved: Vec<OwnedFd> = descriptors
        .iter()
        .take(GUEST_DESCRIPTORS_MAX)
        .map(|fd| high(fd.as_fd()))
        .collect::<Result<_, _>>()
        .or_refuse(wall, "move a descriptor")?;
    std::mem::forget(descriptors);
    for (number, fd) in (0..).zip(&moved) {
        syscall::duplicate_onto(fd, number).or_refuse(wall, "place a descriptor")?;
    }
    Ok(socket)
}

/// Leaves the first ones and the socket, which closes itself on exec.
fn close_the_rest(socket: &OwnedFd, first: usize) -> Result<(), Refusal> {
    if !stands(Part::DescriptorsClosed) {
        let inherited = rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty());
        return inherited.or_refuse(kernel::DESCRIPTORS, "leave the socket open");
    }
    let number = syscall::number(socket);
    let first = u32::try_from(first).expect("a guest has a handful of descriptors");
    syscall::close_between(first, number - 1, 0)
        .and_then(|()| syscall::close_from(number + 1, false))
        .or_refuse(kernel::DESCRIPTORS, "close the rest")
}

fn become_guest(socket: &OwnedFd, program: &Program) -> Result<Infallible, Refusal> {
    wire::send(socket, &Report::Ready, &[]).or_refuse(COMMAND, "say that all walls stand")?;
    match wire::receive::<ToWorker>(socket).or_refuse(COMMAND, "hear the start")? {
        Received::Frame(ToWorker::Begin, _) => {}
        _ => syscall::exit_now(super::REFUSED),
    }
    let Some(path) = program.argv.first() else {
        syscall::exit_now(super::REFUSED)
    };
    let error = syscall::execute(path, &program.argv, &program.env);
    let _ = wire::send(socket, &Report::ExecFailed(error.to_string()), &[]);
    syscall::exit_now(NOT_EXECUTED)
}
