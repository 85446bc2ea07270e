//! The tier `reduced`: the same promises where no namespace can be made, as
//! root and as an ordinary user. What it cannot promise is not tried here.
#![allow(clippy::unwrap_used)]

mod cell;
#[path = "cell/lag.rs"]
mod lag;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cell::{
    Guest, LIMITS, MIB, PRELUDE, SLOT, directory_with, input, processes_with, python, run_in,
    shell, soon, status_field,
};
use lag::Lag;
use strongroom_jail::{
    Cause, Exit, Jail, Limits, Open, SealError, SlotId, Status, Tier, Warden, WardenConfig,
};

const NOBODY: u32 = 65_534;
/// From this version on Landlock holds signals.
const SIGNALS_SEEN: u32 = 6;
/// Set for a test that runs again as an ordinary user.
const INNER: &str = "STRONGROOM_TEST_REDUCED";

/// A warden with a place and users of its own, since every process of its
/// users is killed and tests run side by side.
struct House {
    warden: Option<Warden>,
    folder: tempfile::TempDir,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).unwrap();
        let warden = Some(Warden::start(config(folder.path())).unwrap());
        Self { warden, folder }
    }

    fn warden(&self) -> &Warden {
        self.warden.as_ref().unwrap()
    }

    fn run(&self, jail: Jail<Open>) -> cell::Ran {
        run_in(self.warden(), jail)
    }

    /// Everything that lies in the place, but for the wardens' locks.
    fn left(&self) -> Vec<String> {
        let shared = std::fs::read_dir(self.folder.path()).unwrap();
        let inside = shared
            .flatten()
            .flat_map(|one| std::fs::read_dir(one.path()).unwrap());
        let names = inside
            .flatten()
            .map(|one| one.file_name().into_string().unwrap());
        names
            .filter(|name| name != "lock" && !name.starts_with("users-"))
            .collect()
    }
}

fn config(folder: &Path) -> WardenConfig {
    // Every process of these users is killed, so no two tests may share any.
    static HOUSES: AtomicU32 = AtomicU32::new(0);
    let house = HOUSES.fetch_add(1, Ordering::Relaxed);
    WardenConfig {
        tier: Tier::Reduced,
        folder: folder.to_owned(),
        uid_base: 300_000_000 + std::process::id() % 100_000 * 4096 + house * 32,
        ..cell::config()
    }
}

/// Whether this kernel has nothing that would hold a guest's signals where it is
/// the station's own user. Then no run is begun, and that is said.
fn is_refused_by_name(house: &House) -> bool {
    let kernel = house.warden().kernel();
    if cell::is_root() || SIGNALS_SEEN <= kernel.landlock_abi {
        return false;
    }
    match shell(LIMITS, "true").seal(kernel) {
        Err(SealError::Wall { name, .. }) => assert_eq!(name, "landlock_signals"),
        _ => panic!("sealed without a wall around signals"),
    }
    true
}

/// The promise as whoever runs the tests, and again as an ordinary user.
fn as_everyone(test: &str, promise: impl FnOnce(&House)) {
    let house = House::open();
    if !is_refused_by_name(&house) {
        promise(&house);
    }
    if !cell::is_root() {
        return;
    }
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let passed = output.status.success() && text.contains("1 passed");
    assert!(passed, "as an ordinary user: {text}");
}

fn tries(house: &House, program: &str) -> String {
    let program = format!("{PRELUDE}R = os.environ['STRONGROOM_ROOT']\n{program}");
    house.run(python(LIMITS, &program)).text().to_owned()
}

#[track_caller]
fn each_answers(house: &House, expected: &str, expressions: &[&str]) {
    let lines: Vec<String> = expressions
        .iter()
        .map(|one| format!("print({one})"))
        .collect();
    let text = tries(house, &lines.join("\n"));
    for (expression, answer) in expressions.iter().zip(text.lines()) {
        assert_eq!(answer, expected, "{expression}");
    }
    assert_eq!(text.lines().count(), expressions.len(), "{text}");
}

