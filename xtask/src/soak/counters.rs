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

/// What a station's memory may grow by: caches that have not filled yet.
const STATION_KIB: u64 = 32 << 10;
/// The warden holds next to nothing.
const WARDEN_KIB: u64 = 2 << 10;

/// Counts everything once.
pub fn count(subject: &Subject) -> Vec<Counter> {
    let family = Family::of(subject.station);
    let warden = family.warden();
    let row = |what, value, growth_max| Counter {
        what,
        value,
        growth_max: Some(growth_max),
    };
    let mut rows = vec![
        row(
            "processes of the station, waiting slots included",
            family.pids.len() as u64,
            0,
        ),
        row("zombies among them", family.zombies, 0),
        row("processes of guests", guests(subject), 0),
        row(
            "namespaces of the station's processes",
            family.namespaces(),
            0,
        ),
        row("control groups, over all hierarchies", groups(warden), 0),
        row("temporary files", entries(&subject.temporary), 0),
        row(
            "files in the home, content and database apart",
            home_entries(&subject.home),
            0,
        ),
        row(
            "files of guests in /dev/shm",
            owned(Path::new("/dev/shm"), subject),
            0,
        ),
        row("keyrings of guests", keyrings(subject), 0),
        row(
            "message queues and shared memory of guests",
            ipc(subject),
            0,
        ),
    ];
    for (who, pid, kib) in [
        ("station", Some(subject.station), STATION_KIB),
        ("warden", warden, WARDEN_KIB),
    ] {
        let names = names_of(who);
        let Some(pid) = pid else { continue };
        rows.push(row(names[0], status(pid, "Threads"), 4));
        rows.push(row(names[1], entries(&proc(pid, "fd")), 4));
        rows.push(row(names[2], mounts(pid), 0));
        rows.push(row(names[3], status(pid, "VmRSS"), kib));
    }
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

/// Everything but what is kept for good: stored content and the database.
fn home_entries(home: &Path) -> u64 {
    below(home, &|path| {
        let below_home = path.strip_prefix(home).unwrap_or(path);
        let first = below_home.iter().next().unwrap_or_default();
        let first = first.to_string_lossy();
        first != "blobs" && !first.contains(".db") && !first.contains("sqlite")
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
