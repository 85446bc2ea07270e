//! However a guest, its supervisor or its warden ends, nothing is left over.
#![allow(clippy::unwrap_used)]

mod cell;

use std::cell::Cell;
use std::path::PathBuf;

use cell::{
    Guest, LIMITS, SLOT, config, event, groups_named, host, processes_with, python, refused, run,
    run_in, shell, soon, warden,
};
use strongroom_jail::{Cause, Event, Limits, SlotId, Status, Warden, WardenConfig};

const NONE: [PathBuf; 0] = [];

/// A warden whose control groups can be told from those of other tests.
fn named(name: &str) -> Warden {
    Warden::start(WardenConfig {
        cgroup_name: name.to_owned(),
        ..config()
    })
    .unwrap()
}

/// A guest tree that would live for an hour, findable on the host by `marker`.
fn long(marker: &str) -> String {
    format!(
        "import os, sys, time # {marker}
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.setsid()
print('up', flush=True)
time.sleep(3600)"
    )
}

#[test]
fn daemons_do_not_survive_the_end_of_a_guest() {
    let program = "
import os # marker-daemon
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import time; time.sleep(3600)
    os._exit(0)
os._exit(0)";
    let ran = run(python(LIMITS, program));
    assert_eq!(ran.exit.status, Status::Exited(0));
    assert_eq!(processes_with("marker-daemon"), [0; 0]);
}

#[test]
fn a_kill_ends_the_whole_tree_and_says_so() {
    let warden = warden();
    let mut guest = Guest::prepare(&warden, SLOT, python(LIMITS, &long("marker-kill")));
    guest.start();
    guest.wait_for("up");
    assert!(!processes_with("marker-kill").is_empty());
    warden.kill(SLOT).unwrap();
    let ran = guest.finish();
    assert_eq!(
        (ran.exit.cause, ran.exit.status),
        (Cause::Killed, Status::Signaled(9))
    );
    assert_eq!(processes_with("marker-kill"), [0; 0]);
}

#[test]
fn a_guest_killed_before_its_start_never_ran() {
    let warden = warden();
    let guest = Guest::prepare(&warden, SLOT, shell(LIMITS, "echo ran > /out/f; echo ran"));
    warden.kill(SLOT).unwrap();
    let ran = guest.finish();
    assert_eq!(
        (ran.exit.cause, ran.exit.wall_ms, ran.stdout.as_str()),
        (Cause::Killed, 0, "")
    );
    let left = rustix::fs::Dir::read_from(&ran.out)
        .unwrap()
        .flatten()
        .count();
    assert_eq!(left, 2, "only . and ..");
}

#[test]
fn a_ready_guest_waits_until_it_is_started() {
    let warden = warden();
    let guest = Guest::prepare(&warden, SLOT, shell(LIMITS, "echo ran"));
    let marker = "echo ran";
    soon("the wait", || processes_with(marker).is_empty());
    assert!(warden.receive().unwrap().is_none());
    guest.start();
    assert_eq!(guest.finish().text(), "ran");
}

#[test]
fn starting_twice_or_killing_twice_does_no_harm() {
    let warden = warden();
    let mut guest = Guest::prepare(&warden, SLOT, shell(LIMITS, "echo up; sleep 3600"));
    guest.start();
    guest.start();
    guest.wait_for("up");
    warden.kill(SLOT).unwrap();
    warden.kill(SLOT).unwrap();
    warden.kill(SlotId(5)).unwrap();
    assert_eq!(guest.finish().exit.cause, Cause::Killed);
    assert_eq!(run_in(&warden, shell(LIMITS, "echo again")).text(), "again");
}

#[test]
fn a_slot_holds_one_guest_at_a_time() {
    let warden = warden();
    let guest = Guest::prepare(&warden, SLOT, shell(LIMITS, "true"));
    let seal = || shell(LIMITS, "true").seal(warden.kernel()).unwrap();
    assert_eq!(
        warden.prepare(SLOT, seal()).unwrap_err().to_string(),
        "slot 0 is taken"
    );
    let none = warden.prepare(SlotId(8), seal()).unwrap_err().to_string();
    assert_eq!(none, "slot 8 does not exist");
    guest.start();
    guest.finish();
}