#[test]
fn the_reduced_tier_is_told_wherever_it_stands() {
    as_everyone("the_reduced_tier_is_told_wherever_it_stands", |house| {
        let kernel = house.warden().kernel();
        assert_eq!(kernel.tier, Tier::Reduced);
        assert_eq!(kernel.missing(), None, "{kernel:?}");
        let ran = house.run(shell(LIMITS, "exit 7"));
        assert_eq!(ran.exit.status, Status::Exited(7));
        assert_eq!(ran.enforced.tier, "reduced");
        assert_eq!(ran.enforced.cgroup, "none");
        let walls = ran.enforced.walls;
        for full_only in [
            "cgroup",
            "network_namespace",
            "private_root",
            "user_namespace",
        ] {
            assert!(!walls.contains(&full_only.to_owned()), "{walls:?}");
        }
        let user = if cell::is_root() {
            "own_user"
        } else {
            "landlock_signals"
        };
        for standing in ["landlock", "seccomp", "watch", "private_folder", user] {
            assert!(walls.contains(&standing.to_owned()), "{walls:?}");
        }
    });
}

#[test]
fn a_reduced_guest_finds_its_folders_and_gives_results() {
    as_everyone(
        "a_reduced_guest_finds_its_folders_and_gives_results",
        |house| {
            let data = directory_with("rows", "1\n");
            let code = directory_with("main.py", "print('ran')");
            std::fs::create_dir(code.path().join("inner")).unwrap();
            std::fs::write(code.path().join("inner/module.py"), "").unwrap();
            let program = format!(
            "{PRELUDE}R = os.environ['STRONGROOM_ROOT']
print(os.getcwd() == R + '/function', os.environ['HOME'] == R + '/tmp', sys.argv[1] == R + '/function/main.py')
print(sorted(os.listdir('.')), open(R + '/data/rows').read().strip(), sys.stdin.read())
open(R + '/out/kept', 'w').write('yes')
import tempfile; tempfile.NamedTemporaryFile().write(b'x')
os.write(3, b'result')"
        );
            let argv = [
                "/usr/bin/python3",
                "-I",
                "-S",
                "-c",
                &program,
                "/function/main.py",
            ];
            let jail = python(LIMITS, "")
                .read_only(data.path().into(), "/data".into())
                .read_only(code.path().into(), "/function".into())
                .env("HOME".into(), "/tmp".into())
                .stdin(input("words"))
                .command(argv.map(str::to_owned).to_vec(), "/function".into());
            let ran = house.run(jail);
            assert_eq!(ran.text(), "True True True\n['inner', 'main.py'] 1 words");
            assert_eq!(
                (ran.file("kept").as_str(), ran.result.as_str()),
                ("yes", "result")
            );
            assert!(0 < ran.exit.memory_peak_bytes, "{:?}", ran.exit);
        },
    );
}

#[test]
fn a_reduced_guest_opens_nothing_else() {
    as_everyone("a_reduced_guest_opens_nothing_else", |house| {
        each_answers(
            house,
            "EACCES",
            &[
                "attempt(open, '/etc/passwd')",
                "attempt(open, '/etc/hostname')",
                "attempt(os.listdir, '/')",
                "attempt(os.listdir, '/proc')",
                "attempt(open, '/proc/self/status')",
                "attempt(open, '/proc/1/cmdline')",
                "attempt(os.listdir, '/sys')",
                "attempt(os.listdir, os.path.dirname(R))",
                "attempt(os.listdir, R)",
                "attempt(open, '/dev/zero')",
                "attempt(os.mkdir, '/tmp/strongroom-made-by-a-guest')",
                "attempt(open, '/usr/strongroom-made-by-a-guest', 'w')",
                "attempt(os.symlink, '/etc', R + '/tmp/link')",
                "[open(R + '/tmp/run', 'w').write('#!/bin/sh'), os.chmod(R + '/tmp/run', 0o700) if os.getuid() != 65534 else 0, attempt(os.execv, R + '/tmp/run', ['x'])][2]",
            ],
        );
    });
}

#[test]
fn a_reduced_guest_changes_nothing_that_it_was_shown() {
    as_everyone(
        "a_reduced_guest_changes_nothing_that_it_was_shown",
        |house| {
            let data = directory_with("rows", "1\n");
            let program = format!(
            "{PRELUDE}D = os.environ['STRONGROOM_ROOT'] + '/data'
print({{attempt(open, D + '/rows', 'a'), attempt(os.truncate, D + '/rows', 0), attempt(os.unlink, D + '/rows'), attempt(os.mkdir, D + '/x')}} <= {{'EACCES', 'EPERM'}})
print({{attempt(os.chmod, D + '/rows', 0o777), attempt(os.utime, D + '/rows'), attempt(os.link, D + '/rows', D + '/../out/rows')}} <= {{'EACCES', 'EPERM', 'EXDEV'}})
print({{attempt(os.rename, D + '/rows', D + '/../out/rows'), attempt(os.setxattr, D + '/rows', 'user.x', b'')}} <= {{'EACCES', 'EPERM', 'EXDEV', 'ENOTSUP'}})"
        );
            let jail = python(LIMITS, &program).read_only(data.path().into(), "/data".into());
            assert_eq!(house.run(jail).text(), "True\nTrue\nTrue");
            let kept = data.path().join("rows");
            assert_eq!(std::fs::read_to_string(&kept).unwrap(), "1\n");
            assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        },
    );
}

