//! Control groups of version 1: one hierarchy per controller.
//!
//! There is no way to be born into a group here, so a keeper enters each leaf
//! before it is asked to build anything, and the guest inherits its place.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::EventfdFlags;

use super::mounted::hierarchies;
use super::{GroupError, Usage, keyed, number, read, write};

/// The controllers a guest needs; `cpuacct` only counts.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "cpuacct"];

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

pub(super) fn limit(
    directories: &[PathBuf],
    memory_bytes: u64,
    processes: u64,
    quota_us: u64,
) -> Result<(), GroupError> {
    let memory = with(directories, "memory.limit_in_bytes")?;
    write(
        &memory.join("memory.limit_in_bytes"),
        &memory_bytes.to_string(),
    )?;
    // Memory plus swap; the file is missing where the kernel does not count swap.
    let swap = memory.join("memory.memsw.limit_in_bytes");
    if swap.exists() {
        write(&swap, &memory_bytes.to_string())?;
    } else {
        write(&memory.join("memory.swappiness"), "0")?;
    }
    let pids = with(directories, "pids.max")?;
    write(&pids.join("pids.max"), &processes.to_string())?;
    let cpu = with(directories, "cpu.cfs_quota_us")?;
    write(
        &cpu.join("cpu.cfs_period_us"),
        &super::CPU_PERIOD_US.to_string(),
    )?;
    write(&cpu.join("cpu.cfs_quota_us"), &quota_us.to_string())
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
    let find = |file: &str| with(directories, file).unwrap_or(Path::new("/nonexistent"));
    Usage {
        cpu_us: cpu_us(directories),
        memory_peak_bytes: number(
            &find("memory.max_usage_in_bytes").join("memory.max_usage_in_bytes"),
        ),
        out_of_memory: 0 < keyed(
            &find("memory.oom_control").join("memory.oom_control"),
            "oom_kill",
        ),
        processes_refused: 0 < keyed(&find("pids.max").join("pids.events"), "max"),
    }
}

pub(super) fn cpu_us(directories: &[PathBuf]) -> u64 {
    match with(directories, "cpuacct.usage") {
        Ok(directory) => number(&directory.join("cpuacct.usage")) / 1000,
        Err(_) => 0,
    }
}

/// The hierarchy that has this file.
fn with<'a>(directories: &'a [PathBuf], file: &str) -> Result<&'a Path, GroupError> {
    for directory in directories {
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
