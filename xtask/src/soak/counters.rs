//! What a host counts, before and after: processes, descriptors, groups, mounts.
//!
//! Only what belongs to one station is counted, by its processes, its home and
//! the host users of its guests, so that others on the machine do not disturb.
//! Two rows are of the whole machine and are shown without being judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The station that is looked at.
pub struct Subject {
    pub station: u32,
    pub home: PathBuf,
    /// Where the station makes its temporary files.
    pub temporary: PathBuf,
    /// The first host user of its guests, and how many there may be.
    pub guests: (u32, u32),
}

/// One count, and how much of it may be added.
pub struct Counter {
    pub what: &'static str,
    pub value: u64,
    /// `None` for what others on the machine change too.
    pub growth_max: Option<u64>,
}

/// Slots that may wait for runs; before and after there may be any number of them.
pub const SLOTS: u64 = 4;
/// What belongs to one waiting slot: its keeper, its init and its interpreter.
const SLOT_PROCESSES: u64 = 3 * SLOTS;
const SLOT_NAMESPACES: u64 = 8 * SLOTS;
const SLOT_GROUPS: u64 = 6 * SLOTS;
/// Of the station or of the warden.
const SLOT_DESCRIPTORS: u64 = 12 * SLOTS;
/// What a station's memory may grow by: caches that have not filled yet.
const STATION_KIB: u64 = 32 << 10;
/// The warden holds next to nothing.
const WARDEN_KIB: u64 = 2 << 10;

/// Counts everything once.
pub fn count(subject: &Subject) -> Vec<Counter> {
    let family = Family::of(subject.station);
    let warden = family.warden();
    let mut rows = running(subject, &family, warden);
    rows.extend(left(subject));
    rows.extend(held("station", subject.station, STATION_KIB));
    rows.extend(
        warden
            .into_iter()
            .flat_map(|pid| held("warden", pid, WARDEN_KIB)),
    );
    for (what, value) in [
        (
            "network namespaces of the machine (others' too)",
            network_namespaces(),
        ),
        (
            "processes of the machine (others' too)",
            pids().len() as u64,
        ),
    ] {
        rows.push(Counter {
            what,
            value,
            growth_max: None,
        });
    }
    rows
}

fn row(what: &'static str, value: u64, growth_max: u64) -> Counter {
    Counter {
        what,
        value,
        growth_max: Some(growth_max),
    }
}

/// Processes, and what they live in.
fn running(subject: &Subject, family: &Family, warden: Option<u32>) -> Vec<Counter> {
    let all = family.pids.len() as u64;
    vec![
        row(
            "processes of the station, waiting slots included",
            all,
            SLOT_PROCESSES,
        ),
        row("zombies among them", family.zombies, 0),
        row(
            "processes of guests, in waiting slots",
            guests(subject),
            SLOT_PROCESSES,
        ),
        row(
            "namespaces of the station's processes",
            family.namespaces(),
            SLOT_NAMESPACES,
        ),
        row(
            "control groups, over all hierarchies",
            groups(warden),
            SLOT_GROUPS,
        ),
    ]
}

/// What lies around when nobody uses it any more.
fn left(subject: &Subject) -> Vec<Counter> {
    let shared = owned(Path::new("/dev/shm"), subject);
    vec![
        row("temporary files", entries(&subject.temporary), 0),
        row(
            "files in the home, content and database apart",
            home_entries(&subject.home),
            0,
        ),
        row("files of guests in /dev/shm", shared, 0),
        row("keyrings of guests", keyrings(subject), 0),
        row(
            "message queues and shared memory of guests",
            ipc(subject),
            0,
        ),
    ]
}

/// What one process holds.
fn held(who: &str, pid: u32, kib: u64) -> [Counter; 4] {
    let names = names_of(who);
    [
        row(names[0], status(pid, "Threads"), 4),
        row(names[1], entries(&proc(pid, "fd")), SLOT_DESCRIPTORS),
        row(names[2], mounts(pid), 0),
        row(names[3], status(pid, "VmRSS"), kib),
    ]
}

fn names_of(who: &str) -> [&'static str; 4] {
    match who {
        "station" => [
            "threads of the station",
            "descriptors of the station",
            "mounts that the station sees",
            "resident memory of the station, KiB",
        ],
        _ => [
            "threads of the warden",
            "descriptors of the warden",
            "mounts that the warden sees",
            "resident memory of the warden, KiB",
        ],
    }
}

/// A process and all that descend from it.
struct Family {
    station: u32,
    pids: BTreeSet<u32>,
    zombies: u64,
}

