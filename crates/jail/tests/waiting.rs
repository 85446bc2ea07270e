//! Guests that are made ahead of their work: what they get, and when.
#![allow(clippy::unwrap_used)]

mod cell;

use std::path::PathBuf;

use cell::{
    Guest, LIMITS, MIB, Ran, SLOT, config, directory_with, event, groups_named, host, input,
    processes_with, soon,
};
use strongroom_jail::{
    Attachment, Cause, Event, Jail, Limits, Open, Program, SlotId, Status, Waiting, Warden,
    WardenConfig, WardenError,
};

/// Reads its work, puts its input in place, and does it.
const LAUNCHED: &str = "
import _socket, os, sys
door = _socket.socket(fileno=0)
work, rights, _, _ = door.recvmsg(1 << 17, _socket.CMSG_SPACE(4))
got = int.from_bytes(rights[0][2], sys.byteorder)
door.detach()
os.dup2(got, 0)
os.close(got)
exec(work)
";

/// The host's `/usr` for a guest that waits.
fn host_of(how: Waiting) -> Jail<Open> {
    let mut jail = Jail::waiting(how).runtime("/usr".into(), "/usr".into());
    for name in ["bin", "lib", "lib64"] {
        jail = jail.symlink(format!("/{name}").into(), format!("usr/{name}").into());
    }
    jail
}

fn launched_by(program: &str) -> Jail<Open> {
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", program].map(str::to_owned);
    host_of(Waiting::Launched).command(argv.to_vec(), "/".into())
}

fn launched() -> Jail<Open> {
    launched_by(LAUNCHED)
}

#[track_caller]
fn attach(guest: &Guest<'_>, attachment: Attachment) {
    guest.warden.attach(guest.slot, attachment).unwrap();
    match event(guest.warden) {
        Event::Attached { slot } => assert_eq!(slot, guest.slot),
        other => panic!("not attached: {other:?}"),
    }
}

#[track_caller]
fn work(guest: &mut Guest<'_>, program: &str) {
    guest.start();
    let door = guest.door.take().unwrap();
    door.hand_in(program.as_bytes(), Some(input("arguments")))
        .unwrap();
}

/// What a launched guest does with this attached.
#[track_caller]
fn does(attachment: Attachment, program: &str) -> Ran {
    let warden = cell::warden();
    let mut guest = Guest::prepare(&warden, SLOT, launched());
    attach(&guest, attachment);
    work(&mut guest, program);
    guest.finish()
}

#[test]
fn a_launched_guest_does_its_work_on_what_was_attached() {
    let (data, code) = (
        directory_with("rows", "1\n"),
        directory_with("main", "code"),
    );
    let attachment = Attachment::new(LIMITS)
        .read_only(data.path().into(), "/data/rows".into())
        .read_only(code.path().into(), "/function".into());
    let ran = does(
        attachment,
        "print(open('/data/rows/rows').read().strip(), open('/function/main').read())
print(sys.stdin.buffer.raw.read(), sorted(os.listdir('/')), os.listdir('/data'))
open('/out/kept', 'w').write('yes')
sys.exit(3)",
    );
    assert_eq!(ran.exit.status, Status::Exited(3), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "1 code\nb'arguments' ['bin', 'data', 'dev', 'function', 'lib', 'lib64', 'out', 'proc', \
         'tmp', 'usr'] ['rows']\n"
    );
    assert_eq!(ran.file("kept"), "yes");
}

#[test]
fn a_guest_at_the_gate_becomes_the_program_of_its_start() {
    let warden = cell::warden();
    let guest = Guest::prepare(&warden, SLOT, host_of(Waiting::AtTheGate));
    let code = directory_with("main", "echo $0 $X; pwd; cat; ls -a /proc/self/fd | wc -w");
    attach(
        &guest,
        Attachment::new(LIMITS).read_only(code.path().into(), "/function".into()),
    );
    let program = Program {
        argv: vec!["/bin/sh".to_owned(), "/function/main".to_owned()],
        cwd: PathBuf::from("/function"),
        env: vec![
            ("X".to_owned(), "set".to_owned()),
            ("PATH".to_owned(), "/usr/bin".to_owned()),
        ],
    };
    warden
        .start_program(guest.slot, program, Some(input("typed\n")))
        .unwrap();
    // The dots, 0 to 3, and the descriptor of the listing itself.
    assert_eq!(
        guest.finish().text(),
        "/function/main set\n/function\ntyped\n7"
    );
}

