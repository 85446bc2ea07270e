//! What kind of machine a report was made on, and when; no names.

use std::{fs, process::Command};

use crate::shell::read;

/// The day, as people in every country write it.
pub fn today() -> anyhow::Result<String> {
    Ok(read(Command::new("date").args(["-u", "+%Y-%m-%d"]))?
        .trim()
        .to_owned())
}

/// Cores, memory, kernel and control groups, in one line.
pub fn kind() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Letters after the numbers may tell whose machine it is.
    let numbers = |c: char| c.is_ascii_digit() || c == '.';
    let kernel: String = release.chars().take_while(|c| numbers(*c)).collect();
    let groups = if fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false) {
        "2"
    } else {
        "1"
    };
    let virtual_machine = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        text.lines()
            .any(|line| line.starts_with("flags") && line.contains(" hypervisor"))
    });
    format!(
        "a {} with {cores} cores and {} GiB of memory, Linux {}, control groups of version {groups}",
        if virtual_machine {
            "virtual machine"
        } else {
            "machine"
        },
        (memory_kib + (1 << 19)) >> 20,
        kernel.trim_end_matches('.'),
    )
}
