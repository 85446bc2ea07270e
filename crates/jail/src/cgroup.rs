//! Control groups: the limits that hold for a whole process tree.
//!
//! A warden owns one parent group, named after itself, and makes a fresh leaf
//! below it for every guest. A guest is born in its leaf; it is never moved
//! there, since moving costs milliseconds and leaves a moment without limits.
//! Version 1 (several hierarchies) and version 2 (one) differ in file names
//! and in how the leaf is entered; everything else is shared here.
//! Deliberately absent: groups that other programs made, and any best effort.

mod mounted;
mod stale;
mod v1;
mod v2;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::limits::Limits;
use crate::mutation::{Part, bound, stands};

/// Why there are no usable control groups here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("could not {attempt} {path}: {source}")]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("no writable control group with the controller {controller}")]
    Controller { controller: &'static str },
    #[error("{path} holds other processes, so its controllers cannot be passed on")]
    Occupied { path: PathBuf },
}

/// The warden's parent group, in one directory per hierarchy.
pub(crate) struct Groups {
    version: Version,
    name: String,
    bases: Vec<PathBuf>,
    /// Whether nothing of dead wardens is left beside our own.
    swept: bool,
    parents: Vec<PathBuf>,
    leaves_made: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The group of one guest.
pub(crate) struct Leaf {
    version: Version,
    directories: Vec<PathBuf>,
    /// Version 2: what a process is born into.
    birthplace: Option<OwnedFd>,
}

/// What the guest used, read after it is dead.
#[derive(Default)]
pub(crate) struct Usage {
    pub(crate) cpu_us: u64,
    pub(crate) memory_peak_bytes: u64,
    pub(crate) out_of_memory: bool,
    pub(crate) processes_refused: bool,
}

/// A keeper and an init live beside the guest's own processes.
const OWN_PROCESSES: u32 = 2;
/// Microseconds of the period that processor quotas refer to.
const CPU_PERIOD_US: u64 = 100_000;

/// Limits as the group's files have them.
struct Values {
    memory_bytes: u64,
    processes: u64,
    quota_us: u64,
}

impl Values {
    fn of(limits: &Limits) -> Self {
        let quota_us = (u64::from(limits.cpu_milli) * CPU_PERIOD_US / 1000).max(1000);
        let processes = u64::from(limits.processes.saturating_add(OWN_PROCESSES));
        Self {
            memory_bytes: bound(Part::CgroupMemory, limits.memory_bytes),
            processes: bound(Part::CgroupProcesses, processes),
            quota_us: bound(Part::CgroupProcessor, quota_us),
        }
    }
}

impl Groups {
    /// Makes the warden's parent group, below its own group or below the given
    /// directories, and clears away what dead wardens left beside it.
    pub(crate) fn make(name: &str, given: &[PathBuf], family: &[i32]) -> Result<Self, GroupError> {
        let (version, bases) = match v2::base(given)? {
            Some(base) => (Version::Two, vec![base]),
            None => (Version::One, v1::bases(given)?),
        };
        let swept = bases
            .iter()
            .fold(true, |swept, base| stale::sweep(base, name) & swept);
        let own_name = stale::own_name(name);
        let parents: Vec<PathBuf> = bases.iter().map(|base| base.join(&own_name)).collect();
        for parent in &parents {
            make_directory(parent)?;
        }
        if let (Version::Two, [parent]) = (version, parents.as_slice()) {
            v2::pass_controllers_on(parent, family)?;
        }
        Ok(Self {
            version,
            name: name.to_owned(),
            bases,
            swept,
            parents,
            leaves_made: 0,
        })
    }

    /// Looks again for what dead wardens left, if something did not go at the
    /// start: their last processes may only now have been reaped.
    pub(crate) fn sweep(&mut self) {
        if !self.swept {
            let again = |base: &PathBuf| stale::sweep_at_once(base, &self.name);
            self.swept = self
                .bases
                .iter()
                .map(again)
                .fold(true, |all, one| all & one);
        }
    }

    /// `v1` or `v2`.
    pub(crate) fn version(&self) -> &'static str {
        match self.version {
            Version::One => "v1",
            Version::Two => "v2",
        }
    }

    /// A fresh leaf, still without limits.
    pub(crate) fn leaf(&mut self) -> Result<Leaf, GroupError> {
        self.leaves_made += 1;
        let name = format!("slot-{}", self.leaves_made);
        let directories: Vec<PathBuf> = self.parents.iter().map(|one| one.join(&name)).collect();
        let mut leaf = Leaf {
            version: self.version,
            directories,
            birthplace: None,
        };
        leaf.make().inspect_err(|_| {
            let _ = leaf.remove();
        })?;
        Ok(leaf)
    }

    /// Removes the parent; the leaves must be gone.
    pub(crate) fn remove(&self) {
        for parent in &self.parents {
            let _ = std::fs::remove_dir(parent);
        }
        if let (Version::Two, [parent]) = (self.version, self.parents.as_slice()) {
            // What cannot be left now holds no guest, and the next warden may.
            let _ = v2::leave_the_house(parent);
        }
    }
}

