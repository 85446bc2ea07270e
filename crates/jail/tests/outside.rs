//! A living guest, looked at from the host: what the kernel says about it.
#![allow(clippy::unwrap_used)]

mod cell;

use std::collections::BTreeMap;
use std::fs;

use cell::{Guest, LIMITS, SLOT, config, processes_with, python, status_field, warden};
use strongroom_jail::{SlotId, Warden};

/// Runs a sleeping guest and looks at its worker from outside.
#[track_caller]
fn look(warden: &Warden, slot: SlotId, marker: &str, check: impl FnOnce(i32)) {
    let program = format!("import time # {marker}\nprint('up', flush=True); time.sleep(3600)");
    let mut guest = Guest::prepare(warden, slot, python(LIMITS, &program));
    guest.start();
    guest.wait_for("up");
    let found = processes_with(marker);
    assert_eq!(found.len(), 1, "{found:?}");
    check(found[0]);
    warden.kill(slot).unwrap();
    guest.finish();
}

#[test]
fn the_user_is_the_slots_own_inside_and_outside() {
    let warden = warden();
    for slot in [0, 3] {
        // An ordinary user has one id, and no other to give away.
        let uid = if cell::is_root() {
            config().uid_base + slot
        } else {
            rustix::process::geteuid().as_raw()
        };
        look(
            &warden,
            SlotId(slot),
            &format!("marker-user-{slot}"),
            |pid| {
                let ids = format!("{uid}\t{uid}\t{uid}\t{uid}");
                assert_eq!(status_field(pid, "Uid"), ids);
                assert_eq!(status_field(pid, "Gid"), ids);
                assert_eq!(status_field(pid, "Groups"), "");
                let map = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
                for file in ["uid_map", "gid_map"] {
                    let map = map(file);
                    let numbers: Vec<&str> = map.split_whitespace().collect();
                    assert_eq!(numbers, ["1000", uid.to_string().as_str(), "1"]);
                }
                assert_eq!(map("setgroups"), "deny\n");
            },
        );
    }
}

#[test]
fn every_namespace_is_its_own() {
    look(&warden(), SLOT, "marker-ns", |pid| {
        for name in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{name}")).unwrap();
            assert_ne!(of(&pid.to_string()), of("self"), "{name}");
        }
    });
}

#[test]
fn two_guests_share_no_namespace() {
    let warden = warden();
    let mut first = BTreeMap::new();
    let names = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let of = |pid: i32, name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    look(&warden, SLOT, "marker-one", |one| {
        first.extend(names.map(|name| (name, of(one, name))));
        look(&warden, SlotId(1), "marker-two", |two| {
            for name in names {
                assert_ne!(first[name], of(two, name), "{name}");
            }
        });
    });
}

#[test]
fn privileges_are_gone_for_good() {
    look(&warden(), SLOT, "marker-caps", |pid| {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status_field(pid, set), "0000000000000000", "{set}");
        }
        assert_eq!(status_field(pid, "NoNewPrivs"), "1");
        assert_eq!(status_field(pid, "Seccomp"), "2");
        assert_eq!(status_field(pid, "TracerPid"), "0");
    });
}

