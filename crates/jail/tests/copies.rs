//! Guests that are copies of a zygote: as confined as guests that were executed.
//!
//! The suites of escapes and limits run again here, each Python guest being a
//! copy; what is special about copies follows below.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::duplicate_mod, dead_code)]

#[path = "escapes.rs"]
mod escapes;
#[path = "limits.rs"]
mod limits;

use std::collections::BTreeMap;
use std::fs;

use escapes::cell::{
    self, Guest, LIMITS, SLOT, config, directory_with, event, host, host_in, is_root, python,
    run_in, status_field, warden,
};
use strongroom_jail::{Attachment, Cause, Event, Jail, SlotId, Status, Waiting, Warden};

/// The host pids of everything below a warden.
fn family(warden: &Warden) -> Vec<i32> {
    let mut found = vec![i32::try_from(warden.process_id()).unwrap()];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        found.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
        next += 1;
    }
    found
}

/// The host pid of the copy in a slot: a guest three process namespaces deep.
#[track_caller]
fn copy_in(warden: &Warden) -> i32 {
    let deep = |pid: &i32| {
        let python =
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "python3\n");
        python && status_field(*pid, "NSpid").split_whitespace().count() == 3
    };
    let found: Vec<i32> = family(warden).into_iter().filter(deep).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// The host pid of the zygote: the interpreter two process namespaces deep.
fn zygote_of(warden: &Warden) -> i32 {
    let shallow = |pid: &i32| {
        let python =
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "python3\n");
        python && status_field(*pid, "NSpid").split_whitespace().count() == 2
    };
    family(warden).into_iter().find(shallow).unwrap()
}

/// Runs a sleeping copy and looks at it from outside.
#[track_caller]
fn look(check: impl FnOnce(&Warden, i32)) {
    let warden = warden();
    let program = "import time\nprint('up', flush=True); time.sleep(3600)";
    let mut guest = Guest::prepare(&warden, SlotId(3), python(LIMITS, program));
    guest.start();
    guest.wait_for("up");
    check(&warden, copy_in(&warden));
    warden.kill(SlotId(3)).unwrap();
    guest.finish();
}

#[test]
fn a_copy_runs_its_own_program_and_ends_with_its_own_code() {
    let warden = warden();
    let ran = run_in(
        &warden,
        python(LIMITS, "print('hello', os.getpid(), os.getuid())"),
    );
    assert_eq!(ran.text(), "hello 2 1000");
    let ran = run_in(&warden, python(LIMITS, "sys.exit(7)"));
    assert_eq!(ran.exit.status, Status::Exited(7), "{ran:?}");
    let ran = run_in(&warden, python(LIMITS, "os.kill(os.getpid(), 9)"));
    assert_eq!(ran.exit.status, Status::Signaled(9), "{ran:?}");
}

#[test]
fn a_copy_is_the_slots_user_without_privileges() {
    look(|_, pid| {
        let uid = match is_root() {
            true => config().uid_base + 3,
            false => rustix::process::geteuid().as_raw(),
        };
        let ids = format!("{uid}\t{uid}\t{uid}\t{uid}");
        assert_eq!(status_field(pid, "Uid"), ids);
        assert_eq!(status_field(pid, "Gid"), ids);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status_field(pid, set), "0000000000000000", "{set}");
        }
        assert_eq!(status_field(pid, "NoNewPrivs"), "1");
        assert_eq!(status_field(pid, "Seccomp"), "2");
        assert_eq!(status_field(pid, "TracerPid"), "0");
        assert_eq!(
            status_field(pid, "NSpid").split_whitespace().last(),
            Some("2")
        );
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        assert_eq!(open, 4, "descriptors 0 to 3 and no other");
    });
}

#[test]
fn a_copy_lies_in_the_leaf_of_its_own_slot() {
    look(|warden, pid| {
        let group = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let sharing = family(warden)
            .into_iter()
            .filter(|other| group(*other) == group(pid));
        // Its keeper, its init and itself; neither the zygote nor the warden.
        assert_eq!(sharing.count(), 3);
    });
}

