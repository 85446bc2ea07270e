//! The census of a run: how many processes, how much memory, what is deleted.
//!
//! Everything that a run has started lies below its keeper, to whom orphans
//! fall, so the kernel's lists of children find it all. A census is a look, not
//! a wall: between two looks a run can be over. Memory is what is private to
//! the run's processes or shared among them, each page once.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType};

const KIB: u64 = 1024;
const BLOCK_BYTES: u64 = 512;
const DELETED: &[u8] = b" (deleted)";

/// What the processes below a keeper are and use.
pub(super) struct Census {
    pub(super) pids: Vec<i32>,
    /// Processes and threads.
    pub(super) tasks: u64,
    /// At most what is used: pages shared after a fork count for each.
    pub(super) memory_bytes: u64,
}

/// Everything below `keeper`, which is not counted itself; of more than `most`
/// only so many that it shows.
fn below(keeper: i32, most: usize) -> Vec<i32> {
    let mut found = children(keeper);
    let mut next = 0;
    while next < found.len() && found.len() <= most {
        let inner = children(found[next]);
        found.extend(inner);
        next += 1;
    }
    found
}

/// The children of all threads of a process.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut found = Vec::new();
    for task in tasks.into_iter().flatten().flatten() {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    found
}

/// Whether this kernel tells who is whose child.
pub(super) fn is_possible() -> bool {
    Path::new("/proc/self/task")
        .join(std::process::id().to_string())
        .join("children")
        .exists()
}

/// Counts what is below `keeper`, up to one look past `most` processes.
pub(super) fn census(keeper: i32, most: u32) -> Census {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut pids = below(keeper, most);
    pids.truncate(most.saturating_add(1));
    let (mut tasks, mut memory_bytes) = (0, 0);
    for pid in &pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // The dead hold no memory and their place only until they are reaped.
        tasks += field(&status, "Threads:");
        let kib: u64 = ["RssAnon:", "RssShmem:", "VmSwap:", "VmPTE:"]
            .iter()
            .map(|name| field(&status, name))
            .sum();
        memory_bytes += kib * KIB;
    }
    Census {
        pids,
        tasks,
        memory_bytes,
    }
}

impl Census {
    /// The memory with every shared page counted once: slower and exact. A
    /// process that may not be asked counts as in the census.
    pub(super) fn memory_shared_once_bytes(&self) -> u64 {
        let of = |pid: &i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            let kib: u64 = match rollup {
                Ok(text) => ["Pss_Anon:", "Pss_Shmem:", "SwapPss:"]
                    .iter()
                    .map(|name| field(&text, name))
                    .sum(),
                Err(_) => ["RssAnon:", "RssShmem:", "VmSwap:"]
                    .iter()
                    .map(|name| field(&status, name))
                    .sum(),
            };
            (kib + field(&status, "VmPTE:")) * KIB
        };
        self.pids.iter().map(of).sum()
    }

    /// The room of files in `folder` that are deleted and still open. `None`
    /// if one is held by a mapping alone, where its size cannot be seen.
    pub(super) fn deleted_bytes(&self, folder: &Path) -> Option<u64> {
        let mut open = BTreeSet::new();
        let mut bytes = 0;
        for pid in &self.pids {
            for (inode, size_bytes) in deleted_and_open(*pid, folder) {
                if open.insert(inode) {
                    bytes += size_bytes;
                }
            }
        }
        let hidden = |pid: &i32| {
            deleted_and_mapped(*pid, folder)
                .iter()
                .any(|inode| !open.contains(inode))
        };
        (!self.pids.iter().any(hidden)).then_some(bytes)
    }
}

fn deleted_and_open(pid: i32, folder: &Path) -> Vec<(u64, u64)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else {
            continue;
        };
        if !is_deleted_below(target.as_os_str().as_bytes(), folder) {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(CWD, entry.path(), AtFlags::empty()) else {
            continue;
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
            found.push((stat.st_ino, blocks * BLOCK_BYTES));
        }
    }
    found
}

fn deleted_and_mapped(pid: i32, folder: &Path) -> Vec<u64> {
    let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let inode = |line: &[u8]| {
        let start = line.windows(1).position(|one| one == b"/")?;
        let (numbers, path) = line.split_at(start);
        let numbers = std::str::from_utf8(numbers).ok()?;
        let inode = numbers.split_whitespace().nth(4)?.parse().ok()?;
        is_deleted_below(path, folder).then_some(inode)
    };
    maps.split(|byte| *byte == b'\n')
        .filter_map(inode)
        .collect()
}

fn is_deleted_below(path: &[u8], folder: &Path) -> bool {
    path.ends_with(DELETED) && Path::new(OsStr::from_bytes(path)).starts_with(folder)
}

/// The number after `name` in a file of `name: number` lines.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::BufRead as _;
    use std::process::{Command, Stdio};

    use super::{KIB, census};

    /// Kernels before 6.16 add up what a process holds some pages at a time.
    const PAGES_COUNTED_LATE: u64 = 128;

    #[test]
    fn a_census_counts_every_descendant() {
        // A process apart, so that other tests' children are not counted.
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", "sleep 60 & (sleep 60 & echo there; wait) & wait"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let id = i32::try_from(keeper.id()).unwrap();
        // A program that is just being started is not the same at two looks.
        let begun = std::time::Instant::now();
        let settled = || {
            let census = census(id, 100);
            let once = census.memory_shared_once_bytes();
            let counted_late = census.tasks * PAGES_COUNTED_LATE * 4 * KIB;
            3 <= census.tasks
                && 3 <= census.pids.len()
                && 0 < once
                && once <= census.memory_bytes + counted_late
        };
        while !settled() {
            assert!(begun.elapsed().as_secs() < 60, "{:?}", census(id, 100).pids);
            std::thread::yield_now();
        }
        let group = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        keeper.wait().unwrap();
    }

    use std::os::unix::process::CommandExt as _;
}