#[test]
fn a_reduced_guest_has_no_network_no_rights_and_no_way_to_hide() {
    as_everyone(
        "a_reduced_guest_has_no_network_no_rights_and_no_way_to_hide",
        |house| {
            let text = tries(
            house,
            "import fcntl, mmap, socket
print({attempt(socket.socket, family) for family in (1, 2, 10, 16, 17, 38, 40)})
print(call(272, 0x10000000), call(272, 0x20000), call(425, 1, 0), call(321, 0, 0, 0), call(250, 0, 0, 0))
print(attempt(mmap.mmap, -1, 4096), call(319, ctypes.c_char_p(b'x'), 0), call(46, 0, 0, 0))
file = open(R + '/tmp/locked', 'w')
print(attempt(fcntl.lockf, file, fcntl.LOCK_EX), attempt(fcntl.flock, file, fcntl.LOCK_EX))
print(attempt(os.open, R + '/tmp', os.O_TMPFILE | os.O_RDWR), attempt(os.setuid, 0), attempt(os.chroot, R))
print(os.getgroups() if os.getuid() != 65534 else [], sorted(set(os.environ) - {'LC_CTYPE'}) == ['PATH', 'STRONGROOM_ROOT', 'TMPDIR'] or sorted(os.environ))",
        );
            assert_eq!(
                text,
                "{'EAFNOSUPPORT'}\nEPERM EPERM EPERM EPERM EPERM\nEPERM EPERM EPERM\nEPERM ENOTSUP\n\
             EPERM EPERM EPERM\n[] True"
            );
        },
    );
}

#[test]
fn a_reduced_guest_is_nobody_from_outside() {
    let house = House::open();
    if is_refused_by_name(&house) {
        return;
    }
    let mut guest = Guest::prepare(house.warden(), SLOT, shell(LIMITS, "echo up; sleep 61.71"));
    guest.start();
    guest.wait_for("up");
    soon("the guest", || processes_with("sleep\u{0}61.71").len() == 1);
    let pid = processes_with("sleep\u{0}61.71")[0];
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_field(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_field(pid, "NoNewPrivs"), "1");
    assert_eq!(status_field(pid, "Seccomp"), "2");
    if cell::is_root() {
        assert_eq!(status_field(pid, "CapBnd"), "0000000000000000");
        let ids = status_field(pid, "Uid");
        let ids: Vec<u32> = ids
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        assert!(
            ids.iter().all(|id| 10_000 < *id && *id == ids[0]),
            "{ids:?}"
        );
        assert_eq!(status_field(pid, "Groups"), "");
    }
    house.warden().kill(SLOT).unwrap();
    assert_eq!(guest.finish().exit.cause, Cause::Killed);
}

#[test]
fn a_reduced_guest_over_its_memory_is_ended_by_name() {
    as_everyone(
        "a_reduced_guest_over_its_memory_is_ended_by_name",
        |house| {
            let small = Limits {
                memory_bytes: 64 * MIB,
                ..LIMITS
            };
            let over =
                |exit: &Exit| assert!(exit.out_of_memory && exit.cause == Cause::Own, "{exit:?}");
            over(
                &house
                    .run(python(
                        small,
                        "x = bytearray(512 << 20)\nimport time; time.sleep(60)",
                    ))
                    .exit,
            );
            let many = "import os, time
for _ in range(4):
    if os.fork() == 0: x = bytearray(40 << 20); time.sleep(60)
time.sleep(60)";
            over(&house.run(python(small, many)).exit);
            let shared = "import os, time
x = bytearray(40 << 20)
for _ in range(4):
    if os.fork() == 0: time.sleep(0.3); os._exit(0)
for _ in range(4): os.wait()
print('fits')";
            assert_eq!(house.run(python(small, shared)).text(), "fits");
        },
    );
}