#[test]
fn a_program_that_is_not_there_ends_a_guest_at_the_gate_by_name() {
    let warden = cell::warden();
    let guest = Guest::prepare(&warden, SLOT, host_of(Waiting::AtTheGate));
    attach(&guest, Attachment::new(LIMITS));
    let program = Program {
        argv: vec!["/usr/bin/no_such_program".to_owned()],
        ..Program::default()
    };
    warden.start_program(guest.slot, program, None).unwrap();
    let exit = guest.finish().exit;
    assert_eq!(exit.status, Status::Exited(127));
    assert!(exit.exec_failed.unwrap().contains("no_such_program"));
}

#[test]
fn what_is_attached_cannot_be_written_or_executed() {
    let data = directory_with("rows", "#!/bin/sh\necho ran\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(data.path().join("rows"), mode).unwrap();
    let attachment = Attachment::new(LIMITS)
        .read_only(data.path().into(), "/data".into())
        .read_only(data.path().into(), "/function".into());
    let program = format!(
        "{}
for place in ('/data', '/function'):
    print(attempt(open, place + '/rows', 'a'), attempt(os.mkdir, place + '/x'), attempt(os.execv, place + '/rows', ['x']))
print(attempt(os.mkdir, '/x'), attempt(os.mkdir, '/data.x'), attempt(os.rmdir, '/data'))",
        cell::PRELUDE
    );
    let text = does(attachment, &program).text().to_owned();
    assert!(!text.contains("allowed"), "{text}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
}

#[test]
fn locks_on_what_is_attached_are_invisible_to_neighbours() {
    let data = directory_with("rows", "1\n");
    let attachment = || Attachment::new(LIMITS).read_only(data.path().into(), "/data".into());
    let warden = cell::warden();
    let mut first = Guest::prepare(&warden, SlotId(1), launched());
    attach(&first, attachment());
    work(
        &mut first,
        "import fcntl, time
f = open('/data/rows'); fcntl.lockf(f, fcntl.LOCK_SH); print('held', flush=True); time.sleep(60)",
    );
    first.wait_for("held");
    let mut second = Guest::prepare(&warden, SLOT, launched());
    attach(&second, attachment());
    work(
        &mut second,
        "import fcntl, struct
f = open('/data/rows')
asked = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)
print(struct.unpack('hhqqi4x', fcntl.fcntl(f, fcntl.F_GETLK, asked))[0] == fcntl.F_UNLCK)",
    );
    assert_eq!(second.finish().text(), "True");
    warden.kill(SlotId(1)).unwrap();
    first.finish();
}

#[test]
fn the_limits_of_the_work_hold_once_they_are_attached() {
    let with = |limits: Limits, program: &str| does(Attachment::new(limits), program);
    let memory = with(
        Limits {
            memory_bytes: 96 * MIB,
            ..LIMITS
        },
        "x = bytearray(64 << 20); print('fits', flush=True); y = bytearray(64 << 20)",
    );
    assert!(memory.exit.out_of_memory, "{memory:?}");
    assert_eq!(memory.stdout, "fits\n");
    let processes = with(
        Limits {
            processes: 4,
            ..LIMITS
        },
        "import time
for _ in range(8):
    if not os.fork(): time.sleep(60)",
    );
    assert!(processes.exit.processes_refused, "{processes:?}");
    let sizes = with(
        Limits {
            out_bytes: 2 * MIB,
            out_files: 4,
            tmp_bytes: MIB,
            ..LIMITS
        },
        "def fill(path):
    size = 0
    try:
        with open(path, 'wb', buffering=0) as file:
            while True: size += file.write(bytes(4096))
    except OSError: return size >> 10
print(fill('/out/f'), fill('/tmp/f'))
import resource
print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_NPROC))",
    );
    // One page more than the limit tells a full directory from one over it.
    assert_eq!(sizes.text(), "2052 1028\n(47, 47) (96, 96)");
    assert!(sizes.exit.out_full, "{sizes:?}");
    let quick = Limits {
        wall_ms: 300,
        ..LIMITS
    };
    let late = with(quick, "import time; time.sleep(60)");
    assert_eq!(late.exit.cause, Cause::Timeout);
}