#[test]
fn init_holds_its_socket_and_nothing_else() {
    look(&warden(), SLOT, "marker-init", |pid| {
        let init: i32 = status_field(pid, "PPid").parse().unwrap();
        assert!(status_field(init, "NSpid").ends_with("\t1"));
        assert_eq!(status_field(init, "CapBnd"), "0000000000000000");
        assert_eq!(
            (
                status_field(init, "NoNewPrivs"),
                status_field(init, "Seccomp")
            ),
            ("1".into(), "2".into())
        );
        let listed = fs::read_dir(format!("/proc/{init}/fd"));
        if !cell::is_root() {
            let error = listed.map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            return;
        }
        let open: Vec<String> = listed
            .unwrap()
            .map(|entry| {
                fs::read_link(entry.unwrap().path())
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(open.len(), 1, "{open:?}");
        assert!(open[0].starts_with("socket:"), "{open:?}");
        let keeper: i32 = status_field(init, "PPid").parse().unwrap();
        let kept = fs::read_dir(format!("/proc/{keeper}/fd")).unwrap().count();
        assert_eq!(kept, 6, "null thrice, the socket, init, and the pipe to it");
    });
}

#[test]
fn the_guest_lies_in_a_leaf_of_its_own_with_every_limit() {
    look(&warden(), SLOT, "marker-leaf", |pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let line = |name: &str| {
            text.lines()
                .find(|line| line.contains(name))
                .unwrap()
                .to_owned()
        };
        if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            assert!(line("0::").contains("/slot-"), "{text}");
            return;
        }
        for (controller, file, value) in [
            (
                "memory",
                "memory.limit_in_bytes",
                LIMITS.memory_bytes.to_string(),
            ),
            ("pids", "pids.max", (LIMITS.processes + 2).to_string()),
            ("cpu", "cpu.cfs_quota_us", "100000".to_owned()),
        ] {
            let path = line(&format!(":{controller}:"));
            let (_, path) = path.rsplit_once(':').unwrap();
            assert!(path.contains("/slot-"), "{path}");
            let file = format!("/sys/fs/cgroup/{controller}{path}/{file}");
            assert_eq!(fs::read_to_string(&file).unwrap().trim(), value, "{file}");
        }
    });
}

#[test]
fn resource_limits_are_set_on_the_process() {
    look(&warden(), SLOT, "marker-rlimits", |pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        for (name, value) in [
            ("Max core file size", "1"),
            ("Max open files", "256"),
            ("Max locked memory", "65536"),
            ("Max msgqueue size", "0"),
            ("Max realtime priority", "0"),
            ("Max nice priority", "0"),
            ("Max pending signals", "256"),
        ] {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            let values: Vec<&str> = line.split_whitespace().take(2).collect();
            assert_eq!(values, [value, value], "{name}");
        }
    });
}

#[test]
fn the_root_holds_no_mount_of_the_host() {
    look(&warden(), SLOT, "marker-mounts", |pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        let mut kinds: Vec<String> = Vec::new();
        for line in text.lines() {
            let (before, after) = line.split_once(" - ").unwrap();
            let place = before.split(' ').nth(4).unwrap();
            assert!(
                !before.contains("shared:") && !before.contains("master:"),
                "{line}"
            );
            kinds.push(format!("{place} {}", after.split(' ').next().unwrap()));
        }
        kinds.sort();
        let nodes = ["full", "null", "random", "urandom", "zero"];
        // Made for this sandbox, except that an ordinary user may make none.
        let kind = if cell::is_root() { "tmpfs" } else { "devtmpfs" };
        let mut expected: Vec<String> = nodes.map(|node| format!("/dev/{node} {kind}")).to_vec();
        expected.extend(
            [
                "/ tmpfs",
                "/dev/shm tmpfs",
                "/out tmpfs",
                "/proc proc",
                "/tmp tmpfs",
            ]
            .map(str::to_owned),
        );
        expected.push("/usr overlay".to_owned());
        expected.sort();
        assert_eq!(kinds, expected);
    });
}

#[test]
fn the_record_names_every_wall() {
    let warden = warden();
    assert_eq!(warden.kernel().missing(), None);
    assert!(
        warden
            .kernel()
            .walls
            .iter()
            .all(|wall| wall.enforced && wall.fix.is_none())
    );
    let guest = Guest::prepare(&warden, SLOT, python(LIMITS, "pass"));
    assert_eq!(guest.enforced.tier, "full");
    assert_eq!(guest.enforced.walls.len(), warden.kernel().walls.len());
    assert_eq!(guest.enforced.landlock_abi, warden.kernel().landlock_abi);
    guest.start();
    guest.finish();
}

#[test]
fn the_warden_runs_from_a_sealed_copy_with_nothing_inherited() {
    let warden = warden();
    let pid = warden.process_id();
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert!(
        program.to_str().unwrap().starts_with("/memfd:warden"),
        "{program:?}"
    );
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
    assert_eq!(status_field(i32::try_from(pid).unwrap(), "Threads"), "1");
    let write = fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/{pid}/exe"));
    assert!(
        write.is_err(),
        "the image cannot be opened for writing while it runs"
    );
}
