//! A host in a bad state: each trouble is a named refusal, and once it is
//! mended the next guest runs. Staged in a mount namespace of the test's own.
#![allow(clippy::unwrap_used)]

mod cell;

use std::path::{Path, PathBuf};
use std::process::Command;

use cell::{LIMITS, refused, run_in, shell};
use strongroom_jail::{SealError, Status, Tier, Warden, WardenConfig};

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
    let script = "for place in $(awk '$2 ~ \"^/sys/fs/cgroup\" {print $2}' /proc/mounts); do
        mount -o remount,bind,ro $place; done";
    let test = "control_groups_that_cannot_be_written_are_named_and_mended";
    on_a_stage(test, script, |_| {
        let warden = cell::warden();
        let missing = warden.kernel().missing().cloned().unwrap();
        assert_eq!(missing.name, "cgroup", "{missing:?}");
        match shell(LIMITS, "true").seal(warden.kernel()) {
            Err(SealError::Wall { name, .. }) => assert_eq!(name, "cgroup"),
            _ => panic!("sealed without control groups"),
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for place in places.filter(|place| place.starts_with("/sys/fs/cgroup")) {
            mount(&["-o", "remount,bind,rw", place]);
        }
        let mended = cell::warden();
        assert_eq!(mended.kernel().missing(), None);
        let ran = run_in(&mended, shell(LIMITS, "exit 3"));
        assert_eq!(ran.exit.status, Status::Exited(3));
    });
}

#[test]
fn a_full_disk_is_named_by_the_reduced_tier_and_the_next_run_works() {
    let test = "a_full_disk_is_named_by_the_reduced_tier_and_the_next_run_works";
    let script = format!("mount -t tmpfs -o mode=0755,nr_inodes=40 none ${STAGE}");
    on_a_stage(test, &script, |stage| {
        let warden = Warden::start(config(&stage)).unwrap();
        assert_eq!(warden.kernel().missing(), None, "{:?}", warden.kernel());
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

/// Takes every file that can still be made.
fn fill(stage: &Path) -> Vec<PathBuf> {
    let paths = (0..64).map(|number| stage.join(format!("filler-{number}")));
    paths
        .take_while(|path| std::fs::write(path, "").is_ok())
        .collect()
}
