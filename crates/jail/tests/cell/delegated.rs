//! A test that runs again as an ordinary user with control groups of its own,
//! handed over as a service manager does it.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

const GROUPS: &str = "/sys/fs/cgroup";

/// Our own group of version 2, if that is the only version here.
pub fn own_group() -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let below = text.trim().strip_prefix("0::/")?.to_owned();
    Some(Path::new(GROUPS).join(below)).filter(|own| own.join("cgroup.controllers").exists())
}

/// An empty group beside `own` with every controller, where we may make one.
pub fn group_beside(own: &Path, name: &str) -> Option<PathBuf> {
    let top = own == Path::new(GROUPS).join("");
    let parent = if top { own } else { own.parent()? };
    std::fs::write(parent.join("cgroup.subtree_control"), "+memory +pids +cpu").ok()?;
    let group = parent.join(name);
    match std::fs::create_dir(&group) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => None,
        _ => Some(group),
    }
}

const NOBODY: u32 = 65_534;
/// Set for the inner half: the groups, separated by colons.
const GIVEN: &str = "STRONGROOM_TEST_GROUPS";

/// Runs `inner` as an ordinary user who may write the control groups given to it.
pub fn as_nobody(test: &str, with_groups: bool, inner: impl FnOnce(Vec<PathBuf>)) {
    if let Ok(groups) = std::env::var(GIVEN) {
        let groups = groups.split(':').filter(|path| !path.is_empty());
        return inner(groups.map(PathBuf::from).collect());
    }
    assert!(
        rustix::process::geteuid().is_root(),
        "this suite needs root to become someone else"
    );
    let groups = if with_groups {
        groups_for_nobody(test)
    } else {
        Vec::new()
    };
    // Version 2 wants the user's own processes inside what it may write, as
    // systemd arranges it; version 1 is named in the configuration.
    let (inside, named) = match groups.as_slice() {
        [one] => (
            one.join("cgroup.procs").display().to_string(),
            String::new(),
        ),
        many => {
            let paths: Vec<&str> = many.iter().filter_map(|path| path.to_str()).collect();
            ("/dev/null".to_owned(), paths.join(":"))
        }
    };
    let program = "echo $$ > $0; exec setpriv --reuid 65534 --regid 65534 --clear-groups -- \"$@\"";
    let output = Command::new("/bin/sh")
        .args(["-c", program, &inside])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(GIVEN, named)
        .output()
        .unwrap();
    groups.iter().for_each(|group| remove_tree(group));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn remove_tree(group: &Path) {
    for entry in std::fs::read_dir(group).unwrap().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path());
        }
    }
    std::fs::remove_dir(group).unwrap();
}

/// One directory per hierarchy, owned by the user.
fn groups_for_nobody(test: &str) -> Vec<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    // Groups are handed over with colons between them.
    let name = format!("ordinary_{}_{}", test.replace(":", ""), std::process::id());
    let root = Path::new(GROUPS);
    if let Some(own) = own_group() {
        return vec![give(group_beside(&own, &name).unwrap())];
    }
    let mut made = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap(), parts.next().unwrap());
        if let "memory" | "pids" | "cpu" | "cpuacct" | "cpu,cpuacct" = controllers {
            let group = root.join(controllers).join(&path[1..]).join(&name);
            std::fs::create_dir(&group).unwrap();
            made.push(give(group));
        }
    }
    made
}

fn give(group: PathBuf) -> PathBuf {
    let files = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
    let files = files
        .map(|file| group.join(file))
        .into_iter()
        .filter(|path| path.exists());
    for path in files.chain([group.clone()]) {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    group
}
