//! A host in a bad state: each trouble is a named refusal, and once it is
//! mended the next guest runs. Staged in a mount namespace of the test's own.
#![allow(clippy::unwrap_used)]

mod cell;

use std::path::{Path, PathBuf};
use std::process::Command;

use cell::delegated::{group_beside, own_group};
use cell::{Guest, LIMITS, SLOT, event, processes_with, refused, run_in, shell};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use strongroom_jail::{
    Cause, Event, SealError, SlotId, Status, Tier, Warden, WardenConfig, WardenError,
};

/// Set for the inner half: where the stage is.
const STAGE: &str = "STRONGROOM_TEST_STAGE";

/// Runs `inner` where `script` has changed the mounts.
fn on_a_stage(test: &str, script: &str, inner: impl FnOnce(PathBuf)) {
    if let Some(stage) = std::env::var_os(STAGE) {
        return inner(stage.into());
    }
    assert!(cell::is_root(), "this suite needs root to set its stage");
    let stage = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args([
            "--mount",
            "/bin/sh",
            "-ec",
            &format!("{script}\nexec \"$@\""),
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(STAGE, stage.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn mount(arguments: &[&str]) {
    assert!(
        Command::new("mount")
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn control_groups_that_cannot_be_written_are_named_and_mended() {
    let test = "control_groups_that_cannot_be_written_are_named_and_mended";
    on_a_stage(test, "", |_| {
        // On version 2 the test's own group holds more than the warden's family.
        let name = format!("trouble_read_only_{}", std::process::id());
        let given = own_group().map(|own| group_beside(&own, &name).unwrap());
        let start = || {
            let config = WardenConfig {
                cgroup_dirs: given.iter().cloned().collect(),
                ..cell::config()
            };
            Warden::start(config).unwrap()
        };
        remount_groups("remount,bind,ro");
        let warden = start();
        let missing = warden.kernel().missing().cloned().unwrap();
        assert_eq!(missing.name, "cgroup", "{missing:?}");
        match shell(LIMITS, "true").seal(warden.kernel()) {
            Err(SealError::Wall { name, .. }) => assert_eq!(name, "cgroup"),
            _ => panic!("sealed without control groups"),
        }
        remount_groups("remount,bind,rw");
        let mended = start();
        assert_eq!(mended.kernel().missing(), None);
        let ran = run_in(&mended, shell(LIMITS, "exit 3"));
        assert_eq!(ran.exit.status, Status::Exited(3));
        drop(mended);
        given.iter().for_each(|group| {
            cell::soon("the group's end", || std::fs::remove_dir(group).is_ok());
        });
    });
}

fn remount_groups(options: &str) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for place in places.filter(|place| place.starts_with("/sys/fs/cgroup")) {
        mount(&["-o", options, place]);
    }
}

#[test]
fn a_full_disk_is_named_by_the_reduced_tier_and_the_next_run_works() {
    let test = "a_full_disk_is_named_by_the_reduced_tier_and_the_next_run_works";
    let script = format!("mount -t tmpfs -o mode=0755,nr_inodes=40 none ${STAGE}");
    on_a_stage(test, &script, |stage| {
        let warden = Warden::start(config(&stage)).unwrap();
        assert_eq!(warden.kernel().missing(), None, "{:?}", warden.kernel());
        // What the rehearsal had would be free again once the disk is full.
        cell::soon("the rehearsal's end", || runs_below(&stage) == 0);
        let fillers = fill(&stage);
        let (wall, detail) = refused(&warden, shell(LIMITS, "true"));
        assert_eq!(wall, "private_folder", "{detail}");
        assert!(detail.contains("No space"), "{detail}");
        let late = Warden::start(WardenConfig {
            uid_base: config(&stage).uid_base + 64,
            ..config(&stage)
        });
        let late = late.unwrap();
        let missing = late.kernel().missing().cloned().unwrap();
        assert_eq!(missing.name, "private_folder", "{missing:?}");
        fillers
            .iter()
            .for_each(|path| std::fs::remove_file(path).unwrap());
        let ran = run_in(&warden, shell(LIMITS, "exit 3"));
        assert_eq!(ran.exit.status, Status::Exited(3));
    });
}

fn config(folder: &Path) -> WardenConfig {
    WardenConfig {
        tier: Tier::Reduced,
        folder: folder.to_owned(),
        uid_base: 720_000_000 + std::process::id() % 100_000 * 128,
        ..cell::config()
    }
}

/// The folders of runs that a warden of the reduced tier has in its place.
fn runs_below(stage: &Path) -> usize {
    let inside = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let wardens = inside(stage.to_owned()).flat_map(|shared| inside(shared.path()));
    wardens.flat_map(|own| inside(own.path())).count()
}

/// Takes every file that can still be made.
fn fill(stage: &Path) -> Vec<PathBuf> {
    let paths = (0..64).map(|number| stage.join(format!("filler-{number}")));
    paths
        .take_while(|path| std::fs::write(path, "").is_ok())
        .collect()
}

/// Bounds how many files a warden may have open, beyond those that it has.
fn descriptors(warden: &Warden, more: Option<u64>) {
    let pid = warden.process_id();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let numbers = open
        .flatten()
        .map(|one| one.file_name().into_string().unwrap());
    let highest: u64 = numbers.map(|one| one.parse().unwrap()).max().unwrap();
    let limit = Rlimit {
        current: Some(more.map_or(1024, |more| highest + 1 + more)),
        maximum: Some(4096),
    };
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();
}

/// Gives a warden more and more room, until a guest can be prepared.
#[track_caller]
fn is_refused_for_want_of_files(warden: &Warden) {
    let mut first = None;
    for more in 0..64 {
        descriptors(warden, Some(more));
        let seal = shell(LIMITS, "true").seal(warden.kernel()).unwrap();
        warden.prepare(SLOT, seal).unwrap();
        match event(warden) {
            Event::Refused { wall, detail, .. } => {
                assert!(detail.contains("files"), "{more} more: {wall}: {detail}");
                first.get_or_insert(wall);
            }
            Event::Ready { .. } => {
                warden.kill(SLOT).unwrap();
                assert!(matches!(event(warden), Event::Exited { .. }));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    // Which step is the first to find no room depends on numbers that are free.
    assert!(first.is_some(), "there was always room");
    descriptors(warden, None);
}

#[test]
fn a_reduced_warden_without_descriptors_names_it_and_the_next_run_works() {
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let warden = Warden::start(config(folder.path())).unwrap();
    is_refused_for_want_of_files(&warden);
    assert_eq!(run_in(&warden, shell(LIMITS, "echo fine")).text(), "fine");
}

#[test]
fn a_warden_without_descriptors_refuses_one_guest_by_name_and_keeps_the_others() {
    let warden = cell::warden();
    let marker = format!("7100.{}", std::process::id());
    let jail = shell(LIMITS, &format!("echo up; sleep {marker}"));
    let mut other = Guest::prepare(&warden, SlotId(1), jail);
    other.start();
    other.wait_for("up");
    is_refused_for_want_of_files(&warden);
    assert_eq!(run_in(&warden, shell(LIMITS, "echo fine")).text(), "fine");
    assert!(
        !processes_with(&marker).is_empty(),
        "it had nothing to do with it"
    );
    warden.kill(SlotId(1)).unwrap();
    assert_eq!(other.finish().exit.cause, Cause::Killed);
}

/// A warden in a group of its own, where one thing can run out.
struct Bounded {
    warden: Warden,
    group: PathBuf,
    version_two: bool,
}

impl Bounded {
    fn start(controller: &str) -> Self {
        let name = format!("trouble_{controller}_{}", std::process::id());
        if let Some(own) = own_group() {
            let group = group_beside(&own, &name).unwrap();
            let config = WardenConfig {
                cgroup_dirs: vec![group.clone()],
                spares: 0,
                ..cell::config()
            };
            let warden = Warden::start(config).unwrap();
            return Self {
                warden,
                group,
                version_two: true,
            };
        }
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let line = text
            .lines()
            .find(|line| line.split(':').nth(1) == Some(controller));
        let below = line.unwrap().splitn(3, ':').nth(2).unwrap();
        let group = Path::new("/sys/fs/cgroup").join(controller);
        let group = group.join(&below[1..]).join(&name);
        std::fs::create_dir(&group).unwrap();
        let config = WardenConfig {
            spares: 0,
            ..cell::config()
        };
        let warden = Warden::start(config).unwrap();
        let pid = warden.process_id().to_string();
        std::fs::write(group.join("cgroup.procs"), pid).unwrap();
        Self {
            warden,
            group,
            version_two: false,
        }
    }

    /// The control groups of guests, in every hierarchy.
    fn slots(&self) -> Vec<PathBuf> {
        let name = cell::config().cgroup_name;
        let own = format!("-{}-", self.warden.process_id());
        let slots = cell::groups_named("slot-").into_iter();
        slots
            .filter(|path| {
                let warden = path.parent().unwrap().file_name().unwrap();
                let warden = warden.to_string_lossy();
                warden.starts_with(&name) && warden.contains(&own)
            })
            .collect()
    }

    fn set(&self, file: &str, value: &str) {
        std::fs::write(self.group.join(file), value).unwrap();
    }

    fn clear(self) {
        drop(self.warden);
        cell::soon("the group's end", || {
            std::fs::remove_dir(&self.group).is_ok() || !self.group.exists()
        });
    }
}

#[test]
fn a_host_without_processes_is_named_and_the_next_run_works() {
    if !cell::is_root() {
        return;
    }
    let place = Bounded::start("pids");
    // The rehearsal may be ending still, so that what there is now says little.
    place.set("pids.max", "0");
    for _ in 0..3 {
        let (wall, detail) = refused(&place.warden, shell(LIMITS, "true"));
        assert_eq!(wall, "cgroup", "{detail}");
        assert!(
            detail.contains("Resource temporarily unavailable"),
            "{detail}"
        );
    }
    // The rehearsal's own group goes a moment after its end.
    cell::soon("nobody was born there", || place.slots().is_empty());
    place.set("pids.max", "max");
    assert_eq!(
        run_in(&place.warden, shell(LIMITS, "echo fine")).text(),
        "fine"
    );
    place.clear();
}

#[test]
fn a_host_without_memory_is_named_and_the_next_run_works() {
    if !cell::is_root() {
        return;
    }
    let place = Bounded::start("memory");
    let (file, few, many) = match place.version_two {
        true => ("memory.max", "65536", "max"),
        false => ("memory.limit_in_bytes", "65536", "-1"),
    };
    place.set(file, few);
    let seal = shell(LIMITS, "true").seal(place.warden.kernel()).unwrap();
    let told = place.warden.prepare(SLOT, seal).map(|_| ());
    // The kernel refuses a process to the warden, or ends the warden or a keeper.
    let ended = match told {
        Err(WardenError::Gone) => None,
        Err(other) => panic!("{other}"),
        Ok(()) => {
            let mut heard = place.warden.receive();
            cell::soon("news", || {
                if matches!(heard, Ok(None)) {
                    heard = place.warden.receive();
                }
                !matches!(heard, Ok(None))
            });
            match heard {
                Ok(Some(Event::Refused { wall, detail, .. })) => Some((wall, detail)),
                Err(WardenError::Gone) => None,
                other => panic!("{other:?}"),
            }
        }
    };
    if let Some((wall, detail)) = &ended {
        let named = ["cgroup", "preparation", "private_root", "user_namespace"];
        assert!(named.contains(&wall.as_str()), "{wall}: {detail}");
    }
    place.set(file, many);
    let again = (ended.is_none()).then(cell::warden);
    let warden = again.as_ref().unwrap_or(&place.warden);
    assert_eq!(run_in(warden, shell(LIMITS, "echo fine")).text(), "fine");
    drop(again);
    place.clear();
}