#[test]
fn a_reduced_guest_over_its_processes_is_ended_by_name() {
    as_everyone(
        "a_reduced_guest_over_its_processes_is_ended_by_name",
        |house| {
            let few = Limits {
                processes: 6,
                ..LIMITS
            };
            let bomb = house.run(shell(few, "b() { sleep 60 & b; }; b")).exit;
            assert!(bomb.processes_refused, "{bomb:?}");
            let threads = "import threading, time
for _ in range(12): threading.Thread(target=time.sleep, args=(60,)).start()";
            let threads = house.run(python(few, threads)).exit;
            assert!(threads.processes_refused, "{threads:?}");
            let within = "for n in 1 2 3 4; do sleep 0.3 & done; wait; echo fits";
            assert_eq!(house.run(shell(few, within)).text(), "fits");
        },
    );
}

#[test]
fn a_reduced_guest_over_its_disk_is_ended_by_name() {
    as_everyone("a_reduced_guest_over_its_disk_is_ended_by_name", |house| {
        let writes = |what: &str| {
            let program = format!(
                "import os, mmap, time\nR = os.environ['STRONGROOM_ROOT']\n{what}\ntime.sleep(60)"
            );
            house.run(python(LIMITS, &program)).exit
        };
        let out = writes("for n in range(3): open(R + f'/out/{n}', 'wb').write(bytes(1 << 20))");
        assert!(out.out_full && out.cause == Cause::Own, "{out:?}");
        let files = writes("for n in range(20): open(R + f'/out/{n}', 'wb')");
        assert!(files.out_full, "{files:?}");
        let tmp = writes("for n in range(3): open(R + f'/tmp/{n}', 'wb').write(bytes(2 << 20))");
        assert!(tmp.tmp_full && !tmp.out_full, "{tmp:?}");
        let deleted = "kept = []
for n in range(3):
    f = open(R + f'/tmp/{n}', 'w+b'); f.write(bytes(2 << 20)); f.flush(); os.unlink(f.name); kept.append(f)";
        let open = writes(deleted);
        assert!(open.tmp_full, "{open:?}");
        let mapped = writes(
            "f = open(R + '/tmp/x', 'w+b'); f.write(bytes(1 << 16)); f.flush()
fd = os.dup(f.fileno()); m = mmap.mmap(fd, 0, access=mmap.ACCESS_READ); os.unlink(f.name)
import ctypes; ctypes.CDLL(None).close_range(4, 99, 0)",
        );
        assert!(mapped.tmp_full, "{mapped:?}");
        let deep = "os.chdir(R + '/tmp')
for _ in range(500): os.mkdir('d'); os.chdir('d')
print('made')";
        assert!(writes(deep).tmp_full);
        assert_eq!(
            house.run(shell(LIMITS, "exit 3")).exit.status,
            Status::Exited(3)
        );
    });
}

#[test]
fn a_reduced_guest_leaves_no_process_whatever_it_does() {
    as_everyone(
        "a_reduced_guest_leaves_no_process_whatever_it_does",
        |house| {
            let brief = Limits {
                wall_ms: 700,
                ..LIMITS
            };
            let marker = |n: u32| format!("600{n}.{}", std::process::id());
            let daemon = format!(
                "setsid sleep {} & (setsid sh -c 'sleep {} & disown' &) ; exit 5",
                marker(1),
                marker(1)
            );
            assert_eq!(
                house.run(shell(LIMITS, &daemon)).exit.status,
                Status::Exited(5)
            );
            let stopped = format!("sleep {} & kill -STOP $!; kill -STOP $$", marker(2));
            assert_eq!(house.run(shell(brief, &stopped)).exit.cause, Cause::Timeout);
            let deaf = format!(
                "trap '' TERM INT HUP; sleep {} & while :; do :; done",
                marker(3)
            );
            assert_eq!(house.run(shell(brief, &deaf)).exit.cause, Cause::Timeout);
            let storm = "import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    try: os.fork()
    except OSError: pass";
            house.run(python(brief, storm));
            for n in 1..=3 {
                assert_eq!(processes_with(&marker(n)), [], "{n}");
            }
            soon("the folders' end", || {
                house.left().iter().all(|name| name.starts_with("station-"))
            });
        },
    );
}

