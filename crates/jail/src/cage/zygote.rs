//! A zygote: an interpreter that has loaded its libraries and is frozen.
//!
//! It lives in a sandbox of its own that holds neither code nor data of anyone.
//! When it is about to fork, it is stopped by its keeper, and from then on it
//! never executes an instruction of its own again: each guest begins as a copy
//! made by the keeper (see [`super::graft`]). So whatever its libraries are,
//! they cannot learn of one guest and tell another.
//! The rule: what could be shared with its copies (a second thread, another
//! process, shared memory) makes the freezing fail.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::privileges;
use crate::cgroup::Leaf;
use crate::limits::Limits;
use crate::syscall::script;
use crate::syscall::trace::{Registers, Stop, Tracee};

/// Stops on the way from its last word to its fork.
const STOPS_MAX: usize = 10_000;
/// The pages that a graft needs in a copy.
pub(super) const PAGE_BYTES: u64 = 4096;
pub(super) const DATA_BYTES: u64 = 2 * PAGE_BYTES;
/// Two bytes before a return address of a system call, on this architecture.
pub(super) const CALL_BYTES: u64 = 2;
/// The fork of an interpreter: libc wants to know the child's number, no more.
const FORK: u64 = (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD) as u64;
/// Our one byte, which it may have left unread, and the whisper.
const UNREAD_MAX: usize = 2;
const EVERY_SIGNAL: u64 = u64::MAX;
/// Where in its restartable sequences a thread says in which one it is.
const SEQUENCE_UNDER_WAY: u64 = 8;

/// An interpreter that stands still right before its fork.
pub(super) struct Frozen {
    pub(super) tracee: Tracee,
    /// As it would return from its fork.
    pub(super) returning: Registers,
    /// The fork that it was about to make.
    pub(super) fork: Fork,
    /// Where the loop of [`script`] lies in it, and room for lists.
    pub(super) code: u64,
    pub(super) data: u64,
    pub(super) sequences: Option<(u64, u32, u32)>,
    /// The signals that it blocked by itself; standing still it blocks all.
    pub(super) blocked: u64,
    /// Our end of the socket that its copies receive from, and theirs.
    pub(super) socket: OwnedFd,
    end: OwnedFd,
}

/// The arguments of its fork, which libc chose for good reasons.
#[derive(Clone, Copy)]
pub(super) struct Fork {
    pub(super) flags: u64,
    pub(super) child_thread_id: u64,
}

/// Waits for the zygote's word, and freezes it at its fork.
pub(super) fn freeze(
    socket: OwnedFd,
    leaf: &Leaf,
    limits: &Limits,
    wait_ms: u32,
) -> io::Result<Frozen> {
    let pid = hear_ready(&socket, wait_ms)?;
    let tracee = Tracee::seize(pid)?;
    // Whoever spoke may have ended since, and its number may be a stranger's.
    if !leaf.processes().contains(&pid) {
        return Err(io::Error::other("it ended while it loaded"));
    }
    tracee.wait()?;
    send(&socket, &[])?;
    let registers = at_fork(&tracee)?;
    let fork = Fork {
        flags: registers.rdi,
        child_thread_id: registers.r10,
    };
    if fork.flags & !FORK != 0 {
        return Err(io::Error::other("it does not fork as an interpreter does"));
    }
    // What was prepared to interrupt it must not divert it or a copy of it.
    let blocked = tracee.blocked()?;
    tracee.block(EVERY_SIGNAL)?;
    let sequences = tracee.sequences().unwrap_or(None);
    if let Some((address, ..)) = sequences {
        tracee.write_words(address + SEQUENCE_UNDER_WAY, &[0])?;
    }
    // The call is skipped: a number that is none, and one step past it.
    tracee.set_registers(&Registers {
        orig_rax: u64::MAX,
        ..registers
    })?;
    expect_trap(tracee.step()?)?;
    let returning = Registers {
        rax: 0,
        orig_rax: u64::MAX,
        ..registers
    };
    alone(pid)?;
    privileges::limit_resources_of_copy(pid, limits, true).map_err(|error| {
        io::Error::other(format!(
            "a library has lowered its limits for good: {error}"
        ))
    })?;
    let end = end_of(pid, &socket)?;
    let mut frozen = Frozen {
        tracee,
        returning,
        fork,
        code: 0,
        data: 0,
        sequences,
        blocked,
        socket,
        end,
    };
    frozen.furnish()?;
    Ok(frozen)
}

impl Frozen {
    /// Hands descriptors to the next copy, and to no other: what a copy that
    /// failed did not take is taken back first.
    pub(super) fn hand_over(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        while rustix::net::recv(&self.end, &mut [0_u8; 16], RecvFlags::DONTWAIT).is_ok() {}
        send(&self.socket, descriptors)
    }

    /// Lays the loop and the room for its lists into the zygote.
    fn furnish(&mut self) -> io::Result<()> {
        let read = u64::from(libc::PROT_READ.cast_unsigned());
        let execute = u64::from(libc::PROT_EXEC.cast_unsigned());
        let write = u64::from(libc::PROT_WRITE.cast_unsigned());
        let at = &self.returning;
        self.code = map(&self.tracee, at, PAGE_BYTES, read | execute)?;
        self.data = map(&self.tracee, at, DATA_BYTES, read | write)?;
        self.tracee.write_words(self.code, &script::code())
    }
}

