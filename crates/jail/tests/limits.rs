//! Limits hold for the sum of everything a guest starts, and say which one ended it.
#![allow(clippy::unwrap_used)]

mod cell;

use cell::{LIMITS, MIB, PRELUDE, python, run, shell, tries};
use strongroom_jail::{Cause, Limits, Status};

#[test]
fn memory_is_bounded_and_named() {
    let limits = Limits {
        memory_bytes: 48 * MIB,
        ..LIMITS
    };
    let ran = run(python(limits, "x = bytearray(1 << 30)"));
    assert!(ran.exit.out_of_memory, "{ran:?}");
    assert_ne!(ran.exit.status, Status::Exited(0));
    assert_eq!(ran.exit.cause, Cause::Own);
    assert!(ran.exit.memory_peak_bytes <= 48 * MIB, "{ran:?}");
}

#[test]
fn memory_of_many_processes_is_one_sum() {
    let limits = Limits {
        memory_bytes: 64 * MIB,
        ..LIMITS
    };
    let program = "
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = bytearray(24 << 20); time.sleep(60)
time.sleep(60)";
    let ran = run(python(limits, program));
    assert!(
        ran.exit.out_of_memory && ran.exit.cause == Cause::Own,
        "{ran:?}"
    );
    assert!(
        ran.exit.wall_ms < 15_000,
        "all of it ends, not one process: {ran:?}"
    );
}

#[test]
fn files_in_memory_count_as_memory() {
    let limits = Limits {
        memory_bytes: 48 * MIB,
        tmp_bytes: 1 << 30,
        ..LIMITS
    };
    let ran = run(shell(
        limits,
        "/usr/bin/head -c 200000000 /dev/zero > /dev/shm/x",
    ));
    assert!(ran.exit.out_of_memory, "{ran:?}");
    let program = "
import mmap
shared = mmap.mmap(-1, 200 << 20)
for at in range(0, len(shared), 4096): shared[at] = 1";
    assert!(run(python(limits, program)).exit.out_of_memory);
}

#[test]
fn a_guest_that_stays_below_its_memory_is_not_blamed() {
    let limits = Limits {
        memory_bytes: 64 * MIB,
        ..LIMITS
    };
    let ran = run(python(limits, "x = bytearray(20 << 20); print(len(x))"));
    assert_eq!(ran.text(), "20971520");
    assert!(
        !ran.exit.out_of_memory && 20 * MIB < ran.exit.memory_peak_bytes,
        "{ran:?}"
    );
}

#[test]
fn a_fork_bomb_is_bounded_and_named() {
    let limits = Limits {
        processes: 16,
        wall_ms: 3_000,
        ..LIMITS
    };
    let program = "
import os, time
made = 0
try:
    for _ in range(1000):
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError as error: print(made, error.errno == 11, flush=True)
os._exit(0)";
    let ran = run(python(limits, program));
    assert_eq!(ran.text(), "15 True");
    assert!(ran.exit.processes_refused, "{ran:?}");
    let storm = run(shell(
        limits,
        "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 60",
    ));
    assert!(
        storm.exit.processes_refused && storm.exit.wall_ms < 5_000,
        "{storm:?}"
    );
}

#[test]
fn threads_count_as_processes() {
    let limits = Limits {
        processes: 8,
        ..LIMITS
    };
    let program = "
import threading, time
made = 0
try:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); made += 1
except RuntimeError: print(made, flush=True)
import os; os._exit(0)";
    let ran = run(python(limits, program));
    assert_eq!(ran.text(), "7");
    assert!(ran.exit.processes_refused);
}

#[test]
fn a_guest_within_its_processes_is_not_blamed() {
    let limits = Limits {
        processes: 4,
        ..LIMITS
    };
    let ran = run(shell(limits, "true & true & true & wait; echo ok"));
    assert_eq!((ran.text(), ran.exit.processes_refused), ("ok", false));
}

#[test]
fn tmp_and_shared_memory_share_one_bound() {
    let limits = Limits {
        tmp_bytes: 2 * MIB,
        ..LIMITS
    };
    let program = format!(
        "{PRELUDE}
def fill(path):
    with open(path, 'wb', buffering=0) as file:
        while True: file.write(bytes(65536))
print(attempt(fill, '/tmp/a'), attempt(fill, '/dev/shm/b'))
print(os.path.getsize('/tmp/a') + os.path.getsize('/dev/shm/b'))"
    );
    let ran = run(python(limits, &program));
    let (answers, size) = ran.text().split_once('\n').unwrap();
    assert_eq!(answers, "ENOSPC ENOSPC");
    assert!(size.parse::<u64>().unwrap() <= 2 * MIB + 4096, "{size}");
    assert!(ran.exit.tmp_full && !ran.exit.out_full, "{ran:?}");
}

