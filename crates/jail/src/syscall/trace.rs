//! Tracing: one thread of another process, stopped, looked at and steered.
//!
//! The rule: a [`Tracee`] is a thread that this thread traces and that was
//! stopped when last seen; everything here either leaves it stopped or gives it
//! up. Registers and memory are changed only between two stops.
//! Deliberately absent: attaching to what is not our own making.
//! See ptrace(2) for the protocol.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_long, c_uint, c_void};
use std::io;

use super::done;

/// Registers of a stopped thread, as the kernel lays them out.
#[cfg(target_arch = "x86_64")]
pub(crate) type Registers = libc::user_regs_struct;

/// Forks are stopped at their birth; a tracer that dies takes them along.
const OPTIONS: c_int = libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL;
const PTRACE_GETSIGMASK: c_uint = 0x420a;
const PTRACE_SETSIGMASK: c_uint = 0x420b;
/// What `PTRACE_O_TRACESYSGOOD` adds to the signal of a system call stop.
const SYSTEM_CALL: c_int = 0x80;

/// A traced thread.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: i32,
    /// Seen gone: its number may be anybody's by now.
    ended: Cell<bool>,
}

/// Why a thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At the entry or the exit of a system call.
    SystemCall,
    /// A filter asked whether this call may pass.
    Filtered,
    /// It has a child, which is traced as well, by this number for us.
    Child(i32),
    /// A breakpoint, a step or a stop that was asked for.
    Trap,
    /// This signal is about to be delivered.
    Signal(c_int),
    /// It is gone.
    Ended,
}

impl Tracee {
    /// Begins to trace a running thread, and stops it.
    pub(crate) fn seize(pid: i32) -> io::Result<Self> {
        request(libc::PTRACE_SEIZE, pid, 0, OPTIONS as usize)?;
        request(libc::PTRACE_INTERRUPT, pid, 0, 0)?;
        Ok(Self::of(pid))
    }

    /// A child that [`Stop::Child`] told of; waits for its first stop.
    pub(crate) fn born(pid: i32) -> io::Result<Self> {
        let tracee = Self::of(pid);
        match tracee.wait()? {
            Stop::Trap | Stop::Signal(_) => Ok(tracee),
            other => Err(io::Error::other(format!("a fork began with {other:?}"))),
        }
    }