#[test]
fn a_copy_shares_only_its_empty_network_with_its_zygote() {
    look(|warden, pid| {
        let namespaces = |pid: i32| -> BTreeMap<String, String> {
            let names = ["user", "mnt", "pid", "cgroup", "net", "ipc", "uts"];
            let link = |name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
            let link = |name: &str| link(name).display().to_string();
            names
                .into_iter()
                .map(|name| (name.to_owned(), link(name)))
                .collect()
        };
        let own = namespaces(pid);
        let frozen = |other: &i32| status_field(*other, "TracerPid") != "0";
        let zygote = family(warden).into_iter().find(frozen).unwrap();
        for (name, zygotes) in namespaces(zygote) {
            let shared = ["net", "ipc", "uts"].contains(&name.as_str());
            assert_eq!(own[&name] == zygotes, shared, "{name}");
        }
        let hosts = namespaces(i32::try_from(std::process::id()).unwrap());
        for (name, hosts) in hosts {
            assert_ne!(own[&name], hosts, "{name}");
        }
    });
}

#[test]
fn two_copies_of_one_zygote_see_nothing_of_each_other() {
    let warden = warden();
    let write = "
import time
for place in ['/tmp/left', '/dev/shm/left', '/out/left']:
    open(place, 'w').write('canary')
sys.modules['left'] = 'canary'
print('up', flush=True); time.sleep(3600)";
    let mut first = Guest::prepare(&warden, SlotId(0), python(LIMITS, write));
    first.start();
    first.wait_for("up");
    let look = "
import glob
print('left' in sys.modules, glob.glob('/tmp/*') + glob.glob('/dev/shm/*') + glob.glob('/out/*'))
print(sorted(name for name in os.listdir('/proc') if name.isdigit()) if os.path.isdir('/proc') else ['2'])
for pid in range(1, 64):
    if pid in (1, 2): continue
    try: os.kill(pid, 0); print('sees', pid)
    except ProcessLookupError: pass
for name in ('unix', 'sockstat'):
    try: open('/proc/self/net/' + name); print('told', name)
    except OSError: pass";
    let second = Guest::prepare(&warden, SlotId(1), python(LIMITS, look));
    second.start();
    // Both guests report on one socket; the first stays up meanwhile.
    // An ordinary user does not own what lists the sockets of a network.
    let told = match is_root() {
        true => "",
        false => "\ntold unix\ntold sockstat",
    };
    assert_eq!(second.finish().text(), format!("False []\n['2']{told}"));
    warden.kill(SlotId(0)).unwrap();
    first.finish();
}

#[test]
fn the_calls_that_walk_a_copy_into_its_walls_are_closed_to_it() {
    let warden = warden();
    let program = format!(
        "{}{}",
        cell::PRELUDE,
        "
for number in [308, 117, 119, 126, 446]:
    print(call(number, 0, 0, 0))
print(call(157, 24, 0), call(157, 28, 0), call(157, 4, 1))
"
    );
    let ran = run_in(&warden, python(LIMITS, &program));
    assert_eq!(
        ran.text(),
        "ENOSYS\nENOSYS\nENOSYS\nENOSYS\nENOSYS\nEPERM EPERM EPERM"
    );
}

#[test]
fn a_zygote_never_runs_again() {
    let warden = warden();
    let frozen = |other: &i32| status_field(*other, "TracerPid") != "0";
    let zygote = family(&warden).into_iter().find(frozen).unwrap();
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{zygote}/sched")).unwrap();
        let line = stat
            .lines()
            .find(|line| line.starts_with("se.sum_exec_runtime"));
        line.map(str::to_owned)
    };
    let state = || status_field(zygote, "State");
    assert_eq!(state(), "t (tracing stop)");
    run_in(&warden, python(LIMITS, "print('once')"));
    assert_eq!(state(), "t (tracing stop)");
    assert!(ticks().is_some());
}

