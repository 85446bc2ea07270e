//! Control groups of version 2: one hierarchy, born into, killed at once.
//!
//! A group that passes controllers on may not hold processes itself, so our
//! own processes step aside into a child of their own first. Strangers are
//! never moved: if some share our group, that is an error with a name.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::mounted::hierarchies;
use super::{
    GroupError, Usage, Values, keyed, make_directory, number, processes, read, remove_directory,
    stale, write,
};

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// Where our own processes step aside to.
pub(super) const HOUSE: &str = "house";

/// The group below which a warden makes its own, if version 2 has every
/// controller there; `None` hands over to version 1.
pub(super) fn base(given: &[PathBuf]) -> Result<Option<PathBuf>, GroupError> {
    let Some(hierarchy) = hierarchies()?
        .into_iter()
        .find(|one| one.file_system == "cgroup2")
    else {
        return Ok(None);
    };
    let base = match given
        .iter()
        .find(|path| path.starts_with(&hierarchy.mount_point))
    {
        Some(path) => path.clone(),
        None => out_of_the_house(hierarchy.own),
    };
    let offered = read(&base.join("cgroup.controllers")).unwrap_or_default();
    let has = |controller: &str| offered.split_whitespace().any(|one| one == controller);
    Ok(CONTROLLERS.into_iter().all(has).then_some(base))
}

/// A supervisor whose earlier warden moved it aside starts the next one where
/// the first began.
fn out_of_the_house(own: PathBuf) -> PathBuf {
    let aside = own.file_name().is_some_and(|name| name == HOUSE);
    match own.ancestors().nth(2) {
        Some(base) if aside => base.to_owned(),
        _ => own,
    }
}

/// Gives the controllers to `parent` and lets it give them to leaves.
/// `family` are our own processes, which may be moved.
pub(super) fn pass_controllers_on(parent: &Path, family: &[i32]) -> Result<(), GroupError> {
    let base = parent.parent().unwrap_or(parent);
    if enable(base).is_err() {
        let house = parent.join(HOUSE);
        make_directory(&house)?;
        for pid in processes(base) {
            if !family.contains(&pid) {
                return Err(GroupError::Occupied {
                    path: base.to_owned(),
                });
            }
            write(&house.join("cgroup.procs"), &pid.to_string())?;
        }
        enable(base)?;
    }
    enable(parent)
}

/// Undoes [`pass_controllers_on`] when the warden of `parent` ends: everyone in
/// the house returns, unless another group there may still need the controllers.
pub(super) fn leave_the_house(parent: &Path) -> Result<(), GroupError> {
    let Some(house) = own_house()? else {
        return Ok(());
    };
    // It may be the house of an earlier warden; a living one's is left alone.
    let (Some(owner), Some(base)) = (house.parent(), house.ancestors().nth(2)) else {
        return Ok(());
    };
    let over = owner == parent || stale::is_left_over(owner);
    // Whoever else is there would lose its limits.
    if !over || !holds_only(owner, &house) || !holds_only(base, owner) {
        return Ok(());
    }
    for group in [owner, base] {
        write(&group.join("cgroup.subtree_control"), "-memory -pids -cpu")?;
    }
    for pid in processes(&house) {
        write(&base.join("cgroup.procs"), &pid.to_string())?;
    }
    remove_directory(&house)?;
    remove_directory(owner)
}

/// Whether `child` is the only group in `group`.
fn holds_only(group: &Path, child: &Path) -> bool {
    let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    let mut groups = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    groups.all(|path| path == child)
}

/// The house that we live in.
fn own_house() -> Result<Option<PathBuf>, GroupError> {
    let own = hierarchies()?
        .into_iter()
        .find(|one| one.file_system == "cgroup2")
        .map(|one| one.own);
    Ok(own.filter(|own| own.file_name().is_some_and(|name| name == HOUSE)))
}

fn enable(group: &Path) -> Result<(), GroupError> {
    let file = group.join("cgroup.subtree_control");
    let enabled = read(&file)?;
    if CONTROLLERS
        .into_iter()
        .all(|one| enabled.split_whitespace().any(|name| name == one))
    {
        return Ok(());
    }
    write(&file, "+memory +pids +cpu")
}

pub(super) fn open(leaf: &Path) -> Result<OwnedFd, GroupError> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    rustix::fs::open(leaf, flags, Mode::empty()).map_err(|errno| GroupError::File {
        attempt: "open",
        path: leaf.to_owned(),
        source: errno.into(),
    })
}

pub(super) fn limit(leaf: &Path, values: &Values) -> Result<(), GroupError> {
    write(&leaf.join("memory.max"), &values.memory_bytes.to_string())?;
    // The file is missing where the kernel has no swap at all.
    let swap = leaf.join("memory.swap.max");
    if swap.exists() {
        write(&swap, "0")?;
    }
    write(&leaf.join("memory.oom.group"), "1")?;
    write(&leaf.join("pids.max"), &values.processes.to_string())?;
    limit_processor(leaf, values)?;
    write(&leaf.join("cgroup.max.descendants"), "0")
}

pub(super) fn change(leaf: &Path, from: &Values, to: &Values) -> Result<(), GroupError> {
    if from.memory_bytes != to.memory_bytes {
        write(&leaf.join("memory.max"), &to.memory_bytes.to_string())?;
    }
    if from.processes != to.processes {
        write(&leaf.join("pids.max"), &to.processes.to_string())?;
    }
    match from.quota_us == to.quota_us {
        true => Ok(()),
        false => limit_processor(leaf, to),
    }
}

fn limit_processor(leaf: &Path, values: &Values) -> Result<(), GroupError> {
    let quota = format!("{} {}", values.quota_us, super::CPU_PERIOD_US);
    write(&leaf.join("cpu.max"), &quota)
}

pub(super) fn usage(leaf: &Path) -> Usage {
    Usage {
        cpu_us: cpu_us(leaf),
        memory_peak_bytes: number(&text(leaf, "memory.peak")),
        out_of_memory: 0 < keyed(&text(leaf, "memory.events"), "oom_kill"),
        processes_refused: 0 < keyed(&text(leaf, "pids.events"), "max"),
    }
}

pub(super) fn cpu_us(leaf: &Path) -> u64 {
    keyed(&text(leaf, "cpu.stat"), "usage_usec")
}

fn text(leaf: &Path, file: &str) -> String {
    read(&leaf.join(file)).unwrap_or_default()
}