#[test]
fn a_guest_that_waits_sees_no_work_and_lives_under_small_limits() {
    let warden = cell::warden();
    let looks = "import os; print(sorted(os.listdir('/')), os.listdir('/out'), flush=True); x = bytearray(64 << 20)";
    let guest = Guest::prepare(&warden, SLOT, launched_by(looks));
    let ran = guest.finish();
    assert!(
        ran.stdout
            .starts_with("['bin', 'dev', 'lib', 'lib64', 'out', 'proc', 'tmp', 'usr'] []")
    );
    assert!(ran.exit.out_of_memory, "{ran:?}");
}

#[test]
fn a_guest_that_dies_while_it_waits_ends_with_its_reason() {
    let warden = cell::warden();
    let ran = Guest::prepare(&warden, SLOT, launched_by("import os; os._exit(5)")).finish();
    assert_eq!(ran.exit.status, Status::Exited(5));
    assert_eq!((ran.exit.cause, ran.exit.wall_ms), (Cause::Own, 0));
}

#[test]
fn time_and_usage_count_from_the_start_of_the_work() {
    let warden = cell::warden();
    let busy = format!(
        "import time\nwhile time.process_time() < 0.6: pass\nprint('up', flush=True)\n{LAUNCHED}"
    );
    let mut guest = Guest::prepare(&warden, SLOT, launched_by(&busy));
    guest.wait_for("up");
    attach(
        &guest,
        Attachment::new(Limits {
            wall_ms: 5_000,
            ..LIMITS
        }),
    );
    work(&mut guest, "print('done')");
    let ran = guest.finish();
    assert_eq!(ran.text(), "up\ndone");
    // Less than it used before its work, however slow the machine is at that.
    assert!(ran.exit.cpu_ms < 600 && ran.exit.wall_ms < 5_000, "{ran:?}");
}

#[test]
fn a_guest_that_begins_with_what_is_attached_has_its_time_from_then_and_needs_no_start() {
    let warden = cell::warden();
    let limits = Limits {
        wall_ms: 300,
        ..LIMITS
    };
    let guest = Guest::prepare(&warden, SLOT, launched());
    attach(&guest, Attachment::new(limits).begins(true));
    // Nobody starts it and nobody tells it of work.
    let ran = guest.finish();
    assert_eq!((ran.exit.cause, ran.stdout.as_str()), (Cause::Timeout, ""));
    let mut guest = Guest::prepare(&warden, SLOT, launched());
    attach(&guest, Attachment::new(LIMITS).begins(true));
    let door = guest.door.take().unwrap();
    door.hand_in(b"print('done')", Some(input("arguments")))
        .unwrap();
    assert_eq!(guest.finish().text(), "done");
    // What waits at the gate has no program before its start.
    let guest = Guest::prepare(&warden, SLOT, host_of(Waiting::AtTheGate));
    attach(&guest, Attachment::new(LIMITS).begins(true));
    let program = Program {
        argv: vec!["/usr/bin/echo".to_owned(), "begun".to_owned()],
        ..Program::default()
    };
    warden.start_program(guest.slot, program, None).unwrap();
    assert_eq!(guest.finish().text(), "begun");
}