#[test]
fn two_reduced_guests_do_not_meet() {
    as_everyone("two_reduced_guests_do_not_meet", |house| {
        let kept = "echo $STRONGROOM_ROOT $$; echo secret > $STRONGROOM_ROOT/out/secret; sleep 62";
        let mut one = Guest::prepare(house.warden(), SlotId(1), shell(LIMITS, kept));
        one.start();
        one.wait_for("\n");
        let told = one.printed();
        let (root, pid) = told.trim().split_once(' ').unwrap();
        let text = tries(
            house,
            &format!(
                "import signal
print(attempt(open, '{root}/out/secret'), attempt(os.listdir, '{root}/out'), attempt(open, '{root}/tmp/x', 'w'))
print(attempt(os.kill, {pid}, 0), attempt(os.kill, {pid}, signal.SIGKILL), call(101, 16, {pid}, 0, 0))
print(attempt(open, '/proc/{pid}/mem'), attempt(open, '/proc/{pid}/environ'), call(310, {pid}, 0, 0, 0, 0, 0))"
            ),
        );
        assert_eq!(
            text,
            "EACCES EACCES EACCES\nEPERM EPERM EPERM\nEACCES EACCES EPERM"
        );
        house.warden().kill(SlotId(1)).unwrap();
        one.finish();
    });
}

#[test]
fn a_reduced_guest_is_killed_at_every_stage() {
    as_everyone("a_reduced_guest_is_killed_at_every_stage", |house| {
        let ready = Guest::prepare(house.warden(), SLOT, shell(LIMITS, "true"));
        house.warden().kill(SLOT).unwrap();
        assert_eq!(ready.finish().exit.cause, Cause::Killed);
        let running = Guest::prepare(house.warden(), SLOT, shell(LIMITS, "sleep 63"));
        running.start();
        house.warden().kill(SLOT).unwrap();
        assert_eq!(running.finish().exit.cause, Cause::Killed);
        let missing = Jail::new(LIMITS)
            .runtime("/usr".into(), "/usr".into())
            .command(vec!["/usr/bin/there-is-no-such".into()], "/tmp".into());
        let (wall, detail) = cell::refused(house.warden(), missing);
        assert!(
            wall == "command" && detail.contains("there-is-no-such"),
            "{wall} {detail}"
        );
        let gone = shell(LIMITS, "true").read_only("/there/is/nothing".into(), "/data".into());
        let (wall, detail) = cell::refused(house.warden(), gone);
        assert!(
            wall == "private_folder" && detail.contains("/data"),
            "{wall} {detail}"
        );
    });
}

#[test]
fn a_killed_warden_or_keeper_leaves_no_reduced_guest() {
    as_everyone(
        "a_killed_warden_or_keeper_leaves_no_reduced_guest",
        |house| {
            let marker = format!("6400.{}", std::process::id());
            let long = format!("(setsid sleep {marker} &); echo up; sleep {marker}");
            let mut guest = Guest::prepare(house.warden(), SLOT, shell(LIMITS, &long));
            guest.start();
            guest.wait_for("up");
            let keepers = || children_of(house.warden().process_id());
            soon("the end of the rehearsal", || keepers().len() == 1);
            let none_of_it = || processes_with(&marker).is_empty();
            within_a_second(|| kill(keepers()[0]), none_of_it);
            let ran = guest.finish();
            assert_eq!(ran.exit.cause, Cause::Killed);
            let mut guest = Guest::prepare(house.warden(), SLOT, shell(LIMITS, &long));
            guest.start();
            guest.wait_for("up");
            let warden = i32::try_from(house.warden().process_id()).unwrap();
            within_a_second(|| kill(warden), none_of_it);
            drop(ran);
            let next = Warden::start(config(house.folder.path())).unwrap();
            let after = run_in(&next, shell(LIMITS, "exit 4"));
            assert_eq!(after.exit.status, Status::Exited(4));
            drop((after, next));
            assert!(house.left().len() <= 1, "{:?}", house.left());
        },
    );
}

/// Strikes, and looks until it is over, for as long as is promised.
#[track_caller]
fn within_a_second(strike: impl FnOnce(), is_over: impl Fn() -> bool) {
    let (lag, begun) = (Lag::watch(), Instant::now());
    strike();
    loop {
        // What is seen was there when the look began.
        let took = begun.elapsed();
        if is_over() {
            return;
        }
        let allowed = lag.allowed(Duration::from_secs(1));
        assert!(took < allowed, "not over after {took:?} of {allowed:?}");
        std::thread::yield_now();
    }
}

fn children_of(pid: u32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn nothing_of_the_reduced_tier_is_left_when_it_ends() {
    let mut house = House::open();
    if is_refused_by_name(&house) {
        return;
    }
    assert!(std::env::var_os(INNER).is_none() || rustix::process::geteuid().as_raw() == NOBODY);
    for _ in 0..3 {
        assert_eq!(
            house.run(shell(LIMITS, "touch $TMPDIR/x")).exit.status,
            Status::Exited(0)
        );
    }
    house.warden = None;
    assert_eq!(house.left(), Vec::<String>::new());
}