fn map(tracee: &Tracee, at: &Registers, bytes: u64, protection: u64) -> io::Result<u64> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS).cast_unsigned();
    let arguments = [0, bytes, protection, flags.into(), u64::MAX, 0];
    call(tracee, at, libc::SYS_mmap, arguments)
}

/// Makes one call in a stopped thread, at the place of its own last call.
pub(super) fn call(
    tracee: &Tracee,
    at: &Registers,
    number: libc::c_long,
    arguments: [u64; 6],
) -> io::Result<u64> {
    let [rdi, rsi, rdx, r10, r8, r9] = arguments;
    tracee.set_registers(&Registers {
        rip: at.rip - CALL_BYTES,
        rax: number.cast_unsigned(),
        rdi,
        rsi,
        rdx,
        r10,
        r8,
        r9,
        ..*at
    })?;
    expect_trap(tracee.step()?)?;
    answer(tracee.registers()?.rax)
}

/// What a system call answered.
pub(super) fn answer(rax: u64) -> io::Result<u64> {
    const ERRORS: std::ops::Range<i64> = -4095..0;
    match rax.cast_signed() {
        error if ERRORS.contains(&error) => {
            let error = i32::try_from(-error).map_err(io::Error::other)?;
            Err(io::Error::from_raw_os_error(error))
        }
        _ => Ok(rax),
    }
}

pub(super) fn expect_trap(stop: Stop) -> io::Result<()> {
    match stop {
        Stop::Trap | Stop::SystemCall => Ok(()),
        other => Err(io::Error::other(format!("an unexpected stop: {other:?}"))),
    }
}

/// The zygote sends one byte when everything is loaded; answers its pid, which
/// the kernel translates for us.
fn hear_ready(socket: &OwnedFd, wait_ms: u32) -> io::Result<i32> {
    rustix::net::sockopt::set_socket_passcred(socket, true)?;
    let mut ends = [PollFd::new(socket, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: i64::from(wait_ms / 1000),
        tv_nsec: i64::from(wait_ms % 1000) * 1_000_000,
    };
    if poll(&mut ends, Some(&limit))? == 0 {
        return Err(io::Error::other(format!("not loaded within {wait_ms} ms")));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 16];
    let mut slices = [IoSliceMut::new(&mut byte)];
    let got = rustix::net::recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let sender = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_nonzero().get()),
        _ => None,
    });
    match (got.bytes, sender) {
        (1.., Some(pid)) => Ok(pid),
        _ => Err(io::Error::other("it ended while it loaded")),
    }
}

/// The zygote's end of our socket, which must lie where its copies will look.
fn end_of(pid: i32, socket: &OwnedFd) -> io::Result<OwnedFd> {
    let number = i32::try_from(super::graft::SOCKET).map_err(io::Error::other)?;
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let end = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())?;
    // Only the other end of ours can say what we whispered.
    let mut whispered = [0_u8; 16];
    rustix::rand::getrandom(&mut whispered, rustix::rand::GetRandomFlags::empty())?;
    rustix::net::send(
        socket,
        &whispered,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    for _ in 0..UNREAD_MAX {
        let mut heard = [0_u8; 16];
        match rustix::net::recv(&end, &mut heard, RecvFlags::DONTWAIT) {
            Ok(_) if heard == whispered => return Ok(end),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Err(io::Error::other(
        "a library has put another socket in the place of its own",
    ))
}

/// Sends one byte with descriptors to whoever reads the zygote's end.
fn send(socket: &OwnedFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(super::graft::DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for a graft"));
    }
    let byte = [IoSlice::new(b"!")];
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(socket.as_fd(), &byte, &mut control, flags)?;
    Ok(())
}

/// Runs on to the entry of the fork.
fn at_fork(tracee: &Tracee) -> io::Result<Registers> {
    const NOT_YET_ANSWERED: u64 = (-libc::ENOSYS as i64).cast_unsigned();
    let mut signal = 0;
    for _ in 0..STOPS_MAX {
        match tracee.resume_to_system_call(signal)? {
            Stop::SystemCall => {
                let registers = tracee.registers()?;
                let number = registers.orig_rax.cast_signed();
                if number == libc::SYS_clone && registers.rax == NOT_YET_ANSWERED {
                    return Ok(registers);
                }
                signal = 0;
            }
            Stop::Signal(number) => signal = number,
            Stop::Trap | Stop::Filtered => signal = 0,
            Stop::Child(_) => return Err(io::Error::other("it started another process")),
            Stop::Ended => return Err(io::Error::other("it ended before its fork")),
        }
    }
    Err(io::Error::other("it did not come to its fork"))
}

/// One thread, and no memory that a copy would share.
fn alone(pid: i32) -> io::Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    if threads.map(str::trim) != Some("1") {
        return Err(io::Error::other(
            "a library that was loaded ahead has started a thread",
        ));
    }
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    // `sh` is shared, `mw` may become writable; see proc_pid_smaps(5).
    let writable_together = |line: &str| {
        let flags = line.split_ascii_whitespace();
        let has = |wanted| flags.clone().any(|flag| flag == wanted);
        has("sh") && has("mw")
    };
    let flags = maps
        .lines()
        .filter_map(|line| line.strip_prefix("VmFlags:"));
    match flags
        .map(writable_together)
        .reduce(|one, other| one || other)
    {
        Some(false) => Ok(()),
        Some(true) => Err(io::Error::other(
            "a library that was loaded ahead holds shared memory",
        )),
        None => Err(io::Error::other("the kernel tells nothing of its memory")),
    }
}
