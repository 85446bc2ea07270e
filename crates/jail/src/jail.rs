//! What a guest may see and use, said before it is built.
//!
//! A [`Jail<Open>`] collects; [`Jail::seal`] checks everything at once and
//! gives a [`Jail<Sealed>`], the only thing a warden accepts. Paths inside are
//! absolute and normal, none lies within another, none touches the directories
//! that the jail makes itself. Deliberately absent: writable host paths, any
//! network but a gateway, and any way to leave out a wall.

mod attachment;
mod gateway;
mod input;
mod out;
mod outline;
mod program;
mod shown;
mod terminal;

use std::collections::BTreeSet;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::SlotId;
use crate::kernel::Kernel;
use crate::limits::{LimitError, Limits};
use crate::wire;

pub use attachment::Attachment;
pub use gateway::GATEWAY;
pub(crate) use gateway::NO_NETWORK_OF_ITS_OWN;
pub(crate) use input::{read_only, sealed_memory};
pub use outline::{Outline, Shown};
pub use program::Program;
pub(crate) use shown::Mount;

/// Still being said.
#[derive(Debug)]
pub enum Open {}
/// Checked: every wall stands on this host and the paths make sense.
#[derive(Debug)]
pub enum Sealed {}

/// A sandbox to be built.
#[must_use]
#[derive(Debug)]
pub struct Jail<State> {
    spec: Spec,
    stdin: Option<OwnedFd>,
    /// What `/out` lies in, if not in memory.
    disk: Option<OwnedFd>,
    state: PhantomData<State>,
}

/// Everything of a jail that travels as bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) limits: Limits,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) symlinks: Vec<(PathBuf, PathBuf)>,
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    pub(crate) program: Program,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) origin: Origin,
    /// Whether the guest has a way to a gateway.
    pub(crate) gateway: bool,
    /// Whether `/out` lies on a disk.
    pub(crate) out_on_disk: bool,
    /// Whether its input, and what it says, is a terminal.
    pub(crate) terminal: bool,
}

/// How the guest's process comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// A program is executed.
    Program,
    /// A program is executed that loads libraries and is then copied.
    Zygote,
    /// A copy of the zygote in that slot.
    CopyOf(SlotId),
}

/// How a guest waits that is made ahead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// Just before it executes anything; the start says what.
    AtTheGate,
    /// It runs already, and hears of its work through a [`Door`](crate::Door).
    Launched,
}

/// Why a jail cannot be sealed. Nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("this host cannot build the wall {name}: {why}")]
    Wall {
        name: String,
        why: String,
        fix: Option<String>,
    },
    #[error("the path {path} is not absolute and normal")]
    Path { path: PathBuf },
    #[error("the guest path {path} belongs to the jail itself or overlaps another")]
    Overlap { path: PathBuf },
    #[error("the command needs an absolute program and no zero bytes")]
    Command,
    #[error("environment variable {name:?} is not a name")]
    Environment { name: String },
    #[error("a jail has at most {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("a jail's description takes at most {most} bytes")]
    TooLong { most: usize },
    #[error("data and network never meet: a jail shows data or has a gateway, not both")]
    DataAndNetwork,
    #[error("a guest with a gateway is made for one run: it neither waits nor is copied")]
    GatewayAhead,
    #[error("an /out on a disk needs root, the tier full, and a guest made for one run")]
    Disk,
    #[error("a guest with a terminal is made for one run: it neither waits nor is copied")]
    TerminalAhead,
    #[error("what was given as a terminal is none")]
    NoTerminal,
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error("could not copy the guest's input into sealed memory")]
    Stdin { source: io::Error },
}

/// Host directories, links and files of one jail, each.
const ENTRIES_MAX: usize = 128;
/// What the jail makes itself.
const OWN: [&str; 5] = ["/proc", "/dev", "/out", "/tmp", "/.stage"];

impl Jail<Open> {
    /// An empty jail: no files, no network, no environment, empty input.
    pub fn new(limits: Limits) -> Self {
        let spec = Spec {
            limits,
            mounts: Vec::new(),
            symlinks: Vec::new(),
            files: Vec::new(),
            program: Program::default(),
            waiting: None,
            origin: Origin::Program,
            gateway: false,
            out_on_disk: false,
            terminal: false,
        };
        Self {
            spec,
            stdin: None,
            disk: None,
            state: PhantomData,
        }
    }

    /// A jail whose guest is made ahead of its work and waits for it, under
    /// small limits of its own. What it works on is attached later.
    pub fn waiting(how: Waiting) -> Self {
        let mut jail = Self::new(Limits::WAITING);
        jail.spec.waiting = Some(how);
        jail
    }

    /// Makes a symbolic link in the private root, as `/bin` to `usr/bin`.
    pub fn symlink(mut self, guest: PathBuf, target: PathBuf) -> Self {
        self.spec.symlinks.push((guest, target));
        self
    }

    /// Makes a small file in the private root, as `/etc/passwd`.
    pub fn file(mut self, guest: PathBuf, content: Vec<u8>) -> Self {
        self.spec.files.push((guest, content));
        self
    }

    /// What runs, by absolute guest path, and where.
    pub fn command(mut self, argv: Vec<String>, cwd: PathBuf) -> Self {
        self.spec.program.argv = argv;
        self.spec.program.cwd = cwd;
        self
    }

