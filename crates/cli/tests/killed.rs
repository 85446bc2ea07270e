//! Any process between a client and his guest may be killed at any moment, and
//! nothing of the guest lives on.
//!
//! A guest makes a tree that would live for an hour. At a random moment of its
//! run one of the station, the warden, a keeper, an init or a guest's process
//! gets SIGKILL, or the station and the warden at once. Then the guest is gone,
//! the run has an end that says why, the next run works, and once a station has
//! started again, no control group and no file is left of the one before.

#![allow(clippy::unwrap_used)]

#[path = "../../jail/tests/cell/lag.rs"]
mod lag;
mod lives;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lag::Lag;
use lives::{Door, Life, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Rounds of each victim.
const ROUNDS: usize = 4;
/// How soon nothing of a guest lives, counted from the kill.
const PROMISED: Duration = Duration::from_secs(1);
/// How long all that is not promised to the second may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The moments between asking and killing are spread over this.
const SPAN_MS: u64 = 300;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Station,
    Warden,
    StationAndWarden,
    Keeper,
    Init,
    Guest,
}
use Victim::*;

const VICTIMS: [Victim; 6] = [Station, Warden, StationAndWarden, Keeper, Init, Guest];

/// A tree that can be found on the host by its mark, whatever became of its parents.
fn tree(mark: &str) -> String {
    format!(
        "import os
def live():
    os.execv('/bin/sh', ['sh', '-c', 'echo up; while :; do sleep 3600; done; : {mark}'])
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
        live()
live()
"
    )
}

/// A home with its station, which is started again whenever it was killed.
struct Place {
    folder: tempfile::TempDir,
    uid_base: u32,
    life: Option<Life>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let uid_base = 1_560_000_000 + (std::process::id() % 10_000) * 4096;
        fs::create_dir_all(folder.path().join("home")).unwrap();
        fs::create_dir_all(folder.path().join("tmp")).unwrap();
        let config = format!("workers = 2\n[jail]\nuid_base = {uid_base}\n");
        fs::write(folder.path().join("home/config.toml"), config).unwrap();
        Self {
            folder,
            uid_base,
            life: None,
        }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The living station, or a new one.
    fn door(&mut self) -> Door {
        if self.life.is_none() {
            let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
            command
                .args(["serve", "--listen", "127.0.0.1:0", "--home"])
                .arg(self.home())
                .env("TMPDIR", self.folder.path().join("tmp"));
            self.life = Some(Life::start_by(&mut command));
        }
        let token = fs::read_to_string(self.home().join("admin.token")).unwrap();
        self.life.as_ref().unwrap().door(token.trim())
    }

    fn station(&self) -> u32 {
        self.life.as_ref().unwrap().child.id()
    }

    /// Reaps a station that was killed.
    fn bury(&mut self) {
        if let Some(mut life) = self.life.take() {
            life.child.wait().unwrap();
        }
    }

    /// Processes of guests, and of slots that wait for one. The dead among them
    /// that the host's first process has not reaped do not count.
    fn guest_users(&self) -> usize {
        use std::os::unix::fs::MetadataExt as _;
        let range = self.uid_base..self.uid_base + 4096;
        let ours = |pid: &u32| {
            fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| range.contains(&meta.uid()))
                && state_and_parent(*pid).is_some_and(|(state, _)| state != "Z")
        };
        pids().iter().filter(|pid| ours(pid)).count()
    }

    /// What a run leaves beside content, where it may.
    fn temporary_files(&self) -> Vec<PathBuf> {
        let folders = ["tmp", "home/views/tmp", "home/blobs/tmp"];
        let list = |folder| fs::read_dir(self.folder.path().join(folder));
        let entries = folders
            .into_iter()
            .flat_map(|folder| list(folder).into_iter().flatten());
        entries.flatten().map(|entry| entry.path()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut life) = self.life.take() {
            let _ = life.child.kill();
            let _ = life.child.wait();
        }
    }
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn state_and_parent(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(')')?;
    let mut words = after.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// The living processes below the station, by how far below.
fn below(station: u32) -> BTreeMap<usize, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in pids() {
        if let Some((_, parent)) = state_and_parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeMap::from([(0, vec![station])]);
    for depth in 0..8 {
        let next = |pid: &u32| children.get(pid).cloned().unwrap_or_default();
        let generation: Vec<u32> = found[&depth].iter().flat_map(next).collect();
        found.insert(depth + 1, generation);
    }
    found
}

fn with_mark(mark: &str) -> Vec<u32> {
    let marked = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    };
    pids().into_iter().filter(marked).collect()
}

fn kill(pid: u32) -> bool {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).is_ok()
}

/// Kills a victim, if there is one now. Says which warden lived before.
fn strike(victim: Victim, station: u32, random: u64) -> (bool, Option<u32>) {
    let generations = below(station);
    let warden = generations[&1].first().copied();
    let pick = |depth: usize| {
        let all = generations.get(&depth).filter(|all| !all.is_empty())?;
        all.get(random as usize % all.len()).copied()
    };
    let struck = match victim {
        Station => kill(station),
        Warden => warden.is_some_and(kill),
        StationAndWarden => warden.is_some_and(kill) & kill(station),
        Keeper => pick(2).is_some_and(kill),
        Init => pick(3).is_some_and(kill),
        Guest => pick(4 + random as usize % 2).is_some_and(kill),
    };
    (struck, warden)
}