/// Why a zygote with this beginning is refused.
#[track_caller]
fn refused_zygote(beginning: &str) -> String {
    let warden = Warden::start(config()).unwrap();
    let program = format!("{beginning}\n{}", cell::ZYGOTE);
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", &program].map(str::to_owned);
    let jail = cell::host(LIMITS)
        .command(argv.to_vec(), "/tmp".into())
        .zygote();
    let slot = config().zygote_slot(0);
    warden
        .prepare(slot, jail.seal(warden.kernel()).unwrap())
        .unwrap();
    match cell::event(&warden) {
        strongroom_jail::Event::Refused { wall, detail, .. } => format!("{wall}: {detail}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_library_that_could_share_something_with_copies_makes_no_zygote() {
    let thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()";
    assert!(refused_zygote(thread).contains("has started a thread"));
    let memory = "import mmap\nkept = mmap.mmap(-1, 4096)";
    assert!(refused_zygote(memory).contains("holds shared memory"));
    let process = "import os, time\nif not os.fork():\n    time.sleep(3600)\n";
    assert!(refused_zygote(process).contains("has started a process"));
}

#[test]
fn copies_end_with_their_zygote_and_not_by_their_own_doing() {
    let warden = warden();
    let program = "import time\nprint('up', flush=True); time.sleep(3600)";
    let mut guest = Guest::prepare(&warden, SlotId(0), python(LIMITS, program));
    guest.start();
    guest.wait_for("up");
    let pid = copy_in(&warden);
    warden.kill(config().zygote_slot(0)).unwrap();
    let mut ended = 0;
    while ended < 2 {
        if let Event::Exited { slot, exit, .. } = cell::event(&warden) {
            let of_host = matches!(exit.cause, Cause::Lost);
            assert_eq!(of_host, slot == SlotId(0), "{exit:?}");
            ended += 1;
        }
    }
    assert!(!cell::exists(&format!("/proc/{pid}")));
    guest.forget();
}

#[test]
fn copies_end_when_something_on_the_host_ends_their_zygote() {
    let warden = warden();
    let program = "import time\nprint('up', flush=True); time.sleep(3600)";
    let mut guest = Guest::prepare(&warden, SlotId(0), python(LIMITS, program));
    guest.start();
    guest.wait_for("up");
    let zygote = zygote_of(&warden);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(zygote).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    for _ in 0..2 {
        match cell::event(&warden) {
            Event::Exited { exit, .. } => assert_eq!(exit.cause, Cause::Lost, "{exit:?}"),
            other => panic!("unexpected {other:?}"),
        }
    }
    guest.forget();
}

/// Each copy reads its work from its door, as a launched guest does.
const WAITING_ZYGOTE: &str = "
import _socket, os, sys
os.write(4, b'!')
os.read(4, 1)
if os.fork():
    os._exit(1)
door = _socket.socket(fileno=0)
work = door.recvmsg(1 << 17, _socket.CMSG_SPACE(4))[0]
exec(work)
";

#[test]
fn a_copy_can_wait_for_its_work_like_any_launched_guest() {
    let warden = Warden::start(config()).unwrap();
    let of = config().zygote_slot(0);
    let argv = ["/usr/bin/python3", "-I", "-S", "-c", WAITING_ZYGOTE].map(str::to_owned);
    let zygote = host(LIMITS).command(argv.to_vec(), "/tmp".into()).zygote();
    Guest::prepare(&warden, of, zygote).forget();
    let data = directory_with("rows", "1\n");
    for round in 0..3 {
        let jail = host_in(Jail::waiting(Waiting::Launched))
            .command(vec!["/usr/bin/python3".to_owned()], "/".into())
            .copy_of(of);
        let mut guest = Guest::prepare(&warden, SLOT, jail);
        let attachment = Attachment::new(LIMITS).read_only(data.path().into(), "/data".into());
        warden.attach(SLOT, attachment).unwrap();
        assert!(matches!(event(&warden), Event::Attached { .. }));
        guest.start();
        let program = format!("print({round}, open('/data/rows').read(), end='')");
        let door = guest.door.take().unwrap();
        door.hand_in(program.as_bytes(), None).unwrap();
        assert_eq!(guest.finish().text(), format!("{round} 1"));
    }
}
