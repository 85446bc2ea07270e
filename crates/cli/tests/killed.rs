//! Any process between a client and his guest may be killed at any moment, and
//! nothing of the guest lives on.
//!
//! A guest makes a tree that would live for an hour, in a stage with data or in
//! one that downloads and waits for its host. At a random moment of its run one
//! of the station, the warden, a keeper, an init or a guest's process gets
//! SIGKILL, or the station and the warden at once. A second later every process
//! is dead that lived by the one that was killed, and the gateway has hung up on
//! the host. The run has an end that says why, the next run works, and once a
//! station has started again, no control group and no file is left of the one
//! before.

#![allow(clippy::unwrap_used)]

#[path = "../../jail/tests/cell/lag.rs"]
mod lag;
mod lives;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lag::Lag;
use lives::{Door, Life, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Rounds of each victim, of either work: one at a random moment, one when the
/// guest's tree stands.
const ROUNDS: usize = 2;
/// How soon nothing of a guest lives, counted from the kill.
const PROMISED: Duration = Duration::from_secs(1);
/// How long all that is not promised to the second may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The kernel's mark on a process that it is ending.
const EXITING: u64 = 0x4;
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

/// What a guest does when it is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Compute,
    Download,
}

/// A tree that can be found on the host by its mark, whatever became of its parents.
fn tree(mark: &str) -> String {
    format!(
        "import os
def live():
    os.execv('/bin/sh', ['sh', '-c', 'echo up; while :; do sleep 3600; done; : {mark}'])
def grow():
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

/// The same in a stage that downloads, every process with its hand on a request
/// that a host never answers.
fn waiting_tree(mark: &str, host: SocketAddr) -> String {
    format!(
        "import socket
{}
def download(ctx):
    way = socket.create_connection(('127.0.0.1', 3128))
    way.sendall(b'GET http://{host}/ HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n')
    way.set_inheritable(True)
    grow()
def transform(data, ctx):
    pass
",
        tree(mark)
    )
}

/// A host that hears requests and never answers: its connections, by whether
/// the other side has hung up.
struct Host {
    address: SocketAddr,
    open: Arc<Mutex<BTreeSet<usize>>>,
}

impl Host {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(Mutex::new(BTreeSet::new()));
        let opened = Arc::clone(&open);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let open = Arc::clone(&opened);
                open.lock().unwrap().insert(number);
                thread::spawn(move || {
                    let _ = io::copy(&mut &stream, &mut io::sink());
                    open.lock().unwrap().remove(&number);
                });
            }
        });
        Self { address, open }
    }

    /// The connections that nobody has hung up on.
    fn held(&self) -> BTreeSet<usize> {
        self.open.lock().unwrap().clone()
    }
}

