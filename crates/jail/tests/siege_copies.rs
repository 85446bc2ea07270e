//! Attacks by what a zygote loads, by its copies, and by guests that wait.
//!
//! Each names a way around the walls that are built late: a copy's while it is
//! steered, and a waiting guest's files while they are attached.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)]

mod cell;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use cell::{
    Guest, LIMITS, MIB, SLOT, config, directory_with, event, exists, host, host_in, input, soon,
    status_field,
};
use strongroom_jail::{
    Attachment, Event, Jail, Limits, Open, Pipes, SlotId, Status, Waiting, Warden,
};

/// What every zygote here ends with, after what a hostile library did.
const FORK: &str = "
import os, sys
os.write(4, b'!')
os.read(4, 1)
if os.fork():
    os._exit(1)
exec(sys.stdin.read())
";

/// The same for copies that wait for their work at their door.
const FORK_AND_WAIT: &str = "
import _socket, os, sys
os.write(4, b'!')
os.read(4, 1)
if os.fork():
    os._exit(1)
door = _socket.socket(fileno=0)
exec(door.recvmsg(1 << 17, _socket.CMSG_SPACE(4))[0])
";

/// Memory for machine code, and the calls of libc.
const NATIVE: &str = "
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def place(code):
    at = libc.mmap(0x10000000, 4096, 7, 0x22, -1, 0)
    ctypes.memmove(at, code, len(code))
    return at
";

fn zygote_jail(limits: Limits, program: &str) -> Jail<Open> {
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", program].map(str::to_owned);
    host(limits).command(argv.to_vec(), "/tmp".into()).zygote()
}

fn zygote(index: u32) -> SlotId {
    config().zygote_slot(index)
}

/// A warden with this zygote in its first place.
#[track_caller]
fn warden_with(program: &str) -> Warden {
    let warden = Warden::start(config()).unwrap();
    Guest::prepare(&warden, zygote(0), zygote_jail(LIMITS, program)).forget();
    warden
}

fn copy(limits: Limits, program: &str) -> Jail<Open> {
    let jail = host(limits).command(vec!["/usr/bin/python3".to_owned()], "/tmp".into());
    jail.copy_of(zygote(0)).stdin(input(program))
}

fn waiting_copy() -> Jail<Open> {
    host_in(Jail::waiting(Waiting::Launched))
        .command(vec!["/usr/bin/python3".to_owned()], "/".into())
        .copy_of(zygote(0))
}

/// Asks for a sandbox without waiting for it.
#[track_caller]
fn ask(warden: &Warden, slot: SlotId, jail: Jail<Open>) -> Pipes {
    let sealed = jail.seal(warden.kernel()).unwrap();
    warden.prepare(slot, sealed).unwrap()
}

