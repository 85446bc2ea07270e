//! The worker: walks into every wall, waits for the start, becomes the guest.
//!
//! The order is the point. Everything that needs a privilege comes before the
//! privileges go, Landlock before the filter that forbids it, and the filter
//! last. Then it says that it is ready and waits for one frame.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::command::{COMMAND, Command, NOT_EXECUTED};
use super::keeper::Filters;
use super::{landlock, privileges};
use crate::jail::{Origin, Waiting};
use crate::mutation::{Part, stands};
use crate::protocol::{Build, OrRefuse as _, Refusal, Report, ToWorker};
use crate::wire::{self, Received};
use crate::{kernel, syscall};

/// The guest's own: input, output, errors, result; a zygote has one more.
const GUEST_DESCRIPTORS_MAX: usize = 5;

pub(super) fn live(
    socket: BorrowedFd<'_>,
    order: &Build,
    descriptors: Vec<OwnedFd>,
    gate: OwnedFd,
    filters: &Filters,
) -> Result<Infallible, Refusal> {
    let spec = &order.spec;
    syscall::reset_signals();
    if stands(Part::OwnSession) {
        rustix::process::setsid().or_refuse(kernel::OTHER_NAMESPACES, "start a session")?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let program = match spec.waiting {
        Some(Waiting::AtTheGate) => None,
        Some(Waiting::Launched) | None => Some(Command::of(&spec.program, COMMAND)?),
    };
    let kept = descriptors.len().min(GUEST_DESCRIPTORS_MAX);
    let talk = arrange(socket, gate, descriptors)?;
    if spec.terminal {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
            .or_refuse(kernel::OTHER_NAMESPACES, "take the terminal")?;
    }
    // A zygote's copies are at home in other file systems than its own, and a
    // rule names files; so they take on their rules one by one.
    let rules = match spec.origin {
        Origin::Zygote => None,
        Origin::Program | Origin::CopyOf(_) => Some(landlock::prepare(spec, order.landlock_abi)?),
    };
    match (spec.waiting, spec.origin) {
        // A zygote's copies have limits of their own, which may be higher.
        (Some(_), _) | (None, Origin::Zygote) => {
            privileges::limit_resources_for_now(&spec.limits)?;
        }
        (None, _) => privileges::limit_resources(&spec.limits)?,
    }
    privileges::drop_all()?;
    privileges::stop_speculation();
    if let Some(rules) = rules {
        landlock::enforce(rules)?;
    }
    close_the_rest(&talk, kept)?;
    privileges::hide_memory()?;
    match spec.origin {
        Origin::Zygote => filters.zygote.install()?,
        Origin::Program if spec.gateway => filters.client.install()?,
        Origin::Program if spec.terminal => filters.terminal.install()?,
        Origin::Program | Origin::CopyOf(_) => filters.guest.install()?,
    }
    wire::send(&talk.socket, &Report::Ready, &[]).or_refuse(COMMAND, "say that all walls stand")?;
    let program = match (spec.waiting, program) {
        (Some(Waiting::Launched), Some(program)) => program,
        (_, program) => hear_start(&talk, program)?,
    };
    become_guest(&talk, &program)
}

/// What leads to the warden: reports go out on one, the start comes in on the
/// other. Both close by themselves when a program is executed.
struct Talk {
    socket: OwnedFd,
    gate: OwnedFd,
}

/// Puts the guest's descriptors at 0 and up, and ours out of their way.
fn arrange(
    socket: BorrowedFd<'_>,
    gate: OwnedFd,
    descriptors: Vec<OwnedFd>,
) -> Result<Talk, Refusal> {
    let wall = kernel::DESCRIPTORS;
    let high = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 10);
    let talk = Talk {
        socket: high(socket).or_refuse(wall, "move the socket")?,
        gate: high(gate.as_fd()).or_refuse(wall, "move the gate")?,
    };
    std::mem::forget(gate);
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
    std::mem::forget(moved);
    Ok(talk)
}

/// Leaves the first ones and ours, which close themselves on exec.
fn close_the_rest(talk: &Talk, first: usize) -> Result<(), Refusal> {
    if !stands(Part::DescriptorsClosed) {
        let inherited = rustix::io::fcntl_setfd(&talk.socket, rustix::io::FdFlags::empty());
        return inherited.or_refuse(kernel::DESCRIPTORS, "leave the socket open");
    }
    let first = u32::try_from(first).expect("a guest has a handful of descriptors");
    syscall::close_all_but(first, [&talk.socket, &talk.gate].map(syscall::number))
        .or_refuse(kernel::DESCRIPTORS, "close the rest")
}

/// Waits for the start. At the gate it says what is executed, on what input.
fn hear_start(talk: &Talk, known: Option<Command>) -> Result<Command, Refusal> {
    match wire::receive::<ToWorker>(&talk.gate).or_refuse(COMMAND, "hear the start")? {
        Received::Frame(ToWorker::Begin { program: None }, _) => {
            known.ok_or("no program").or_refuse(COMMAND, "begin")
        }
        Received::Frame(
            ToWorker::Begin {
                program: Some(program),
            },
            descriptors,
        ) => {
            if let Some(input) = descriptors.first() {
                syscall::duplicate_onto(input, 0)
                    .or_refuse(kernel::DESCRIPTORS, "place the input")?;
            }
            match Command::of(&program, COMMAND) {
                Ok(command) => Ok(command),
                Err(refusal) => not_executed(talk, refusal.detail),
            }
        }
        _ => syscall::exit_now(super::REFUSED),
    }
}

fn become_guest(talk: &Talk, command: &Command) -> Result<Infallible, Refusal> {
    not_executed(talk, command.execute().to_string())
}

fn not_executed(talk: &Talk, why: String) -> ! {
    let _ = wire::send(&talk.socket, &Report::ExecFailed(why), &[]);
    syscall::exit_now(NOT_EXECUTED)
}