impl Family {
    fn of(station: u32) -> Self {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut dead = BTreeSet::new();
        for pid in pids() {
            if let Some((state, parent)) = state_and_parent(pid) {
                children.entry(parent).or_default().push(pid);
                if state == 'Z' {
                    dead.insert(pid);
                }
            }
        }
        let (mut found, mut open) = (BTreeSet::new(), vec![station]);
        while let Some(pid) = open.pop() {
            if found.insert(pid) {
                open.extend(children.get(&pid).into_iter().flatten());
            }
        }
        let zombies = found.intersection(&dead).count() as u64;
        Self {
            station,
            pids: found,
            zombies,
        }
    }

    /// The child of the station that names itself so.
    fn warden(&self) -> Option<u32> {
        let named = |pid: &&u32| {
            let name = fs::read_to_string(proc(**pid, "comm")).unwrap_or_default();
            let parent = state_and_parent(**pid).map(|(_, parent)| parent);
            name.starts_with("strongroom-ward") && parent == Some(self.station)
        };
        self.pids.iter().find(named).copied()
    }

    /// Distinct ones.
    fn namespaces(&self) -> u64 {
        let mut seen = BTreeSet::new();
        for pid in &self.pids {
            let links = fs::read_dir(proc(*pid, "ns"))
                .into_iter()
                .flatten()
                .flatten();
            seen.extend(links.filter_map(|link| fs::read_link(link.path()).ok()));
        }
        seen.len() as u64
    }
}

fn proc(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(proc(pid, "stat")).ok()?;
    let (_, after) = text.rsplit_once(')')?;
    let mut words = after.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// A number of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(proc(pid, "status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn mounts(pid: u32) -> u64 {
    fs::read_to_string(proc(pid, "mountinfo")).map_or(0, |text| text.lines().count() as u64)
}

fn guests(subject: &Subject) -> u64 {
    let ours =
        |pid: &u32| fs::metadata(proc(*pid, "")).is_ok_and(|meta| is_guest(subject, meta.uid()));
    pids().iter().filter(|pid| ours(pid)).count() as u64
}

fn is_guest(subject: &Subject, uid: u32) -> bool {
    let (first, count) = subject.guests;
    (first..first.saturating_add(count)).contains(&uid)
}

/// Directories below the groups that a warden made, which bear its process id.
fn groups(warden: Option<u32>) -> u64 {
    let Some(warden) = warden else { return 0 };
    let mark = format!("-{warden}-");
    let mut open = vec![(PathBuf::from("/sys/fs/cgroup"), false)];
    let mut found = 0;
    while let Some((folder, inside)) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = inside || (name.starts_with("strongroom") && name.contains(&mark));
            found += u64::from(inside);
            open.push((entry.path(), inside));
        }
    }
    found
}

/// Files and folders below a folder.
fn entries(folder: &Path) -> u64 {
    below(folder, &|_| true)
}

fn below(folder: &Path, counts: &dyn Fn(&Path) -> bool) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let path = entry.path();
            let inner = entry.file_type().is_ok_and(|kind| kind.is_dir());
            u64::from(counts(&path)) + if inner { below(&path, counts) } else { 0 }
        })
        .sum()
}

/// Everything but what is kept for good: stored content, the views of it that
/// later runs use again, and the database.
fn home_entries(home: &Path) -> u64 {
    below(home, &|path| {
        let below_home = path.strip_prefix(home).unwrap_or(path);
        let mut parts = below_home.iter().map(|part| part.to_string_lossy());
        let first = parts.next().unwrap_or_default();
        let is_view = first == "views" && parts.next().is_none_or(|second| second != "tmp");
        !is_view && first != "blobs" && !first.contains(".db") && !first.contains("sqlite")
    })
}

fn owned(folder: &Path, subject: &Subject) -> u64 {
    below(folder, &|path| {
        fs::symlink_metadata(path).is_ok_and(|meta| is_guest(subject, meta.uid()))
    })
}

fn keyrings(subject: &Subject) -> u64 {
    let text = fs::read_to_string("/proc/key-users").unwrap_or_default();
    let uid = |line: &str| line.trim().split(':').next()?.parse().ok();
    let ours = text
        .lines()
        .filter_map(uid)
        .filter(|uid| is_guest(subject, *uid));
    ours.count() as u64
}

fn ipc(subject: &Subject) -> u64 {
    let mut found = 0;
    for kind in ["msg", "sem", "shm"] {
        let text = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        let mut lines = text.lines();
        let columns = lines.next().unwrap_or_default();
        let Some(at) = columns.split_whitespace().position(|name| name == "uid") else {
            continue;
        };
        let uid = |line: &str| line.split_whitespace().nth(at)?.parse().ok();
        found += lines
            .filter_map(uid)
            .filter(|uid| is_guest(subject, *uid))
            .count() as u64;
    }
    found
}

/// Where the kernel's caches may be read.
fn network_namespaces() -> u64 {
    let text = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("net_namespace "));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