#[test]
fn nothing_begins_before_it_is_attached_and_nothing_is_attached_twice() {
    let warden = cell::warden();
    let mut guest = Guest::prepare(&warden, SLOT, launched());
    guest.start();
    attach(&guest, Attachment::new(LIMITS));
    warden.attach(SLOT, Attachment::new(LIMITS)).unwrap();
    work(&mut guest, "print('once')");
    assert_eq!(guest.finish().text(), "once");
    let whole = Guest::prepare(&warden, SLOT, cell::shell(LIMITS, "echo whole"));
    warden.attach(SLOT, Attachment::new(LIMITS)).unwrap();
    whole.start();
    assert_eq!(whole.finish().text(), "whole");
}

#[test]
fn what_cannot_be_attached_is_refused_by_name_and_leaves_nothing() {
    let name = "waiting_refused";
    let warden = Warden::start(WardenConfig {
        cgroup_name: name.to_owned(),
        ..config()
    })
    .unwrap();
    let data = directory_with("rows", "1\n");
    for (from, to, wall) in [
        (PathBuf::from("/nonexistent"), "/data", "read_only_overlay"),
        (data.path().join("rows"), "/data", "read_only_overlay"),
        (data.path().into(), "/usr/lib", "read_only_overlay"),
        (data.path().into(), "/usr/new", "private_root"),
    ] {
        let _guest = Guest::prepare(&warden, SLOT, launched());
        let attachment = Attachment::new(LIMITS).read_only(from, to.into());
        warden.attach(SLOT, attachment).unwrap();
        match event(&warden) {
            Event::Refused { wall: told, .. } => assert_eq!(told, wall, "{to}"),
            other => panic!("{to}: {other:?}"),
        }
    }
    for to in ["/out", "/proc/x", "/a:b", "/a/../b", "data"] {
        let attachment = Attachment::new(LIMITS).read_only(data.path().into(), to.into());
        let answer = warden.attach(SLOT, attachment);
        assert!(
            matches!(answer, Err(WardenError::Work(_))),
            "{to}: {answer:?}"
        );
    }
    let zero = Limits {
        processes: 0,
        ..LIMITS
    };
    assert!(warden.attach(SLOT, Attachment::new(zero)).is_err());
    drop(warden);
    assert!(groups_named(name).is_empty());
}

#[test]
fn a_guest_that_waits_is_killed_at_every_stage_and_leaves_nothing() {
    let name = "waiting_killed";
    let warden = Warden::start(WardenConfig {
        cgroup_name: name.to_owned(),
        ..config()
    })
    .unwrap();
    let data = directory_with("rows", "1\n");
    let attachment = || Attachment::new(LIMITS).read_only(data.path().into(), "/data".into());
    for stage in 0..4 {
        let marker = format!("marker-waiting-{stage}-{}", std::process::id());
        let mut guest =
            Guest::prepare(&warden, SLOT, launched_by(&format!("{LAUNCHED}# {marker}")));
        soon("the guest to be launched", || {
            !processes_with(&marker).is_empty()
        });
        match stage {
            0 => {}
            1 => warden.attach(SLOT, attachment()).unwrap(),
            2 => attach(&guest, attachment()),
            _ => {
                attach(&guest, attachment());
                work(
                    &mut guest,
                    "print('up', flush=True)\nimport time; time.sleep(60)",
                );
                guest.wait_for("up");
            }
        }
        warden.kill(SLOT).unwrap();
        loop {
            match event(&warden) {
                Event::Attached { .. } if stage == 1 => {}
                Event::Exited { exit, .. } => break assert_eq!(exit.cause, Cause::Killed),
                other => panic!("{stage}: {other:?}"),
            }
        }
        assert!(processes_with(&marker).is_empty(), "{stage}");
    }
    drop(warden);
    assert!(groups_named(name).is_empty());
}

#[test]
fn a_launched_guest_whose_door_closes_gets_no_work() {
    let warden = cell::warden();
    let mut guest = Guest::prepare(&warden, SLOT, launched());
    drop(guest.door.take());
    assert_ne!(guest.finish().exit.status, Status::Exited(0));
    let jail = host(LIMITS).command(vec!["/bin/true".to_owned()], "/".into());
    assert!(Guest::prepare(&warden, SLOT, jail).door.is_none());
}