#[test]
fn several_guests_run_beside_each_other() {
    let warden = warden();
    let slots: Vec<SlotId> = (0..8).map(SlotId).collect();
    for slot in &slots {
        let jail = shell(LIMITS, "id -u; sleep 0.2")
            .seal(warden.kernel())
            .unwrap();
        warden.prepare(*slot, jail).unwrap();
    }
    let mut ended = 0;
    while ended < slots.len() {
        match event(&warden) {
            Event::Ready { slot, .. } => warden.start_slot(slot).unwrap(),
            Event::Exited { exit, .. } => {
                assert_eq!(exit.status, Status::Exited(0));
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn many_runs_leave_nothing_behind() {
    let name = "endings_many";
    let warden = named(name);
    let descriptors = || {
        let open = format!("/proc/{}/fd", warden.process_id());
        std::fs::read_dir(open).unwrap().count()
    };
    run_in(&warden, shell(LIMITS, "true"));
    let parents = groups_named(name);
    let pid = i32::try_from(warden.process_id()).unwrap();
    let settled = || children(pid).len() == 2 && parents.iter().all(|one| leaves(one) == 2);
    // A spare that is being made has its group before it has its socket.
    let before = Cell::new(0);
    soon("two spares and nothing else, at two looks", || {
        settled() && before.replace(descriptors()) == before.get()
    });
    for _ in 0..100 {
        assert_eq!(
            run_in(&warden, shell(LIMITS, "echo x > /out/f"))
                .exit
                .status,
            Status::Exited(0)
        );
    }
    soon("two spares and nothing else", settled);
    soon("descriptors to return", || descriptors() <= before.get());
    drop(warden);
    assert_eq!(groups_named(name), NONE);
}

/// How many guests' groups a warden's group holds.
fn leaves(parent: &PathBuf) -> usize {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("slot-"))
        .count()
}

fn children(of: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    text.unwrap_or_default()
        .split_whitespace()
        .flat_map(str::parse)
        .collect()
}

#[test]
fn dropping_the_handle_leaves_no_guest_and_no_group() {
    let warden = named("endings_drop");
    let mut guest = Guest::prepare(&warden, SLOT, python(LIMITS, &long("marker-drop")));
    guest.start();
    guest.wait_for("up");
    drop(guest);
    assert!(!groups_named("endings_drop").is_empty());
    drop(warden);
    assert_eq!(processes_with("marker-drop"), [0; 0]);
    assert_eq!(groups_named("endings_drop"), NONE);
}

#[test]
fn killing_the_warden_leaves_no_guest_and_the_next_one_clears_its_groups() {
    let name = "endings_kill";
    let warden = named(name);
    let mut guest = Guest::prepare(&warden, SLOT, python(LIMITS, &long("marker-wkill")));
    guest.start();
    guest.wait_for("up");
    let pid = i32::try_from(warden.process_id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    soon("the guest's end", || {
        processes_with("marker-wkill").is_empty()
    });
    drop(guest);
    drop(warden);
    let dead = groups_named(name);
    assert!(!dead.is_empty(), "a killed warden cannot clear up");
    let living = named(name);
    // We may live in the dead warden's group ourselves; its guests are gone.
    assert_eq!(dead.iter().map(leaves).sum::<usize>(), 0);
    let groups = groups_named(name);
    let other = named(name);
    assert!(
        groups.iter().all(|group| group.exists()),
        "a living warden is left alone"
    );
    assert_eq!(run_in(&living, shell(LIMITS, "echo ok")).text(), "ok");
    drop((living, other));
    assert_eq!(groups_named(name), NONE);
}

/// Set for the inner half of the next test, which is killed by the outer.
const INNER: &str = "STRONGROOM_TEST_INNER";

#[test]
fn killing_the_supervisor_leaves_no_guest_and_no_group() {
    let test = "killing_the_supervisor_leaves_no_guest_and_no_group";
    let name = "endings_supervisor";
    let marker = "marker-skill";
    if std::env::var_os(INNER).is_some() {
        let warden = named(name);
        let mut guest = Guest::prepare(&warden, SLOT, python(LIMITS, &long(marker)));
        guest.start();
        guest.wait_for("up");
        guest.finish();
        return;
    }
    let mut supervisor = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(INNER, "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    soon("the guest's start", || processes_with(marker).len() > 3);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    soon("the guest's end", || processes_with(marker).is_empty());
    soon("the groups' end", || groups_named(name).is_empty());
}

#[test]
fn killing_a_keeper_or_init_ends_the_guest_and_nothing_else() {
    let warden = warden();
    for generation in 1..=2 {
        let marker = format!("marker-gen-{generation}");
        let mut guest = Guest::prepare(&warden, SLOT, python(LIMITS, &long(&marker)));
        guest.start();
        guest.wait_for("up");
        let worker = processes_with(&marker)
            .into_iter()
            .find(|pid| cell::status_field(*pid, "NSpid").ends_with("\t2"))
            .unwrap();
        let victim = (0..generation).fold(worker, |pid, _| {
            cell::status_field(pid, "PPid").parse().unwrap()
        });
        let pid = rustix::process::Pid::from_raw(victim).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let ran = guest.finish();
        let ended = (ran.exit.cause, ran.exit.status);
        assert_eq!(ended, (Cause::Lost, Status::Signaled(9)), "{ran:?}");
        assert_eq!(processes_with(&marker), [0; 0]);
    }
    assert_eq!(run_in(&warden, shell(LIMITS, "echo fine")).text(), "fine");
}

#[test]
fn a_spare_keeper_that_was_killed_costs_no_guest_anything() {
    let name = "endings_spares";
    let warden = named(name);
    let pid = i32::try_from(warden.process_id()).unwrap();
    soon("spares to wait", || children(pid).len() >= 2);
    let spares = children(pid);
    for spare in &spares {
        let spare = rustix::process::Pid::from_raw(*spare).unwrap();
        rustix::process::kill_process(spare, rustix::process::Signal::KILL).unwrap();
    }
    soon("their end", || {
        children(pid).iter().all(|one| !spares.contains(one))
    });
    for _ in 0..3 {
        assert_eq!(run_in(&warden, shell(LIMITS, "echo fine")).text(), "fine");
    }
    drop(warden);
    assert_eq!(groups_named(name), NONE);
}

#[test]
fn a_host_directory_that_is_missing_is_refused_by_name() {
    let warden = warden();
    let jail = shell(LIMITS, "true").read_only("/nonexistent".into(), "/data".into());
    let (wall, detail) = refused(&warden, jail);
    assert_eq!(wall, "read_only_overlay");
    assert!(
        detail.contains("/data") && detail.contains("No such file"),
        "{detail}"
    );
    let (_, detail) = refused(
        &warden,
        shell(LIMITS, "true").read_only("/etc/passwd".into(), "/data".into()),
    );
    assert!(detail.contains("not a directory"), "{detail}");
}

#[test]
fn a_missing_program_or_working_directory_is_refused_before_the_start() {
    let warden = warden();
    let missing = host(LIMITS).command(vec!["/usr/bin/no-such".into()], "/".into());
    let (wall, detail) = refused(&warden, missing);
    assert!(
        wall == "command" && detail.contains("/usr/bin/no-such"),
        "{wall} {detail}"
    );
    let (wall, detail) = refused(
        &warden,
        shell(LIMITS, "true").command(vec!["/bin/sh".into()], "/nowhere".into()),
    );
    assert!(
        wall == "command" && detail.contains("working directory"),
        "{wall} {detail}"
    );
    assert_eq!(run_in(&warden, shell(LIMITS, "echo fine")).text(), "fine");
}

#[test]
fn a_refused_slot_leaves_nothing_behind() {
    let name = "endings_refused";
    let warden = named(name);
    for _ in 0..10 {
        refused(
            &warden,
            host(LIMITS).command(vec!["/usr/bin/no-such".into()], "/".into()),
        );
    }
    let pid = i32::try_from(warden.process_id()).unwrap();
    soon("children to go", || children(pid).len() <= 2);
    drop(warden);
    assert_eq!(groups_named(name), NONE);
}

#[test]
fn too_little_memory_is_an_end_with_a_name() {
    let limits = Limits {
        memory_bytes: 8 << 20,
        ..LIMITS
    };
    let warden = warden();
    let jail = python(limits, "x = bytearray(64 << 20)");
    let ran = run_in(&warden, jail);
    assert!(ran.exit.out_of_memory, "{ran:?}");
}

#[test]
fn a_program_that_is_no_warden_is_an_error_not_a_hang() {
    let config = WardenConfig {
        program: "/usr/bin/true".into(),
        ..config()
    };
    let error = Warden::start(config).unwrap_err().to_string();
    assert!(
        error.contains("could not start a warden from /usr/bin/true"),
        "{error}"
    );
}

#[test]
fn a_dead_warden_is_told_as_gone() {
    let warden = warden();
    let pid = i32::try_from(warden.process_id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    soon("the news", || {
        matches!(warden.receive(), Err(strongroom_jail::WardenError::Gone))
    });
    assert_eq!(
        warden.kill(SLOT).unwrap_err().to_string(),
        "the warden is gone"
    );
}
