//! The filter in force: a process under it tries every call of the table.
//!
//! Arguments are invalid on purpose, so a call that gets through changes
//! nothing. A refused call must answer the errno of its rule; an allowed one
//! must do exactly what it does without the filter.

use std::io::Read as _;
use std::os::fd::AsFd as _;

use rustix::process::{Pid, WaitOptions, waitpid};

use super::*;
use crate::syscall;

/// x86-64's uretprobe and uprobe, which newer kernels let past every filter:
/// they end a process that calls them from anywhere but a probe of the host's.
const PROBES: [u32; 2] = [335, 336];

/// What a call did in a process that made it and nothing else.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    Succeeded,
    Failed(i32),
    /// The process ended in the call, by its exit or by a signal.
    Ended(Option<i32>),
}

impl Did {
    /// A call that worked may end its process later or sooner, as a new child
    /// without a stack does by its exit signal.
    fn is_like(&self, other: &Self) -> bool {
        let worked = |did: &Self| !matches!(did, Self::Failed(_));
        self == other || worked(self) && worked(other)
    }
}

/// One call in a process of its own, under the filter or without.
fn tried(filter: Option<&Filter>, number: u32, arguments: [u64; 6]) -> Did {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let pid = syscall::fork(|| {
        // Nothing here may allocate: the copy has one thread of several.
        if number == u32::try_from(libc::SYS_pause).unwrap() {
            let _ = syscall::attempt(libc::SYS_alarm, [1, 0, 0, 0, 0, 0]);
        }
        if filter.is_some_and(|filter| filter.install().is_err()) {
            syscall::exit_now(99);
        }
        let code = match syscall::attempt(i64::from(number), arguments) {
            Ok(_) => 0,
            Err(error) => error.raw_os_error().unwrap_or(-1),
        };
        let _ = rustix::io::write(write.as_fd(), &code.to_ne_bytes());
        syscall::exit_now(0)
    })
    .unwrap();
    drop(write);
    let mut said = Vec::new();
    std::fs::File::from(read)
        .take(4)
        .read_to_end(&mut said)
        .unwrap();
    let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty())
        .unwrap()
        .unwrap();
    assert_ne!(
        status.exit_status(),
        Some(99),
        "the filter was not installed"
    );
    match <[u8; 4]>::try_from(said).map(i32::from_ne_bytes) {
        Ok(0) => Did::Succeeded,
        Ok(code) => Did::Failed(code),
        Err(_) => Did::Ended(status.terminating_signal()),
    }
}

#[test]
fn every_rule_holds_in_a_living_process() {
    let filter = Filter::guest();
    for (number, arguments) in cases() {
        if PROBES.contains(&number) {
            continue;
        }
        let expected = match meant(table::guest(), NATIVE, number, arguments) {
            ALLOW => tried(None, number, arguments),
            answer => Did::Failed((answer & 0xffff).cast_signed()),
        };
        let did = tried(Some(&filter), number, arguments);
        assert!(
            did.is_like(&expected),
            "{number} {arguments:x?}: {did:?} and not {expected:?}"
        );
    }
}

#[test]
fn what_is_allowed_reaches_the_kernel() {
    let filter = Filter::guest();
    let answers: Vec<Did> = [libc::SYS_getpid, libc::SYS_read, libc::SYS_openat]
        .map(|number| tried(Some(&filter), u32::try_from(number).unwrap(), [u64::MAX; 6]))
        .into();
    assert_eq!(
        answers,
        [
            Did::Succeeded,
            Did::Failed(libc::EBADF),
            Did::Failed(libc::EFAULT)
        ]
    );
}

/// Prints what the filter costs; a slow machine is no failure.
#[test]
#[allow(clippy::print_stdout)]
fn the_filter_is_cheap() {
    const ROUNDS: u32 = 200_000;
    let filter = Filter::guest();
    println!("{} instructions", filter.0.len());
    let time = |what: &str, rounds: u32, one: &dyn Fn()| {
        let began = std::time::Instant::now();
        (0..rounds).for_each(|_| one());
        println!("{what}: {} ns", (began.elapsed() / rounds).as_nanos());
    };
    let calls = [
        ("getppid", libc::SYS_getppid, 0),
        ("prctl(GET_DUMPABLE)", libc::SYS_prctl, 3),
        ("refused: unshare", libc::SYS_unshare, 0),
        ("unlisted: 999", 999, 0),
    ];
    let pid = syscall::fork(|| {
        for filtered in [false, true] {
            if filtered {
                time("install", 1, &|| assert!(filter.install().is_ok()));
            }
            for (name, number, argument) in calls {
                time(name, ROUNDS, &|| {
                    let _ = syscall::attempt(number, [argument, 0, 0, 0, 0, 0]);
                });
            }
        }
        syscall::exit_now(0)
    })
    .unwrap();
    let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty())
        .unwrap()
        .unwrap();
    assert_eq!(status.exit_status(), Some(0));
}