    /// Adds one environment variable; there are no others.
    pub fn env(mut self, name: String, value: String) -> Self {
        self.spec.program.env.push((name, value));
        self
    }

    /// The guest's input. A memfd is sealed; anything else is copied into one,
    /// so that no file of the host is ever open in a guest.
    pub fn stdin(mut self, file: OwnedFd) -> Self {
        self.stdin = Some(file);
        self
    }

    /// Makes this the jail of a zygote: its program loads what its copies will
    /// need, says so on descriptor 4 with one byte, reads one byte from there and
    /// forks; it never goes on itself. It holds nobody's code or data.
    pub fn zygote(mut self) -> Self {
        self.spec.origin = Origin::Zygote;
        self
    }

    /// Makes the guest a copy of the zygote in `slot`, instead of executing the
    /// command. The copy returns from the zygote's fork.
    pub fn copy_of(mut self, slot: SlotId) -> Self {
        self.spec.origin = Origin::CopyOf(slot);
        self
    }

    /// Checks the jail, and that `kernel` enforces every wall.
    ///
    /// # Errors
    ///
    /// [`SealError::Wall`] is the host's fault, [`SealError::Stdin`] may be;
    /// everything else is the caller's.
    pub fn seal(self, kernel: &Kernel) -> Result<Jail<Sealed>, SealError> {
        if let Some(wall) = kernel.missing() {
            return Err(SealError::Wall {
                name: wall.name.clone(),
                why: wall.found.clone(),
                fix: wall.fix.clone(),
            });
        }
        self.spec.limits.check()?;
        self.spec.check_paths()?;
        self.spec.check_gateway(kernel)?;
        self.spec.check_out(kernel)?;
        self.spec.check_terminal(self.stdin.as_ref(), kernel)?;
        if self.spec.waiting != Some(Waiting::AtTheGate) {
            self.spec.program.check()?;
        }
        match wire::encode(&self.spec) {
            Ok(bytes) if bytes.len() + 64 <= wire::FRAME_BYTES_MAX => {}
            _ => {
                return Err(SealError::TooLong {
                    most: wire::FRAME_BYTES_MAX - 64,
                });
            }
        }
        let stdin = match self.stdin {
            Some(side) if self.spec.terminal => side,
            other => input::sealed_memory(other).map_err(|source| SealError::Stdin { source })?,
        };
        Ok(Jail {
            spec: self.spec,
            stdin: Some(stdin),
            disk: self.disk,
            state: PhantomData,
        })
    }
}

impl Jail<Sealed> {
    pub(crate) fn is_zygote(&self) -> bool {
        self.spec.origin == Origin::Zygote
    }

    /// What is said, the guest's input, and what its `/out` lies in.
    pub(crate) fn into_parts(self) -> (Spec, OwnedFd, Option<OwnedFd>) {
        (
            self.spec,
            self.stdin.expect("sealing always leaves an input"),
            self.disk,
        )
    }
}

impl Spec {
    /// The slot that a warden prepares to see what the kernel can do.
    pub(crate) fn rehearsal() -> Self {
        const MIB: u64 = 1 << 20;
        let limits = Limits {
            cpu_milli: 1000,
            memory_bytes: 64 * MIB,
            wall_ms: 1000,
            processes: 4,
            out_bytes: MIB,
            out_files: 1,
            tmp_bytes: MIB,
        };
        Jail::new(limits)
            .runtime(PathBuf::from("/usr"), PathBuf::from("/usr"))
            .spec
    }

    pub(crate) fn check_paths(&self) -> Result<(), SealError> {
        let guests = || {
            let mounts = self.mounts.iter().map(|mount| &mount.guest);
            let links = self.symlinks.iter().map(|(guest, _)| guest);
            mounts
                .chain(links)
                .chain(self.files.iter().map(|(guest, _)| guest))
        };
        for (what, count) in [
            ("directories", self.mounts.len()),
            ("links", self.symlinks.len()),
            ("files", self.files.len()),
            ("variables", self.program.env.len()),
        ] {
            if ENTRIES_MAX < count {
                return Err(SealError::TooMany {
                    what,
                    most: ENTRIES_MAX,
                });
            }
        }
        let hosts = self.mounts.iter().map(|mount| &mount.host);
        for path in hosts.chain(guests()).chain([&self.program.cwd]) {
            if !is_normal(path) {
                return Err(SealError::Path { path: path.clone() });
            }
        }
        let mut taken: BTreeSet<&Path> = OWN.iter().map(Path::new).collect();
        for path in guests() {
            let overlaps = |other: &&Path| path.starts_with(other) || other.starts_with(path);
            if taken.iter().any(overlaps) {
                return Err(SealError::Overlap { path: path.clone() });
            }
            taken.insert(path);
        }
        Ok(())
    }
}

/// Absolute, UTF-8, no zero byte, and spelled without `.`, `..` or doubled slashes.
fn is_normal(path: &Path) -> bool {
    let mut spelled = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => spelled.push(name),
            _ => return false,
        }
    }
    let same = spelled.as_os_str() == path.as_os_str();
    same && path.to_str().is_some_and(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests;
