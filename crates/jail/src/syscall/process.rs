//! Processes: born, turned into programs, waited for.
//!
//! Callers keep one promise: [`fork`] and [`clone`] are only called by a
//! process with a single thread.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::done;

/// Ends this process at once: no destructors, no buffers flushed twice.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    // JUSTIFICATION: `std::process::exit` runs handlers that belong to the parent.
    unsafe { libc::_exit(code) }
}

/// Runs a child's whole life. A panic ends the child, never unwinds into the
/// copied frames of its parent.
fn live(child: impl FnOnce() -> Infallible) -> ! {
    match catch_unwind(AssertUnwindSafe(child)) {
        Ok(never) => match never {},
        Err(_) => exit_now(70),
    }
}

/// Starts a copy of this process that lives `child`; answers its pid.
pub(crate) fn fork(child: impl FnOnce() -> Infallible) -> io::Result<i32> {
    // SAFETY: this process has one thread, so the copy holds no locks of others.
    // JUSTIFICATION: `Command` can only exec; a keeper, init and worker are copies.
    let pid = done(libc::c_long::from(unsafe { libc::fork() }))?;
    if pid == 0 {
        live(child)
    } else {
        Ok(i32::try_from(pid).map_err(io::Error::other)?)
    }
}

/// Like [`fork`], with flags for namespaces and kinship, and optionally born into a control
/// group of version 2. Answers a pidfd.
pub(crate) fn clone(
    flags: c_int,
    group: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> Infallible,
) -> io::Result<(i32, OwnedFd)> {
    const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    let mut pidfd: c_int = -1;
    // SAFETY: all zeroes is a valid `clone_args`: every field is an integer.
    // JUSTIFICATION: the struct grows with libc; naming each field would not.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(flags.cast_unsigned())
        | u64::from(libc::CLONE_PIDFD.cast_unsigned())
        | CLONE_CLEAR_SIGHAND;
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    arguments.pidfd = (&raw mut pidfd) as u64;
    // A sibling ends with the signal of the caller's own end, by the kernel's rule.
    if flags & libc::CLONE_PARENT == 0 {
        arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    }
    // SAFETY: without CLONE_VM this is a fork; `arguments` outlives the call
    // and its size is the one passed; this process has one thread.
    // JUSTIFICATION: neither std nor rustix offers clone3.
    let pid = done(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            std::mem::size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        live(child)
    }
    // SAFETY: the kernel stored a fresh descriptor that nobody else owns.
    // JUSTIFICATION: this is how a raw descriptor becomes an owned one.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((i32::try_from(pid).map_err(io::Error::other)?, pidfd))
}

/// Default disposition for every signal and an empty mask, as a program expects.
pub(crate) fn reset_signals() {
    // SAFETY: SIG_DFL is valid for every number; refused ones (KILL, STOP, and
    // libc's own) are left alone; the set is initialised before it is used.
    // JUSTIFICATION: std and rustix have no safe sigaction.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

/// Turns this process into the program; only comes back with an error.
pub(crate) fn execute(program: &CString, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|one| one.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both lists are terminated and their strings outlive the call.
    // JUSTIFICATION: `CommandExt::exec` changes signals and searches PATH.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Sends SIGKILL to every other process of this process namespace; for its
/// first process, which the kernel spares.
pub(crate) fn kill_all_others() {
    // SAFETY: takes numbers only. An error means that nobody else is there.
    // JUSTIFICATION: rustix has no way to say "everyone".
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Lets the kernel reap this process's children by itself.
pub(crate) fn ignore_children() {
    // SAFETY: SIG_IGN is a valid disposition of SIGCHLD.
    // JUSTIFICATION: std and rustix have no safe sigaction.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// A descriptor that has something to read when a child has ended; reading it
/// does not wait.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised before it is used and outlives the calls.
    // JUSTIFICATION: std and rustix have no safe signal masks.
    let number = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    done(libc::c_long::from(number))?;
    // SAFETY: the kernel made a fresh descriptor that nobody else owns.
    // JUSTIFICATION: this is how a raw descriptor becomes an owned one.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Waits for the next child to end: its pid and raw status.
pub(crate) fn wait_any() -> io::Result<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        // JUSTIFICATION: rustix hides the raw status that init passes on.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if 0 < pid {
            return Ok((pid, status));
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
}

/// Waits until something can be read here, or the other end is closed.
pub(crate) fn wait_for_hangup(end: BorrowedFd<'_>) {
    loop {
        let mut one = libc::pollfd {
            fd: end.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the pointer is to one `pollfd`, which outlives the call; no time
        // limit and no signal mask are read.
        // JUSTIFICATION: rustix polls by a call that not every architecture has.
        let ready = unsafe { libc::ppoll(&raw mut one, 1, std::ptr::null(), std::ptr::null()) };
        if ready == 1 {
            return;
        }
    }
}