/// A home with its station, which is started again whenever it was killed.
struct Place {
    folder: tempfile::TempDir,
    uid_base: u32,
    host: Host,
    life: Option<Life>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let place = PLACES.fetch_add(1, Ordering::Relaxed) % 2;
        let uid_base = 1_560_000_000 + (std::process::id() % 10_000 * 2 + place) * 4096;
        fs::create_dir_all(folder.path().join("home")).unwrap();
        fs::create_dir_all(folder.path().join("tmp")).unwrap();
        let host = Host::start();
        let config = format!(
            "workers = 2\n[jail]\nuid_base = {uid_base}\n\
             [gateway]\nallow_private = [\"{}\"]\n",
            host.address
        );
        fs::write(folder.path().join("home/config.toml"), config).unwrap();
        Self {
            folder,
            uid_base,
            host,
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

    /// Processes of guests, and of slots that wait for one.
    fn guest_users(&self) -> Vec<u32> {
        use std::os::unix::fs::MetadataExt as _;
        let range = self.uid_base..self.uid_base + 4096;
        let ours = |pid: &u32| {
            fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| range.contains(&meta.uid()))
        };
        living(ours)
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

/// What the kernel tells of a process after its name: its state, its parent and so on.
fn told(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(')')?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    told(pid)?.get(1)?.parse().ok()
}

/// Whether a process may ever run again. One that the kernel is ending will not,
/// though its entry stays until its parent looks, and that of the first of a
/// sandbox until all others of the sandbox have been looked at.
fn lives(pid: &u32) -> bool {
    let flags = told(*pid).and_then(|told| told.get(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & EXITING == 0)
}

/// The living processes below the station, by how far below.
fn below(station: u32) -> BTreeMap<usize, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in pids() {
        if let Some(parent) = parent(pid).filter(|_| lives(&pid)) {
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

/// Living processes that this is true of.
fn living(is_meant: impl Fn(&u32) -> bool) -> Vec<u32> {
    pids()
        .into_iter()
        .filter(|pid| is_meant(pid) && lives(pid))
        .collect()
}

fn with_mark(mark: &str) -> Vec<u32> {
    living(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    })
}

/// A process in the words of the kernel, for who wonders why it lives.
fn described(pid: u32) -> String {
    let of = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (stat, place) = (of("stat"), of("wchan"));
    format!("{stat} in {place}: {} {}", of("cmdline"), group(pid))
}

fn group(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// In the control groups of guests of this warden, which bear its process id.
fn guests_of(warden: u32) -> Vec<u32> {
    living(|pid| group(*pid).contains(&mark_of(warden)))
}

fn kill(pid: u32) -> bool {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).is_ok()
}

/// What was killed, and what has to end with it.
struct Struck {
    pid: Option<u32>,
    warden: Option<u32>,
    /// The control group that the victim's end is the end of.
    group: Option<String>,
    /// Connections of the guests that have to end.
    held: BTreeSet<usize>,
}

impl Struck {
    /// What lives of all that must not outlive the victim: processes, and
    /// connections that the gateway still holds for them.
    fn left(&self, place: &Place) -> Vec<String> {
        let processes = match (&self.group, self.warden) {
            (Some(of), _) => living(|pid| group(*pid) == *of),
            (None, Some(warden)) => guests_of(warden),
            (None, None) => Vec::new(),
        };
        let held = place.host.held();
        let held = held.intersection(&self.held);
        let held = held.map(|number| format!("connection {number}"));
        processes.into_iter().map(described).chain(held).collect()
    }
}

/// Kills a victim, if there is one now.
fn strike(victim: Victim, place: &Place, mark: &str, random: u64) -> Struck {
    let station = place.station();
    let generations = below(station);
    let warden = generations[&1].first().copied();
    let pick = |depth: usize| {
        let all = generations.get(&depth).filter(|all| !all.is_empty())?;
        all.get(random as usize % all.len()).copied()
    };
    let pid = match victim {
        Station => Some(station),
        Warden | StationAndWarden => warden,
        Keeper => pick(2),
        Init => pick(3),
        Guest => pick(4 + random as usize % 2),
    };
    let ends_warden = [Station, Warden, StationAndWarden].contains(&victim);
    let own = pid.map(group).filter(|_| [Keeper, Init].contains(&victim));
    // Of a spare keeper nobody's request hangs, nor of one process of a tree.
    let ends_all = match &own {
        Some(of) => with_mark(mark).iter().any(|pid| group(*pid) == *of),
        None => victim != Guest,
    };
    let held = match ends_all {
        true => place.host.held(),
        false => BTreeSet::new(),
    };
    let hit = pid.is_some_and(kill) && (victim != StationAndWarden || kill(station));
    Struck {
        pid: pid.filter(|_| hit),
        warden: warden.filter(|_| ends_warden),
        // A spare keeper is in no guest's group yet.
        group: own.filter(|of| warden.is_some_and(|warden| of.contains(&mark_of(warden)))),
        held,
    }
}

fn mark_of(warden: u32) -> String {
    format!("-{warden}-")
}

/// The control groups that a warden made: they bear its process id.
fn groups_of(warden: u32) -> Vec<PathBuf> {
    let mark = mark_of(warden);
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

fn ask(door: &Door, mark: &str, time: &str, work: Work, host: SocketAddr) -> String {
    let files = match work {
        Work::Compute => json!({ "main.py": format!("{}grow()\n", tree(mark)) }),
        Work::Download => json!({
            "main.py": waiting_tree(mark, host),
            "strongroom.toml": format!("[download]\nhosts = [\"{host}\"]\n"),
        }),
    };
    let files = json!({ "files": files });
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

fn round(place: &mut Place, work: Work, victim: Victim, number: usize, random: u64) -> bool {
    let mark = format!("killed-{}-{number}-{work:?}", std::process::id()).to_lowercase();
    let door = place.door();
    let id = ask(&door, &mark, "2s", work, place.host.address);
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
    let begun = Instant::now();
    let struck = strike(victim, place, &mark, random >> 16);
    let hit = struck.pid.is_some();
    if [Station, StationAndWarden].contains(&victim) {
        place.bury();
        within_a_second(victim, begun, &lag, || {
            let others = place.guest_users().into_iter().map(described);
            struck.left(place).into_iter().chain(others).collect()
        });
    } else if hit {
        within_a_second(victim, begun, &lag, || struck.left(place));
    }
    drop(lag);
    let door = place.door();
    let reason = ended(&door, &id);
    assert!(
        !hit || tells(victim, &reason),
        "{victim:?} was killed: {reason}"
    );
    wait_until("the end of the guest", SOON, || with_mark(&mark).is_empty());
    the_next_run_works(&door);
    if [Station, Warden, StationAndWarden].contains(&victim) {
        // The next warden clears away what is left, once the host's first process
        // has reaped the dead; it looks when it has nothing else to do.
        wait_until("the end of a dead warden's groups", SOON, || {
            the_next_run_works(&door);
            let groups = struck.warden.map(groups_of).unwrap_or_default();
            !hit || groups.is_empty()
        });
    }
    hit
}

/// Looks until nothing of a guest is left, for as long as is promised.
#[track_caller]
fn within_a_second(victim: Victim, begun: Instant, lag: &Lag, left: impl Fn() -> Vec<String>) {
    loop {
        // What is seen was there when the look began.
        let took = begun.elapsed();
        let left = left();
        if left.is_empty() {
            return;
        }
        let allowed = lag.allowed(PROMISED);
        assert!(
            took < allowed,
            "{victim:?}: after {took:?} of {allowed:?} there are {left:#?}"
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
fn whoever_is_killed_in_the_middle_of_a_run_nothing_of_the_guest_lives_a_second() {
    everyone_is_killed(Work::Compute);
}

#[test]
fn whoever_is_killed_in_a_download_neither_guest_nor_request_lives_a_second() {
    everyone_is_killed(Work::Download);
}

#[track_caller]
fn everyone_is_killed(work: Work) {
    let mut place = Place::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    let mut struck = BTreeSet::new();
    for number in 0..ROUNDS {
        for victim in VICTIMS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let serial = number * VICTIMS.len() + victim as usize;
            if round(&mut place, work, victim, serial * 2 + number % 2, random) {
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