#[test]
fn out_is_bounded_in_bytes() {
    let limits = Limits {
        out_bytes: MIB,
        ..LIMITS
    };
    let ran = run(shell(limits, "/usr/bin/head -c 3000000 /dev/zero > /out/x"));
    assert!(ran.exit.out_full && !ran.exit.tmp_full, "{ran:?}");
    assert!(ran.stderr.contains("No space left"), "{ran:?}");
    let exact = run(shell(limits, "/usr/bin/head -c 1048576 /dev/zero > /out/x"));
    assert_eq!(
        (exact.exit.status, exact.exit.out_full),
        (Status::Exited(0), false)
    );
}

#[test]
fn out_is_bounded_in_files() {
    let limits = Limits {
        out_files: 8,
        ..LIMITS
    };
    let program = |count: u32| {
        format!("{PRELUDE}print({{attempt(open, f'/out/{{n}}', 'w') for n in range({count})}})")
    };
    let exact = run(python(limits, &program(8)));
    assert_eq!((exact.text(), exact.exit.out_full), ("{'allowed'}", false));
    let ran = run(python(limits, &program(50)));
    assert!(
        ran.text().contains("ENOSPC") && ran.exit.out_full,
        "{ran:?}"
    );
}

#[test]
fn sparse_and_deep_files_are_bounded_too() {
    let text = tries(
        "
print(attempt(os.truncate, os.open('/tmp/x', os.O_CREAT | os.O_RDWR), 1 << 40))
def dig():
    for n in range(100000): os.mkdir('d'); os.chdir('d')
print(attempt(dig))",
    );
    let mut answers = text.lines();
    assert!(matches!(answers.next(), Some("EFBIG" | "EINVAL")), "{text}");
    assert_eq!(answers.next(), Some("ENOSPC"));
}

#[test]
fn a_busy_loop_ends_at_its_time() {
    let limits = Limits {
        wall_ms: 400,
        ..LIMITS
    };
    let ran = run(python(limits, "while True: pass"));
    assert_eq!(
        (ran.exit.cause, ran.exit.status),
        (Cause::Timeout, Status::Signaled(9))
    );
    assert!((400..1_400).contains(&ran.exit.wall_ms), "{ran:?}");
}

#[test]
fn sleeping_stopped_and_deaf_trees_end_at_their_time() {
    let limits = Limits {
        wall_ms: 500,
        ..LIMITS
    };
    for program in [
        "import time; time.sleep(60)",
        "import os, signal; os.fork(); os.fork(); os.kill(os.getpid(), signal.SIGSTOP)",
        "
import os, signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
os.fork(); os.setsid() if os.fork() == 0 else None
time.sleep(60)",
    ] {
        let ran = run(python(limits, program));
        assert_eq!(ran.exit.cause, Cause::Timeout, "{program}");
        assert!(ran.exit.wall_ms < 1_500, "{ran:?}");
    }
}

#[test]
fn processor_time_is_rationed_for_the_whole_tree() {
    let limits = Limits {
        cpu_milli: 200,
        wall_ms: 1_000,
        ..LIMITS
    };
    let ran = run(python(
        limits,
        "import os; os.fork(); os.fork()\nwhile True: pass",
    ));
    assert_eq!(ran.exit.cause, Cause::Timeout);
    assert!((50..500).contains(&ran.exit.cpu_ms), "{ran:?}");
}

#[test]
fn resource_limits_cannot_be_raised() {
    let text = tries(
        "
import resource
for name in 'CORE NOFILE FSIZE MEMLOCK MSGQUEUE RTPRIO NICE SIGPENDING STACK CPU NPROC'.split():
    which = getattr(resource, 'RLIMIT_' + name)
    soft, hard = resource.getrlimit(which)
    try: resource.setrlimit(which, (hard + 1, hard + 1)); print(name, 'raised')
    except (ValueError, OSError): pass
print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE))",
    );
    assert_eq!(text, "(1, 1) (256, 256)");
}