/// The control groups that a warden made: they bear its process id.
fn groups_of(warden: u32) -> Vec<PathBuf> {
    let mark = format!("-{warden}-");
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("strongroom") && name.contains(&mark) {
                    found.push(entry.path());
                }
                open.push(entry.path());
            }
        }
    }
    found
}

fn ask(door: &Door, mark: &str, time: &str) -> String {
    let files = json!({ "files": { "main.py": tree(mark) } });
    let path = format!("/v1/functions/admin/{mark}/versions");
    assert_eq!(door.post(&path, &files).unwrap().0, 201);
    let body = json!({ "function": format!("admin/{mark}"), "limits": { "time": time } });
    let (status, run) = door.post("/v1/runs", &body).unwrap();
    assert_eq!(status, 202, "{run}");
    run["id"].as_str().unwrap().to_owned()
}

fn ended(door: &Door, id: &str) -> Value {
    for _ in 0..10 {
        let (_, run) = door.get(&format!("/v1/runs/{id}?wait=30s")).unwrap();
        if run["state"] == "ended" {
            return run["reason"].clone();
        }
    }
    panic!("{id} never ended");
}

/// Whether an end tells what happened to a run whose `victim` was killed.
///
/// A spare keeper, a waiting slot or a child of the guest may have been hit, and
/// a run that had not begun is queued again; then it ends by its own time.
fn tells(victim: Victim, reason: &Value) -> bool {
    let code = reason["code"].as_str().unwrap();
    match victim {
        Station | Warden | StationAndWarden => ["host_error", "timed_out"].contains(&code),
        Keeper | Init | Guest => ["failed", "refused", "host_error", "timed_out"].contains(&code),
    }
}

fn round(place: &mut Place, victim: Victim, number: usize, random: u64) -> bool {
    let mark = format!("killed-{}-{number}", std::process::id());
    let door = place.door();
    let id = ask(&door, &mark, "2s");
    if number.is_multiple_of(2) {
        thread::park_timeout(Duration::from_millis(random % SPAN_MS));
    } else {
        // On a machine that is too busy it may end without having begun.
        let path = format!("/v1/runs/{id}");
        wait_until("the guest's start", SOON * 3, || {
            3 < with_mark(&mark).len() || door.get(&path).unwrap().1["state"] == "ended"
        });
    }
    let lag = Lag::watch();
    let (struck, warden) = strike(victim, place.station(), random >> 16);
    let begun = Instant::now();
    if [Station, StationAndWarden].contains(&victim) {
        place.bury();
        within_a_second(begun, &lag, || {
            with_mark(&mark).is_empty() && place.guest_users() == 0
        });
    } else if victim == Warden {
        within_a_second(begun, &lag, || with_mark(&mark).is_empty());
    }
    drop(lag);
    let door = place.door();
    let reason = ended(&door, &id);
    assert!(
        !struck || tells(victim, &reason),
        "{victim:?} was killed: {reason}"
    );
    wait_until("the end of the guest", SOON, || with_mark(&mark).is_empty());
    the_next_run_works(&door);
    if [Station, Warden, StationAndWarden].contains(&victim) {
        // The next warden clears away what is left, once the host's first process
        // has reaped the dead; it looks when it has nothing else to do.
        wait_until("the end of a dead warden's groups", SOON, || {
            the_next_run_works(&door);
            warden.is_none_or(|warden| !struck || groups_of(warden).is_empty())
        });
    }
    struck
}

/// Looks until nothing of a guest is left, for as long as is promised.
#[track_caller]
fn within_a_second(begun: Instant, lag: &Lag, is_over: impl Fn() -> bool) {
    while !is_over() {
        let allowed = lag.allowed(PROMISED);
        let took = begun.elapsed();
        assert!(
            took < allowed,
            "not over after {took:?}; allowed are {allowed:?}"
        );
        thread::yield_now();
    }
}

fn the_next_run_works(door: &Door) {
    let body = json!({ "client": "next", "code": "print('fine')" });
    let (_, script) = door.post("/run-json", &body).unwrap();
    let id = script["id"].as_str().unwrap();
    let reason = ended(door, id);
    assert_eq!(reason["code"], "succeeded", "{reason}");
}

#[test]
fn whoever_is_killed_in_the_middle_of_a_run_nothing_of_the_guest_lives_on() {
    let mut place = Place::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    let mut struck = BTreeSet::new();
    for number in 0..ROUNDS {
        for victim in VICTIMS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let serial = number * VICTIMS.len() + victim as usize;
            if round(&mut place, victim, serial * 2 + number % 2, random) {
                struck.insert(victim);
            }
        }
    }
    assert_eq!(
        struck.len(),
        VICTIMS.len(),
        "only these were there to kill: {struck:?}"
    );
    let _ = place.door();
    wait_until("no temporary files", SOON, || {
        place.temporary_files().is_empty()
    });
}