/// Why a zygote with this program is refused.
#[track_caller]
fn refused_zygote(program: &str) -> String {
    let warden = Warden::start(config()).unwrap();
    let _pipes = ask(&warden, zygote(0), zygote_jail(LIMITS, program));
    match event(&warden) {
        Event::Refused { detail, .. } => detail,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_zygote_cannot_choose_how_its_copies_are_forked() {
    // UNTRACED: nobody would hold the copy. VFORK: its maker would wait for it.
    // PIDFD, IO, FS: something would be shared.
    for flags in ["0x00800000", "0x4000", "0x1000", "0x80000000", "0x200"] {
        let program = format!(
            "{NATIVE}
import os
# Says so on every descriptor that it has, and stays.
code = bytes.fromhex('b801000000bf01000000be00100010ba060000000f05ebfe')
at = place(code)
ctypes.memmove(0x10001000 - 4096 + 0x800, b'loose\\n', 6)
libc.signal(5, at)
os.write(4, b'!')
os.read(4, 1)
libc.syscall(56, ctypes.c_long({flags} | 17), 0, 0, 0, 0)
os._exit(1)"
        );
        assert!(
            refused_zygote(&program).contains("does not fork as an interpreter does"),
            "{flags}"
        );
    }
}

#[test]
fn a_waiting_guest_never_sees_a_host_directory_itself() {
    // Its own view of /data is a file system of its own; the host's is none.
    let data = directory_with("rows", "1\n");
    let device = fs::metadata(data.path()).unwrap().dev();
    let program = format!(
        "
import os
print('up', flush=True)
while True:
    try: found = os.stat('/data/rows')
    except OSError: continue
    if found.st_dev != {device} and os.path.exists('/function/rows'): break
    if found.st_dev == {device}: print('raw', flush=True)
print('done', flush=True)
import time; time.sleep(60)"
    );
    let warden = cell::warden();
    for _ in 0..8 {
        let argv = ["/usr/bin/python3", "-I", "-S", "-c", &program].map(str::to_owned);
        let jail = host_in(Jail::waiting(Waiting::Launched)).command(argv.to_vec(), "/".into());
        let mut guest = Guest::prepare(&warden, SLOT, jail);
        guest.wait_for("up");
        let attachment = Attachment::new(LIMITS)
            .read_only(data.path().into(), "/data".into())
            .read_only(data.path().into(), "/function".into());
        warden.attach(SLOT, attachment).unwrap();
        assert!(matches!(event(&warden), Event::Attached { .. }));
        guest.wait_for("done");
        assert_eq!(guest.printed(), "up\ndone\n");
        warden.kill(SLOT).unwrap();
        guest.finish();
    }
}

#[test]
fn the_root_is_never_writable_while_files_are_attached() {
    // Landlock has no say about modes and times; only the mount has.
    let data = directory_with("rows", "1\n");
    let program = "
import os
changed = False
print('up', flush=True)
while not os.path.exists('/function/rows'):
    try: os.utime('/', (1, 1)); changed = True
    except OSError: pass
print('changed' if changed else 'never', flush=True)
import time; time.sleep(60)";
    let warden = cell::warden();
    for _ in 0..8 {
        let argv = ["/usr/bin/python3", "-I", "-S", "-c", program].map(str::to_owned);
        let jail = host_in(Jail::waiting(Waiting::Launched)).command(argv.to_vec(), "/".into());
        let mut guest = Guest::prepare(&warden, SLOT, jail);
        guest.wait_for("up");
        let attachment = Attachment::new(LIMITS)
            .read_only(data.path().into(), "/data".into())
            .read_only(data.path().into(), "/function".into());
        warden.attach(SLOT, attachment).unwrap();
        assert!(matches!(event(&warden), Event::Attached { .. }));
        guest.wait_for("e");
        assert_eq!(guest.printed(), "up\nnever\n");
        warden.kill(SLOT).unwrap();
        guest.finish();
    }
}

#[test]
fn the_end_of_a_copy_is_never_that_of_a_later_guest() {
    let sleep = "import time\nprint('up', flush=True); time.sleep(3600)";
    let warden = warden_with(FORK);
    for slot in 0..4 {
        let mut guest = Guest::prepare(&warden, SlotId(slot), copy(LIMITS, sleep));
        guest.start();
        guest.wait_for("up");
        guest.forget();
    }
    warden.kill(zygote(0)).unwrap();
    for _ in 0..5 {
        assert!(matches!(event(&warden), Event::Exited { .. }));
    }
    // The slots of those copies now hold programs, and the zygote's a new one,
    // whose own processes get the numbers that the copies had.
    let mut others: Vec<Guest<'_>> = (0..4)
        .map(|slot| {
            let guest = Guest::prepare(
                &warden,
                SlotId(slot),
                cell::shell(LIMITS, "echo up; sleep 3600"),
            );
            guest.start();
            guest
        })
        .collect();
    Guest::prepare(&warden, zygote(0), zygote_jail(LIMITS, FORK)).forget();
    for _ in 0..8 {
        let guest = Guest::prepare(&warden, SlotId(5), copy(LIMITS, "print('own end')"));
        guest.start();
        assert_eq!(guest.finish().text(), "own end");
    }
    for guest in &mut others {
        guest.wait_for("up");
        warden.kill(guest.slot).unwrap();
    }
    let mut killed = 0;
    while killed < 4 {
        match event(&warden) {
            Event::Exited { exit, .. } => {
                assert_eq!(exit.cause, strongroom_jail::Cause::Killed);
                killed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_late_answer_about_a_copy_is_not_taken_for_the_next_guest_of_its_slot() {
    let warden = warden_with(FORK);
    for _ in 0..12 {
        // Many orders, so that the zygote's keeper is behind with its answers.
        let pipes: Vec<Pipes> = (0..8)
            .map(|slot| ask(&warden, SlotId(slot), copy(LIMITS, "pass")))
            .collect();
        for slot in 0..8 {
            warden.kill(SlotId(slot)).unwrap();
        }
        let mut over = 0;
        let mut programs = 0;
        while over < 16 {
            match event(&warden) {
                Event::Ready { slot, .. } if programs & (1 << slot.0) != 0 => {
                    warden.kill(slot).unwrap();
                }
                Event::Ready { .. } => {}
                Event::Refused { slot, wall, detail } if programs & (1 << slot.0) != 0 => {
                    panic!("a program was refused: {wall}: {detail}");
                }
                Event::Refused { slot, .. } | Event::Exited { slot, .. } => {
                    over += 1;
                    if programs & (1 << slot.0) == 0 {
                        programs |= 1 << slot.0;
                        ask(&warden, slot, cell::shell(LIMITS, "sleep 3600"));
                    }
                }
                other @ Event::Attached { .. } => panic!("{other:?}"),
            }
        }
        drop(pipes);
    }
}

#[test]
fn a_copy_has_the_resource_limits_of_its_own_work() {
    let asks = "
import resource
print(*(resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in ['CPU', 'NPROC', 'NOFILE', 'CORE']))";
    let lowers = "
import resource
for name, value in [('NOFILE', 64), ('CPU', 3), ('NPROC', 1), ('FSIZE', 16)]:
    kind = getattr(resource, 'RLIMIT_' + name)
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
";
    let own = Limits {
        wall_ms: 60_000,
        processes: 7,
        ..LIMITS
    };
    let expected = "(127, 127) (71, 71) (256, 256) (1, 1)";
    for library in ["", lowers] {
        let warden = warden_with(&format!("{library}{FORK}"));
        for _ in 0..2 {
            let guest = Guest::prepare(&warden, SLOT, copy(own, asks));
            guest.start();
            assert_eq!(guest.finish().text(), expected);
        }
    }
    let warden = warden_with(&format!("{lowers}{FORK_AND_WAIT}"));
    let mut guest = Guest::prepare(&warden, SLOT, waiting_copy());
    warden.attach(SLOT, Attachment::new(own)).unwrap();
    match event(&warden) {
        Event::Attached { .. } => {}
        other => panic!("{other:?}"),
    }
    guest.start();
    guest
        .door
        .take()
        .unwrap()
        .hand_in(asks.as_bytes(), None)
        .unwrap();
    assert_eq!(guest.finish().text(), expected);
}

#[test]
fn a_library_that_lowers_its_limits_for_good_makes_no_zygote_or_copies_with_their_own() {
    let library = "
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
";
    let warden = Warden::start(config()).unwrap();
    let jail = zygote_jail(LIMITS, &format!("{library}{FORK}"));
    let _pipes = ask(&warden, zygote(0), jail);
    match event(&warden) {
        // Raising them again takes a capability that not every host gives.
        Event::Refused { detail, .. } => assert!(detail.contains("lowered"), "{detail}"),
        Event::Ready { .. } => {
            let asks = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))";
            let guest = Guest::prepare(&warden, SLOT, copy(LIMITS, asks));
            guest.start();
            assert_eq!(guest.finish().text(), "(256, 256)");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_can_have_larger_limits_than_its_zygote() {
    let warden = Warden::start(config()).unwrap();
    let small = Limits {
        wall_ms: 2_000,
        processes: 1,
        memory_bytes: 64 * MIB,
        ..LIMITS
    };
    Guest::prepare(&warden, zygote(0), zygote_jail(small, FORK)).forget();
    let guest = Guest::prepare(
        &warden,
        SLOT,
        copy(LIMITS, "x = bytearray(80 << 20); print('fits')"),
    );
    guest.start();
    assert_eq!(guest.finish().text(), "fits");
}

#[test]
fn a_copy_can_be_allowed_a_single_process() {
    let warden = warden_with(FORK);
    let one = Limits {
        processes: 1,
        ..LIMITS
    };
    let program = "
try: os.fork()
except OSError: print('alone')";
    let guest = Guest::prepare(&warden, SLOT, copy(one, program));
    guest.start();
    assert_eq!(guest.finish().text(), "alone");
}

#[test]
fn timers_and_signals_of_a_zygote_do_not_reach_its_copies() {
    let library = "
import os, signal
def hostile(*_): os.write(1, b'hostile')
signal.signal(signal.SIGALRM, hostile)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
signal.signal(signal.SIGUSR1, hostile)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
";
    let warden = warden_with(&format!("{library}{FORK}"));
    for _ in 0..5 {
        let asks = "print(signal.getitimer(signal.ITIMER_REAL), signal.sigpending(), [s.name for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])])";
        let guest = Guest::prepare(&warden, SLOT, copy(LIMITS, asks));
        guest.start();
        assert_eq!(guest.finish().text(), "(0.0, 0.0) set() ['SIGUSR1']");
    }
}

#[test]
fn a_zygote_cannot_divert_its_copies_by_restartable_sequences() {
    // A sequence over nearly all memory: whoever is interrupted in it would go
    // on in a place of the library's choice, which leaves a mark.
    let library = format!(
        "{NATIVE}
import os, struct
signature = struct.pack('<I', 0x53053053)
# To abort to: add one to the mark at 0x10000300, and stay.
at = place(signature + bytes.fromhex('fe042500030010ebf7'))
ctypes.memmove(at + 0x200, struct.pack('<IIQQQ', 0, 0, 0x20000000, 0x7fffffffe000 - 0x20000000, at + 4), 32)
# Names the sequence, and forks as libc does.
fork = libc.mmap(0x30000000, 4096, 7, 0x22, -1, 0)
code = bytes.fromhex('488937' 'b838000000' 'bf11002001' '31f6' '31d2' '4d31d2' '4d31c0' '0f05' 'c3')
ctypes.memmove(fork, code, len(code))
offset = ctypes.c_ssize_t.in_dll(libc, '__rseq_offset').value
own = ctypes.c_long()
assert libc.syscall(158, ctypes.c_long(0x1003), ctypes.byref(own)) == 0
go = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)(fork)
os.write(4, b'!')
os.read(4, 1)
go(own.value + offset + 8, at + 0x200)
os.write(1, b'mark %d' % ctypes.string_at(at + 0x300, 1)[0])
os._exit(0)
"
    );
    let warden = warden_with(&library);
    for _ in 0..5 {
        let guest = Guest::prepare(&warden, SLOT, copy(LIMITS, ""));
        guest.start();
        assert_eq!(guest.finish().text(), "mark 0");
    }
}

#[test]
fn another_socket_in_the_place_of_a_zygotes_makes_no_zygote() {
    let program = "
import array, os, socket
os.write(4, b'!')
os.read(4, 1)
kept = os.dup(4)
mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
for _ in range(4):
    other.send(b'!')
os.dup2(mine.fileno(), 4)
if os.fork():
    os._exit(1)
";
    let why = refused_zygote(program);
    assert!(why.contains("another socket"), "{why}");
}

/// The host pids of everything below a warden.
fn family(warden: &Warden) -> Vec<i32> {
    let mut found = vec![i32::try_from(warden.process_id()).unwrap()];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let pids = children
            .split_whitespace()
            .map(|pid| pid.parse::<i32>().unwrap());
        found.extend(pids);
        next += 1;
    }
    found
}

/// The processes that are in some process namespace of a sandbox.
fn below(warden: &Warden) -> Vec<i32> {
    let nested = |pid: &i32| {
        let path = format!("/proc/{pid}/status");
        exists(&path)
            && fs::read_to_string(path).is_ok_and(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
                line.is_some_and(|line| 1 < line.split_whitespace().count())
            })
    };
    family(warden).into_iter().filter(nested).collect()
}

#[test]
fn copies_that_are_killed_at_every_step_of_their_making_leave_nothing() {
    let warden = warden_with(FORK);
    let before = below(&warden);
    assert_eq!(before.len(), 2, "its init and itself");
    for round in 0..120_u64 {
        let pipes = ask(&warden, SLOT, copy(LIMITS, "import time; time.sleep(60)"));
        let until = std::time::Instant::now() + std::time::Duration::from_micros(round * 250);
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        warden.kill(SLOT).unwrap();
        loop {
            match event(&warden) {
                Event::Ready { .. } => {}
                Event::Refused { slot, .. } | Event::Exited { slot, .. } => {
                    break assert_eq!(slot, SLOT);
                }
                other => panic!("{other:?}"),
            }
        }
        drop(pipes);
    }
    soon("everything of them to be gone", || below(&warden) == before);
    assert_eq!(status_field(before[1], "State"), "t (tracing stop)");
    let guest = Guest::prepare(&warden, SLOT, copy(LIMITS, "print('still')"));
    guest.start();
    assert_eq!(guest.finish().text(), "still");
}

#[test]
fn a_waiting_guest_that_forks_before_it_is_attached_is_refused() {
    let warden = cell::warden();
    let program = "import os, time\nos.fork()\nprint('forked', flush=True)\ntime.sleep(60)";
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", program].map(str::to_owned);
    let jail = host_in(Jail::waiting(Waiting::Launched)).command(argv.to_vec(), "/".into());
    let mut guest = Guest::prepare(&warden, SLOT, jail);
    guest.wait_for("forked");
    warden.attach(SLOT, Attachment::new(LIMITS)).unwrap();
    match event(&warden) {
        Event::Refused { detail, .. } => assert!(detail.contains("2 processes wait"), "{detail}"),
        other => panic!("{other:?}"),
    }
    guest.forget();
}

#[test]
fn a_waiting_guest_that_forks_meanwhile_leaves_no_process_with_other_limits() {
    // It forks all the time, so that some child may miss the limits.
    let program = "
import os, resource, time
print('up', flush=True)
while resource.getrlimit(resource.RLIMIT_CPU)[1] == resource.RLIM_INFINITY:
    child = os.fork()
    if not child:
        if resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY: break
        os._exit(0)
    os.waitpid(child, 0)
print('limited', flush=True); time.sleep(60)";
    let warden = cell::warden();
    for _ in 0..8 {
        let argv = ["/usr/bin/python3", "-I", "-S", "-c", program].map(str::to_owned);
        let jail = host_in(Jail::waiting(Waiting::Launched)).command(argv.to_vec(), "/".into());
        let mut guest = Guest::prepare(&warden, SLOT, jail);
        guest.wait_for("up");
        warden.attach(SLOT, Attachment::new(LIMITS)).unwrap();
        match event(&warden) {
            Event::Attached { .. } => {
                guest.wait_for("limited");
                for pid in below(&warden) {
                    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
                    let line = limits.lines().find(|line| line.starts_with("Max cpu time"));
                    let python =
                        fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "python3\n";
                    assert!(!python || !line.unwrap().contains("unlimited"), "{limits}");
                }
                warden.kill(SLOT).unwrap();
                guest.finish();
            }
            Event::Refused { detail, .. } => {
                assert!(detail.contains("2 processes wait"), "{detail}");
                guest.forget();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_guest_that_shuts_its_door_is_told_as_gone() {
    let warden = cell::warden();
    let program = "
import _socket, time
door = _socket.socket(fileno=0)
door.shutdown(_socket.SHUT_RDWR)
print('shut', flush=True)
time.sleep(60)";
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", program].map(str::to_owned);
    let jail = host_in(Jail::waiting(Waiting::Launched)).command(argv.to_vec(), "/".into());
    let mut guest = Guest::prepare(&warden, SLOT, jail);
    guest.wait_for("shut");
    warden.attach(SLOT, Attachment::new(LIMITS)).unwrap();
    assert!(matches!(event(&warden), Event::Attached { .. }));
    guest.start();
    let input: Option<OwnedFd> = None;
    assert!(guest.door.take().unwrap().hand_in(b"work", input).is_err());
    warden.kill(SLOT).unwrap();
    assert_eq!(guest.finish().exit.status, Status::Signaled(9));
}
