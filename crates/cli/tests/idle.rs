//! A station that has nothing to do does nothing: no thread of it, nor of what
//! it started, is woken.
//!
//! Counted are changes of thread, which a thread that looks at something every
//! now and then makes however little time it takes.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long nothing has to happen.
const SPAN: Duration = Duration::from_secs(5);
/// How long the station may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(120);

struct Station(Child);

impl Drop for Station {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A field of a process's or a thread's status.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').trim().parse().ok()
}

/// A process and all that it started, as far as they live.
fn family(root: u32) -> BTreeSet<u32> {
    let mut family = BTreeSet::from([root]);
    loop {
        let before = family.len();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let parent = field(&status, "PPid").and_then(|parent| u32::try_from(parent).ok());
            if parent.is_some_and(|parent| family.contains(&parent)) {
                family.insert(pid);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

/// How often any thread of the family has been woken or interrupted so far.
fn switches(family: &BTreeSet<u32>) -> u64 {
    let threads = family
        .iter()
        .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok())
        .flat_map(Iterator::flatten);
    let counts = threads.map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]
            .into_iter()
            .filter_map(|name| field(&status, name))
            .sum::<u64>()
    });
    counts.sum()
}

#[test]
fn a_station_with_nothing_to_do_does_nothing() {
    let home = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(["serve", "--listen", "127.0.0.1:0", "--home"])
        .arg(home.path().join("home"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut station = Station(child);
    let mut lines = BufReader::new(station.0.stdout.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap().contains("http://"));
    assert!(ready, "the station ended before it listened");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = family(station.0.id());
        let count = switches(&before);
        thread::park_timeout(SPAN);
        let after = family(station.0.id());
        if before == after && switches(&after) == count {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "it never rests: {} switches in {SPAN:?}",
            switches(&after).saturating_sub(count)
        );
    }
}