impl Leaf {
    /// No group at all: for the rehearsal on a host without any.
    pub(crate) fn nowhere() -> Self {
        Self {
            version: Version::One,
            directories: Vec::new(),
            birthplace: None,
        }
    }

    fn make(&mut self) -> Result<(), GroupError> {
        for directory in &self.directories {
            make_directory(directory)?;
        }
        if self.version == Version::Two {
            self.birthplace = Some(v2::open(&self.directories[0])?);
        }
        Ok(())
    }

    /// Writes every limit.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), GroupError> {
        let values = Values::of(limits);
        match self.version {
            Version::One => v1::limit(&self.directories, &values),
            Version::Two => v2::limit(&self.directories[0], &values),
        }
    }

    /// Writes the limits that differ from those that hold now.
    pub(crate) fn change(&self, from: &Limits, to: &Limits) -> Result<(), GroupError> {
        let (from, to) = (Values::of(from), Values::of(to));
        match self.version {
            Version::One => v1::change(&self.directories, &from, &to),
            Version::Two => v2::change(&self.directories[0], &from, &to),
        }
    }

    /// Version 2: the directory to be born into. Version 1: `None`, see [`Leaf::enter`].
    pub(crate) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd as _;
        self.birthplace.as_ref().map(|fd| fd.as_fd())
    }

    /// Version 1: moves the calling process in, before it has any children.
    pub(crate) fn enter(&self) -> Result<(), GroupError> {
        match self.version {
            Version::One => self
                .directories
                .iter()
                .try_for_each(|one| write(&one.join("cgroup.procs"), "0")),
            Version::Two => Ok(()),
        }
    }

    /// Version 1: a descriptor that becomes readable when memory runs out.
    /// Version 2 needs none: there the kernel ends the whole group by itself.
    pub(crate) fn watch_memory(&self) -> Result<Option<OwnedFd>, GroupError> {
        match self.version {
            Version::One => v1::watch_memory(&self.directories).map(Some),
            Version::Two => Ok(None),
        }
    }

    /// Sends SIGKILL to everything inside; says whether anything was there.
    pub(crate) fn kill(&self) -> bool {
        if self.version == Version::Two && stands(Part::KillAtTheEnd) {
            let _ = write(&self.directories[0].join("cgroup.kill"), "1");
        }
        // Children inherit every hierarchy, so one of them lists them all.
        let Some(directory) = self.directories.first() else {
            return false;
        };
        let inside = processes(directory);
        if !stands(Part::KillAtTheEnd) {
            return false;
        }
        for pid in &inside {
            kill_if_still_inside(directory, *pid);
        }
        !inside.is_empty()
    }

    /// The directories, one for each hierarchy.
    pub(crate) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The processes inside.
    pub(crate) fn processes(&self) -> Vec<i32> {
        self.directories
            .first()
            .map(|one| processes(one))
            .unwrap_or_default()
    }

    /// Processor time used so far.
    pub(crate) fn cpu_us(&self) -> u64 {
        match self.version {
            Version::One => v1::cpu_us(&self.directories),
            Version::Two => v2::cpu_us(&self.directories[0]),
        }
    }

    /// What was used so far.
    pub(crate) fn usage(&self) -> Usage {
        match self.version {
            Version::One => v1::usage(&self.directories),
            Version::Two => v2::usage(&self.directories[0]),
        }
    }

    /// Removes the leaf. Fails while anything is still inside, and for a moment after.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for directory in &self.directories {
            match std::fs::remove_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A pid may be given to a stranger between reading and killing; a pidfd taken
/// first and a second look close that gap.
fn kill_if_still_inside(directory: &Path, pid: i32) {
    let Some(number) = Pid::from_raw(pid) else {
        return;
    };
    let Ok(pidfd) = pidfd_open(number, PidfdFlags::empty()) else {
        return;
    };
    if processes(directory).contains(&pid) {
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
}

fn make_directory(path: &Path) -> Result<(), GroupError> {
    std::fs::create_dir(path).map_err(|source| GroupError::File {
        attempt: "make",
        path: path.to_owned(),
        source,
    })
}

fn remove_directory(path: &Path) -> Result<(), GroupError> {
    std::fs::remove_dir(path).map_err(|source| GroupError::File {
        attempt: "remove",
        path: path.to_owned(),
        source,
    })
}

/// Writes a whole value with one call, as these files want it.
fn write(path: &Path, value: &str) -> Result<(), GroupError> {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|source| GroupError::File {
            attempt: "write",
            path: path.to_owned(),
            source,
        })
}

fn read(path: &Path) -> Result<String, GroupError> {
    std::fs::read_to_string(path).map_err(|source| GroupError::File {
        attempt: "read",
        path: path.to_owned(),
        source,
    })
}

/// The one number of a file; 0 if there is none.
fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number after `key` in lines of `key number`; 0 if it is not there.
fn keyed(text: &str, key: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}

/// The processes in a group.
fn processes(directory: &Path) -> Vec<i32> {
    let text = read(&directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}
