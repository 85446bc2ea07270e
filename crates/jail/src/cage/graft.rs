//! Grafting: a copy of a frozen zygote becomes the guest of another sandbox.
//!
//! The keeper of the zygote makes the copy and walks it into every wall, call
//! by call, before the copy executes an instruction of its own:
//!
//! 1. a *carrier*, which shares the zygote's memory but not its descriptors,
//!    receives what the guest will own and enters the sandbox's namespaces;
//! 2. the carrier forks the guest, into the sandbox's process namespace, and
//!    is killed;
//! 3. the guest enters the control group, becomes the slot's user, gives up
//!    every capability, takes on Landlock, keeps descriptors 0 to 3 alone, and
//!    returns from the fork that the zygote was about to make.
//!
//! The calls that a guest may not make itself are held by the zygote's filter
//! for a tracer to answer; without one they fail, so from the moment of its
//! release the copy is as confined as a guest that was executed.
//! Namespaces of another can be entered by whom they belong to: the sandbox's
//! user namespace is a child of the zygote's and owned by the zygote's user.

use std::io;
use std::os::fd::BorrowedFd;

use super::GUEST_ID;
use super::privileges::{self, LOCKED, PR_CAPBSET_DROP, PR_SET_SECUREBITS};
use super::zygote::{self, CALL_BYTES, DATA_BYTES, Frozen, PAGE_BYTES, answer};
use crate::mutation::{Part, stands};
use crate::protocol::Graft;
use crate::syscall::script::{self, Call};
use crate::syscall::trace::{Registers, Stop, Tracee};

/// What a copy is given, in this order: descriptors 0 to 3, the namespaces of
/// user, mounts, processes and control group, and the Landlock rules.
pub(super) const DESCRIPTORS: usize = 9;
/// The zygote's number for its end of the socket.
pub(super) const SOCKET: u64 = 4;
/// Where the carrier keeps it while everything else closes.
const SOCKET_ASIDE: u64 = 100;
const DO_NOT_WAIT: u64 = libc::MSG_DONTWAIT as u64;
const NAMESPACES: std::ops::Range<u64> = 4..8;
const RULES: u64 = 8;
const LAST_DESCRIPTOR: u64 = u32::MAX as u64;
/// Stops of one list of calls.
const STOPS_MAX: usize = 256;

/// Places in the room for lists.
const MESSAGE: u64 = 0;
const BUFFER: u64 = 64;
const CONTROL: u64 = 128;
const CAPABILITIES: u64 = 384;
const LIST: u64 = 512;