    fn of(pid: i32) -> Self {
        let ended = Cell::new(false);
        Self { pid, ended }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets filters ask about this thread's calls, and about its children's.
    pub(crate) fn answer_filters(&self) -> io::Result<()> {
        let options = OPTIONS | libc::PTRACE_O_TRACESECCOMP;
        request(libc::PTRACE_SETOPTIONS, self.pid, 0, options as usize).map(drop)
    }

    /// Runs on to the next stop.
    pub(crate) fn resume(&self) -> io::Result<Stop> {
        request(libc::PTRACE_CONT, self.pid, 0, 0)?;
        self.wait()
    }

    /// Runs on to the next stop, delivering a signal.
    pub(crate) fn resume_to_system_call(&self, signal: c_int) -> io::Result<Stop> {
        request(libc::PTRACE_SYSCALL, self.pid, 0, signal as usize)?;
        self.wait()
    }

    /// Runs one instruction.
    pub(crate) fn step(&self) -> io::Result<Stop> {
        request(libc::PTRACE_SINGLESTEP, self.pid, 0, 0)?;
        self.wait()
    }

    /// Waits for the next stop.
    pub(crate) fn wait(&self) -> io::Result<Stop> {
        let mut status = 0;
        loop {
            // SAFETY: `status` outlives the call; the pid is one that we trace.
            // JUSTIFICATION: rustix cannot wait with __WALL, which tracees need.
            let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            match done(libc::c_long::from(pid)) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !libc::WIFSTOPPED(status) {
            self.ended.set(true);
            return Ok(Stop::Ended);
        }
        let signal = libc::WSTOPSIG(status);
        Ok(match status >> 16 {
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                Stop::Child(self.event_message()?)
            }
            libc::PTRACE_EVENT_SECCOMP => Stop::Filtered,
            libc::PTRACE_EVENT_STOP => Stop::Trap,
            _ if signal == libc::SIGTRAP | SYSTEM_CALL => Stop::SystemCall,
            _ if signal == libc::SIGTRAP => Stop::Trap,
            _ => Stop::Signal(signal),
        })
    }

    fn event_message(&self) -> io::Result<i32> {
        let mut message: libc::c_ulong = 0;
        request(
            libc::PTRACE_GETEVENTMSG,
            self.pid,
            0,
            (&raw mut message) as usize,
        )?;
        i32::try_from(message).map_err(io::Error::other)
    }

    pub(crate) fn registers(&self) -> io::Result<Registers> {
        // SAFETY: all zeroes is a valid value: every field is an integer.
        // JUSTIFICATION: the kernel fills the whole struct.
        let mut registers: Registers = unsafe { std::mem::zeroed() };
        request(
            libc::PTRACE_GETREGS,
            self.pid,
            0,
            (&raw mut registers) as usize,
        )?;
        Ok(registers)
    }

    pub(crate) fn set_registers(&self, registers: &Registers) -> io::Result<()> {
        let address = std::ptr::from_ref(registers) as usize;
        request(libc::PTRACE_SETREGS, self.pid, 0, address).map(drop)
    }

    /// Writes whole words, also where the thread itself may not write.
    pub(crate) fn write_words(&self, at: u64, words: &[u64]) -> io::Result<()> {
        for (index, word) in words.iter().enumerate() {
            let place = usize::try_from(at).map_err(io::Error::other)? + 8 * index;
            let word = usize::try_from(*word).map_err(io::Error::other)?;
            request(libc::PTRACE_POKEDATA, self.pid, place, word)?;
        }
        Ok(())
    }

    /// Writes bytes where the thread may write.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let local = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: at as *mut c_void,
            iov_len: bytes.len(),
        };
        // SAFETY: the kernel reads `bytes` only, and writes into the other
        // process, whose memory is none of ours.
        // JUSTIFICATION: rustix has no process_vm_writev.
        let written = unsafe {
            libc::process_vm_writev(self.pid, &raw const local, 1, &raw const remote, 1, 0)
        };
        match done(written as c_long)? {
            written if usize::try_from(written) == Ok(bytes.len()) => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Its restartable sequences: address, length and signature, if registered.
    pub(crate) fn sequences(&self) -> io::Result<Option<(u64, u32, u32)>> {
        #[repr(C)]
        #[derive(Default)]
        struct Configuration {
            address: u64,
            size: u32,
            signature: u32,
            flags: u32,
            pad: u32,
        }
        const PTRACE_GET_RSEQ_CONFIGURATION: c_uint = 0x420f;
        let mut found = Configuration::default();
        let size = std::mem::size_of::<Configuration>();
        let address = (&raw mut found) as usize;
        request(PTRACE_GET_RSEQ_CONFIGURATION, self.pid, size, address)?;
        Ok((found.address != 0).then_some((found.address, found.size, found.signature)))
    }

    /// The signals that it blocks.
    pub(crate) fn blocked(&self) -> io::Result<u64> {
        let mut set = 0_u64;
        let address = (&raw mut set) as usize;
        request(PTRACE_GETSIGMASK, self.pid, size_of::<u64>(), address)?;
        Ok(set)
    }

    /// Makes it block these signals.
    pub(crate) fn block(&self, set: u64) -> io::Result<()> {
        let address = (&raw const set) as usize;
        request(PTRACE_SETSIGMASK, self.pid, size_of::<u64>(), address).map(drop)
    }

    /// Lets it go on by itself, never to be stopped again. One that was killed
    /// meanwhile is seen gone, since nobody else can reap it before.
    pub(crate) fn release(self) -> io::Result<()> {
        match request(libc::PTRACE_DETACH, self.pid, 0, 0) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => self.kill(),
            other => other.map(drop),
        }
    }

    /// Ends it, and sees it gone.
    pub(crate) fn kill(self) -> io::Result<()> {
        if self.ended.get() {
            return Ok(());
        }
        // SAFETY: takes numbers only; the pid is one that we trace and have not
        // seen gone, so it cannot have been given to another process.
        // JUSTIFICATION: rustix kills by a pid type of its own.
        done(libc::c_long::from(unsafe {
            libc::kill(self.pid, libc::SIGKILL)
        }))?;
        while self.wait()? != Stop::Ended {}
        Ok(())
    }
}

fn request(what: c_uint, pid: i32, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: callers pass addresses of values that outlive the call and have
    // the size that the request writes or reads; numbers otherwise.
    // JUSTIFICATION: no maintained safe crate offers SEIZE and events.
    done(unsafe { libc::ptrace(what, pid, address, data) })
}
