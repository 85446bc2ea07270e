//! Control groups of version 1: one hierarchy per controller.
//!
//! There is no way to be born into a group here, so a keeper enters each leaf
//! before it is asked to build anything, and the guest inherits its place.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::EventfdFlags;

use super::mounted::hierarchies;
use super::{GroupError, Usage, Values, keyed, number, read, write};

/// The controllers a guest needs; `cpuacct` only counts.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "cpuacct"];

const MEMORY: &str = "memory.limit_in_bytes";
const MEMORY_AND_SWAP: &str = "memory.memsw.limit_in_bytes";
const PROCESSES: &str = "pids.max";
const QUOTA: &str = "cpu.cfs_quota_us";

/// The directories below which a warden makes its group: its own groups, or
/// those of `given` that lie in the controller's hierarchy.
pub(super) fn bases(given: &[PathBuf]) -> Result<Vec<PathBuf>, GroupError> {
    let mounted = hierarchies()?;
    let mut bases: Vec<PathBuf> = Vec::new();
    for controller in CONTROLLERS {
        let hierarchy = mounted
            .iter()
            .find(|one| {
                one.file_system == "cgroup" && one.options.iter().any(|name| name == controller)
            })
            .ok_or(GroupError::Controller { controller })?;
        let base = if given.is_empty() {
            &hierarchy.own
        } else {
            let inside = |path: &&PathBuf| path.starts_with(&hierarchy.mount_point);
            given
                .iter()
                .find(inside)
                .ok_or(GroupError::Controller { controller })?
        };
        if !bases.contains(base) {
            bases.push(base.clone());
        }
    }
    Ok(bases)
}

pub(super) fn limit(directories: &[PathBuf], values: &Values) -> Result<(), GroupError> {
    let memory = with(directories, MEMORY)?;
    let bytes = values.memory_bytes.to_string();
    write(&memory.join(MEMORY), &bytes)?;
    // The file is missing where the kernel does not count swap.
    let swap = memory.join(MEMORY_AND_SWAP);
    if swap.exists() {
        write(&swap, &bytes)?;
    } else {
        write(&memory.join("memory.swappiness"), "0")?;
    }
    let cpu = with(directories, QUOTA)?;
    let period = super::CPU_PERIOD_US.to_string();
    write(&cpu.join("cpu.cfs_period_us"), &period)?;
    write(&cpu.join(QUOTA), &values.quota_us.to_string())?;
    limit_processes(directories, values)
}

pub(super) fn change(
    directories: &[PathBuf],
    from: &Values,
    to: &Values,
) -> Result<(), GroupError> {
    if from.memory_bytes != to.memory_bytes {
        // Memory alone may never be more than memory plus swap.
        let order = match from.memory_bytes < to.memory_bytes {
            true => [MEMORY_AND_SWAP, MEMORY],
            false => [MEMORY, MEMORY_AND_SWAP],
        };
        let memory = with(directories, MEMORY)?;
        for file in order.map(|name| memory.join(name)) {
            if file.ends_with(MEMORY) || file.exists() {
                write(&file, &to.memory_bytes.to_string())?;
            }
        }
    }
    if from.quota_us != to.quota_us {
        let cpu = with(directories, QUOTA)?;
        write(&cpu.join(QUOTA), &to.quota_us.to_string())?;
    }
    match from.processes == to.processes {
        true => Ok(()),
        false => limit_processes(directories, to),
    }
}

fn limit_processes(directories: &[PathBuf], values: &Values) -> Result<(), GroupError> {
    let pids = with(directories, PROCESSES)?;
    write(&pids.join(PROCESSES), &values.processes.to_string())
}

/// The kernel kills one process when memory runs out; the warden wants to know
/// and end the others, as version 2 does by itself.
pub(super) fn watch_memory(directories: &[PathBuf]) -> Result<OwnedFd, GroupError> {
    let memory = with(directories, "memory.oom_control")?;
    let control = memory.join("memory.oom_control");
    let failed = |source: std::io::Error| GroupError::File {
        attempt: "watch",
        path: control.clone(),
        source,
    };
    let file = std::fs::File::open(&control).map_err(failed)?;
    let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| failed(errno.into()))?;
    let request = format!("{} {}", event.as_raw_fd(), file.as_raw_fd());
    write(&memory.join("cgroup.event_control"), &request)?;
    Ok(event)
}

pub(super) fn usage(directories: &[PathBuf]) -> Usage {
    Usage {
        cpu_us: cpu_us(directories),
        memory_peak_bytes: number(&text(directories, "memory.max_usage_in_bytes")),
        out_of_memory: 0 < keyed(&text(directories, "memory.oom_control"), "oom_kill"),
        processes_refused: 0 < keyed(&text(directories, "pids.events"), "max"),
    }
}

pub(super) fn cpu_us(directories: &[PathBuf]) -> u64 {
    number(&text(directories, "cpuacct.usage")) / 1000
}

/// What a file of one of the hierarchies says; nothing if it is in none.
fn text(directories: &[PathBuf], file: &str) -> String {
    let mut found = likely_first(directories, file).map(|one| read(&one.join(file)));
    found.find_map(Result::ok).unwrap_or_default()
}

/// The hierarchies, first the one that a file with this name is in on most
/// hosts: each look at a wrong one costs ten microseconds.
fn likely_first<'a>(directories: &'a [PathBuf], file: &str) -> impl Iterator<Item = &'a PathBuf> {
    let controller = file.split('.').next();
    let place = CONTROLLERS.iter().position(|one| Some(*one) == controller);
    let last = directories.len().saturating_sub(1);
    let likely = directories.get(place.unwrap_or(0).min(last));
    likely.into_iter().chain(directories)
}

/// The hierarchy that has this file.
fn with<'a>(directories: &'a [PathBuf], file: &str) -> Result<&'a Path, GroupError> {
    for directory in likely_first(directories, file) {
        if directory.join(file).exists() {
            return Ok(directory);
        }
    }
    // Reading it gives the kernel's own words for why it is not there.
    let missing = directories
        .first()
        .map(|one| one.join(file))
        .unwrap_or_default();
    read(&missing).map(|_| Path::new(""))
}