/// Makes a copy of the zygote the guest of a sandbox, up to its release. Answers
/// its number in the zygote's process namespace, whose init reaps it.
pub(super) fn graft(
    frozen: &Frozen,
    descriptors: &[BorrowedFd<'_>],
    order: &Graft,
) -> io::Result<(Tracee, i32)> {
    frozen.hand_over(descriptors)?;
    let carrier = fork_carrier(frozen)?;
    let carried = carry(frozen, &carrier);
    let killed = carrier.kill();
    let (guest, reaped_as) = carried?;
    killed?;
    match admit(frozen, &guest, order) {
        Ok(()) => Ok((guest, reaped_as)),
        Err(error) => {
            let _ = guest.kill();
            Err(error)
        }
    }
}

/// A process in the zygote's memory, as a child of the zygote's parent.
fn fork_carrier(frozen: &Frozen) -> io::Result<Tracee> {
    let flags = libc::CLONE_VM | libc::CLONE_PARENT | libc::SIGCHLD;
    let tracee = &frozen.tracee;
    tracee.set_registers(&Registers {
        rip: frozen.returning.rip - CALL_BYTES,
        rax: libc::SYS_clone.cast_unsigned(),
        rdi: flags.cast_unsigned().into(),
        rsi: 0,
        rdx: 0,
        r10: 0,
        r8: 0,
        ..frozen.returning
    })?;
    match tracee.step()? {
        Stop::Child(pid) => {
            let carrier = Tracee::born(pid)?;
            zygote::expect_trap(tracee.step()?)?;
            Ok(carrier)
        }
        _ => Err(io::Error::other(format!(
            "the zygote did not fork: {:?}",
            answer(tracee.registers()?.rax)
        ))),
    }
}

/// Takes the carrier into the sandbox, and lets it fork the guest.
fn carry(frozen: &Frozen, carrier: &Tracee) -> io::Result<(Tracee, i32)> {
    carrier.answer_filters()?;
    carrier.write(frozen.data, &message(frozen.data))?;
    let parent = u64::from(libc::CLONE_PARENT.cast_unsigned());
    let fork = frozen.fork;
    let mut calls = vec![
        Call::new(libc::SYS_dup3, &[SOCKET, SOCKET_ASIDE, 0]),
        Call::new(libc::SYS_close_range, &[0, SOCKET_ASIDE - 1, 0]),
        Call::new(
            libc::SYS_close_range,
            &[SOCKET_ASIDE + 1, LAST_DESCRIPTOR, 0],
        ),
        // Sent before; a library may have put something else in this place.
        Call::new(
            libc::SYS_recvmsg,
            &[SOCKET_ASIDE, frozen.data + MESSAGE, DO_NOT_WAIT],
        ),
    ];
    calls.extend(NAMESPACES.map(|number| Call::new(libc::SYS_setns, &[number, 0])));
    let arguments = [fork.flags | parent, 0, 0, fork.child_thread_id, 0];
    calls.push(Call::new(libc::SYS_clone, &arguments));
    let mut child = None;
    let made = run(frozen, carrier, &calls, &mut child);
    // Whatever else happened, a child is ours to hold from its first moment.
    let child = child.map(Tracee::born).transpose()?;
    let (answered, child) = match (made, child) {
        (Ok(answered), Some(child)) => (answered, child),
        (made, child) => {
            child.map_or(Ok(()), Tracee::kill)?;
            made?;
            return Err(io::Error::other("the carrier forked nobody"));
        }
    };
    let inner = i32::try_from(answered).map_err(io::Error::other)?;
    Ok((child, inner))
}

/// Walks the guest into the walls that a copy does not bring along.
fn admit(frozen: &Frozen, guest: &Tracee, order: &Graft) -> io::Result<()> {
    for directory in order.group.iter().filter(|_| stands(Part::CopyGroup)) {
        std::fs::write(directory.join("cgroup.procs"), guest.pid().to_string())?;
    }
    privileges::limit_resources_of_copy(guest.pid(), &order.limits, order.waits)?;
    let nothing = frozen.data + CAPABILITIES;
    guest.write(nothing, &no_capabilities())?;
    let id = u64::from(GUEST_ID);
    let dropped = (0..privileges::capabilities_known()).map(|capability| {
        let drop = PR_CAPBSET_DROP.cast_unsigned().into();
        Call::new(libc::SYS_prctl, &[drop, capability])
    });
    let mut calls: Vec<Call> = dropped
        .filter(|_| stands(Part::CapabilityBounding))
        .collect();
    let lock = PR_SET_SECUREBITS.cast_unsigned().into();
    let walls = [
        (None, Call::new(libc::SYS_prctl, &[lock, LOCKED])),
        (None, Call::new(libc::SYS_setresgid, &[id, id, id])),
        (None, Call::new(libc::SYS_setresuid, &[id, id, id])),
        (
            Some(Part::CapabilitySets),
            Call::new(libc::SYS_capset, &[nothing, nothing + 8]),
        ),
        (
            Some(Part::Landlock),
            Call::new(libc::SYS_landlock_restrict_self, &[RULES, 0]),
        ),
        (
            Some(Part::DescriptorsClosed),
            Call::new(libc::SYS_close_range, &[4, LAST_DESCRIPTOR, 0]),
        ),
        (Some(Part::OwnSession), Call::new(libc::SYS_setsid, &[])),
    ];
    let standing = walls
        .into_iter()
        .filter(|(part, _)| part.is_none_or(stands));
    calls.extend(standing.map(|(_, call)| call));
    if let Some((address, length, signature)) = frozen.sequences {
        // The carrier shares the zygote's memory, so the kernel forgot these.
        let arguments = [address, length.into(), 0, signature.into()];
        calls.push(Call::new(libc::SYS_rseq, &arguments));
    }
    run(frozen, guest, &calls, &mut None)?;
    look_back(guest.pid())?;
    for (at, bytes) in [(frozen.code, PAGE_BYTES), (frozen.data, DATA_BYTES)] {
        let arguments = [at, bytes, 0, 0, 0, 0];
        zygote::call(guest, &frozen.returning, libc::SYS_munmap, arguments)?;
    }
    guest.set_registers(&frozen.returning)?;
    guest.block(frozen.blocked)
}

/// Makes the calls, notes the child that is born meanwhile, and answers the
/// last answer.
fn run(
    frozen: &Frozen,
    tracee: &Tracee,
    calls: &[Call],
    child: &mut Option<i32>,
) -> io::Result<u64> {
    let list: Vec<u8> = calls.iter().flat_map(Call::bytes).collect();
    if DATA_BYTES < LIST + list.len() as u64 {
        return Err(io::Error::other("the list of calls is too long"));
    }
    let at = frozen.data + LIST;
    tracee.write(at, &list)?;
    let entry = script::entry(&frozen.returning, frozen.code, at, calls.len() as u64);
    tracee.set_registers(&entry)?;
    for _ in 0..STOPS_MAX {
        match tracee.resume()? {
            Stop::Filtered => {}
            Stop::Child(pid) => *child = Some(pid),
            Stop::Trap => {
                let (left, answered) = script::outcome(&tracee.registers()?);
                let answered = answer(answered.cast_unsigned()).map_err(|error| {
                    let made = calls.len() - usize::try_from(left).unwrap_or(0);
                    let number = calls.get(made).map_or(0, |call| call.0[0]);
                    io::Error::new(error.kind(), format!("system call {number}: {error}"))
                })?;
                return match left {
                    0 => Ok(answered),
                    _ => Err(io::Error::other("the list of calls was not made")),
                };
            }
            other => return Err(io::Error::other(format!("a copy stopped by {other:?}"))),
        }
    }
    Err(io::Error::other("a list of calls did not end"))
}

/// A `struct msghdr` with one byte of data and room for the descriptors.
fn message(data: u64) -> Vec<u8> {
    let control_bytes = 16 + (4 * DESCRIPTORS as u64).next_multiple_of(8);
    let words: [u64; 10] = [
        0,
        0,
        data + BUFFER,
        1,
        data + CONTROL,
        control_bytes,
        0,
        0,
        // The `struct iovec`, at BUFFER.
        data + BUFFER + 16,
        1,
    ];
    words.into_iter().flat_map(u64::to_ne_bytes).collect()
}

/// A `struct __user_cap_header` of version 3 and three empty sets, twice.
fn no_capabilities() -> Vec<u8> {
    const VERSION_3: u32 = 0x2008_0522;
    let words: [u32; 8] = [VERSION_3, 0, 0, 0, 0, 0, 0, 0];
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// Sees from outside that the guest is what it should be.
fn look_back(pid: i32) -> io::Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).unwrap_or_default()
    };
    let sets = [
        ("CapInh:", Part::CapabilitySets),
        ("CapPrm:", Part::CapabilitySets),
        ("CapEff:", Part::CapabilitySets),
        ("CapBnd:", Part::CapabilityBounding),
        ("CapAmb:", Part::CapabilitySets),
    ];
    for (set, _) in sets.into_iter().filter(|(_, part)| stands(*part)) {
        if value(set).is_empty() || !value(set).trim_matches('0').is_empty() {
            return Err(io::Error::other("some capability is left"));
        }
    }
    match (value("NoNewPrivs:"), value("Seccomp:")) {
        ("1", "2") => Ok(()),
        _ => Err(io::Error::other(
            "new privileges are possible, or no filter",
        )),
    }
}
