//! What no wall depends on and an operator should know all the same.
//!
//! Each row looks at one thing of the host, is never required, and says how to
//! change it. What cannot be looked at is told as such and taken for good, as a
//! container hides much that is the outer host's business.

use std::{
    fs::read_to_string,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::process::{Resource, getrlimit};

use super::row;
use crate::{api::Wall, config::Config};

/// Free room below which a home is called full, in bytes and in files.
const ROOM_BYTES_MIN: u64 = 1 << 30;
const ROOM_FILES_MIN: u64 = 10_000;
/// Descriptors of the station itself, and of each run at once.
const DESCRIPTORS_OWN: u64 = 512;
const DESCRIPTORS_RUN: u64 = 16;
/// No clock that is right shows a time before this version was made: 2025.
const CLOCK_S_MIN: u64 = 1_735_689_600;
/// The oldest kernel whose walls were tried.
const KERNEL_MIN: (u32, u32) = (5, 15);

/// Every row of advice.
pub(super) fn rows(config: &Config) -> Vec<Wall> {
    let mut rows = vec![
        merging(),
        core_pattern(),
        io_uring(),
        bpf(),
        swap(),
        siblings(),
        kernel(),
        clock(&config.home),
        descriptors(config.workers),
    ];
    rows.extend(room(&config.home));
    rows
}

/// A row of advice: `fix` where it is not `good`.
fn advice(name: &str, good: bool, found: impl Into<String>, fix: &str) -> Wall {
    row(name, good, false, found.into(), Some(fix))
}

/// The trimmed content of a file of the kernel.
fn value(path: &str) -> Option<String> {
    Some(read_to_string(path).ok()?.trim().to_owned())
}

fn merging() -> Wall {
    let run = value("/sys/kernel/mm/ksm/run");
    let off = run.as_deref().is_none_or(|run| run == "0" || run == "2");
    let found = match off {
        true => "memory pages are not merged",
        false => "equal memory pages are merged, which tells neighbours of each other",
    };
    advice(
        "page merging",
        off,
        found,
        "echo 2 > /sys/kernel/mm/ksm/run",
    )
}

fn core_pattern() -> Wall {
    let pattern = value("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let kept = !pattern.starts_with('|');
    let found = match kept {
        true => "crashes are piped to no program",
        false => "crashes of the station are piped to a program; guests' are not",
    };
    let fix = "sysctl -w kernel.core_pattern=core";
    advice("core dumps", kept, found, fix)
}

fn io_uring() -> Wall {
    let state = value("/proc/sys/kernel/io_uring_disabled");
    let (off, found) = match state.as_deref() {
        Some("2") => (true, "off for all"),
        Some(_) => (false, "on; guests cannot reach it, other programs can"),
        None => (true, "this kernel has no switch; guests cannot reach it"),
    };
    advice(
        "io_uring",
        off,
        found,
        "sysctl -w kernel.io_uring_disabled=2",
    )
}

fn bpf() -> Wall {
    let state = value("/proc/sys/kernel/unprivileged_bpf_disabled");
    let off = state.as_deref().is_none_or(|state| state != "0");
    let found = match off {
        true => "for root only, or not there",
        false => "open to every user; guests cannot reach it, other programs can",
    };
    let fix = "sysctl -w kernel.unprivileged_bpf_disabled=1";
    advice("bpf", off, found, fix)
}

fn swap() -> Wall {
    let swaps = value("/proc/swaps").unwrap_or_default();
    let none = swaps.lines().count() <= 1;
    let found = match none {
        true => "none",
        false => "there is swap, and the station's own memory may lie there in the clear",
    };
    advice("swap", none, found, "swapoff -a, or encrypt it")
}

fn siblings() -> Wall {
    let active = value("/sys/devices/system/cpu/smt/active");
    let alone = active.as_deref() != Some("1");
    let found = match alone {
        true => "no two threads share a processor core, or it cannot be seen",
        false => "two runs may share a core, whose caches tell of each other",
    };
    advice(
        "sibling threads",
        alone,
        found,
        "echo off > /sys/devices/system/cpu/smt/control",
    )
}

/// For reading only: what stands was tried.
fn kernel() -> Wall {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let fix = "a kernel from 5.15 on is what Strongroom is made for";
    advice("kernel", KERNEL_MIN <= version, release, fix)
}

/// A clock that jumped back shows where files were written in its future.
fn clock(home: &Path) -> Wall {
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let newest = std::fs::read_dir(home).into_iter().flatten().flatten();
    let ahead = newest
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .any(|written| now < written);
    let right = CLOCK_S_MIN <= since.as_secs() && !ahead;
    let found = match right {
        true => "not behind what was written here",
        false => "behind: approvals would outlive their end",
    };
    advice("clock", right, found, "timedatectl set-ntp true")
}

fn descriptors(workers: u32) -> Wall {
    let needed = DESCRIPTORS_OWN + DESCRIPTORS_RUN * u64::from(workers);
    let may = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let found = format!("{may} may be open, and {needed} are wanted");
    let fix = format!("LimitNOFILE={needed} in the unit, or ulimit -n {needed}");
    advice("open files", needed <= may, found, &fix)
}

fn room(home: &Path) -> [Wall; 2] {
    let there = home.ancestors().find(|path| path.exists());
    let Some(Ok(found)) = there.map(rustix::fs::statvfs) else {
        let unseen = |name| advice(name, false, "could not be looked at", "make the home");
        return [unseen("disk space"), unseen("disk files")];
    };
    let bytes = found.f_bavail * found.f_frsize;
    // File systems without a fixed number of files say zero of zero.
    let files = match found.f_files {
        0 => u64::MAX,
        _ => found.f_favail,
    };
    let fix = "make room, or move the home";
    [
        advice(
            "disk space",
            ROOM_BYTES_MIN <= bytes,
            format!("{} MiB are free", bytes >> 20),
            fix,
        ),
        advice(
            "disk files",
            ROOM_FILES_MIN <= files,
            match files {
                u64::MAX => "as many as there is space for".to_owned(),
                files => format!("{files} more can be made"),
            },
            fix,
        ),
    ]
}
