//! The private folder of one run: what a root of its own is in the full tier.
//!
//! The run's code and inputs are put here as hard links, or as copies from
//! another file system, beside its `/out` and `/tmp`. The guest is told the
//! real paths: every argument, variable and working folder that names a path
//! of the sandbox is rewritten, and `STRONGROOM_ROOT` says where the rest is.
//! Folders that have the same path inside and outside stay where they are.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::weigh::{self, Bound};
use super::{User, clear};
use crate::jail::Spec;
use crate::limits::Limits;
use crate::syscall;

/// Where the sandbox's paths begin, for programs that look for them.
const ROOT_VARIABLE: &str = "STRONGROOM_ROOT";
const TEMPORARY_VARIABLE: &str = "TMPDIR";
const OUT: &str = "/out";
const TMP: &str = "/tmp";
/// Files and folders of one run's code and inputs together.
const ENTRIES_MAX: u64 = 1_000_000;
const PAGE_BYTES: u64 = 4096;
/// The most files in `/tmp`.
const TMP_FILES_MAX: u64 = 65_536;

/// The folder of one run, while it runs.
pub(super) struct Folder {
    root: PathBuf,
    /// Guest paths that are real paths.
    in_place: Vec<PathBuf>,
    /// Locked as long as anybody holds it.
    pub(super) out: OwnedFd,
    tmp: OwnedFd,
    out_bound: Bound,
    tmp_bound: Bound,
}

impl Folder {
    /// Makes the folder and puts everything in its place.
    pub(super) fn make(root: &Path, spec: &Spec, user: User) -> io::Result<Self> {
        let made = make_within(root, spec, user);
        if made.is_err() {
            let _ = clear::remove(root);
        }
        made
    }

    /// The real path of a path of the sandbox.
    pub(super) fn seen(&self, guest: &Path) -> PathBuf {
        if self.in_place.iter().any(|kept| guest.starts_with(kept)) {
            return guest.to_owned();
        }
        match guest.strip_prefix("/") {
            Ok(relative) => self.root.join(relative),
            Err(_) => guest.to_owned(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn writable(&self) -> [PathBuf; 2] {
        [OUT, TMP].map(|path| self.seen(Path::new(path)))
    }

    /// The folders in which the sandbox's own files lie.
    pub(super) fn of_files(&self, spec: &Spec) -> BTreeSet<PathBuf> {
        let parents = own_files(spec).filter_map(|(guest, _)| guest.ancestors().nth(1));
        let tops = parents.map(|parent| parent.iter().take(2).collect::<PathBuf>());
        // What lies at the top cannot be read: that would be a rule for all of it.
        let tops = tops.filter(|top| top != Path::new("/"));
        tops.map(|top| self.seen(&top)).collect()
    }

    /// What runs, in real paths.
    pub(super) fn told(&self, spec: &Spec) -> Spec {
        let mut told = spec.clone();
        let own: Vec<&Path> = spec
            .mounts
            .iter()
            .map(|mount| mount.guest.as_path())
            .collect();
        let is_own = |path: &Path| {
            let within = |folder: &&Path| path.starts_with(folder);
            own.iter().any(within) || [OUT, TMP].map(Path::new).iter().any(within)
        };
        let real = |text: &mut String| {
            if is_own(Path::new(&*text)) {
                *text = self.seen(Path::new(&*text)).display().to_string();
            }
        };
        told.program.argv.iter_mut().for_each(real);
        told.program
            .env
            .iter_mut()
            .map(|(_, value)| value)
            .for_each(real);
        let root = self.root.display().to_string();
        let tmp = self.seen(Path::new(TMP)).display().to_string();
        told.program.env.push((ROOT_VARIABLE.to_owned(), root));
        told.program.env.push((TEMPORARY_VARIABLE.to_owned(), tmp));
        told.program.cwd = match is_own(&spec.program.cwd) {
            true => self.seen(&spec.program.cwd),
            false => self.root.clone(),
        };
        told
    }

    /// Whether `/out`, and `/tmp` with what was deleted but is still open,
    /// are over their bounds.
    pub(super) fn over(&self, deleted_bytes: u64) -> (bool, bool) {
        let tmp = weigh::weigh(&self.tmp, self.tmp_bound);
        let tmp_over = tmp.is_none_or(|bytes| self.tmp_bound.bytes < bytes + deleted_bytes);
        (weigh::is_over(&self.out, self.out_bound), tmp_over)
    }

    /// What has to stay open while it is watched.
    pub(super) fn descriptors(&self) -> [u32; 2] {
        [&self.out, &self.tmp].map(syscall::number)
    }

    /// Removes all but `/out`, which somebody may yet want to collect.
    pub(super) fn leave_out(&self) {
        let Ok(entries) = std::fs::read_dir(&self.root) else {
            return;
        };
        for entry in entries.flatten().filter(|entry| entry.file_name() != "out") {
            // What stays behind goes with the whole folder, later.
            let _ = clear::remove(&entry.path());
        }
    }

    /// Removes everything.
    pub(super) fn remove(&self) {
        let _ = clear::remove(&self.root);
    }
}

fn make_within(root: &Path, spec: &Spec, user: User) -> io::Result<Folder> {
    make_folder(root, 0o755)?;
    let (moved, in_place): (Vec<_>, Vec<_>) = spec
        .mounts
        .iter()
        .partition(|mount| mount.host != mount.guest);
    let mut left = ENTRIES_MAX;
    for mount in moved {
        let target = root.join(mount.guest.strip_prefix("/").map_err(io::Error::other)?);
        if let Some(parent) = target.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)?;
        }
        link(&mount.host, &target, &mut left).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", mount.guest.display()))
        })?;
    }
    write_files(root, spec)?;
    let [out, tmp] = [OUT, TMP].map(|path| root.join(&path[1..]));
    for path in [&out, &tmp] {
        make_folder(path, 0o700)?;
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
    }
    let out = weigh::open(&out)?;
    rustix::fs::flock(&out, FlockOperation::NonBlockingLockExclusive)?;
    let (out_bound, tmp_bound) = bounds(&spec.limits);
    Ok(Folder {
        root: root.to_owned(),
        in_place: in_place
            .into_iter()
            .map(|mount| mount.guest.clone())
            .collect(),
        out,
        tmp: weigh::open(&tmp)?,
        out_bound,
        tmp_bound,
    })
}

/// The sandbox's own files that have a place here. Those of `/etc` have none:
/// who reads them looks at the real path and finds the host's.
fn own_files(spec: &Spec) -> impl Iterator<Item = (&Path, &[u8])> {
    let files = spec.files.iter();
    let files = files.map(|(guest, content)| (guest.as_path(), content.as_slice()));
    files.filter(|(guest, _)| !guest.starts_with("/etc"))
}

fn write_files(root: &Path, spec: &Spec) -> io::Result<()> {
    for (guest, content) in own_files(spec) {
        let path = root.join(guest.strip_prefix("/").map_err(io::Error::other)?);
        if let Some(parent) = path.parent() {
            let mut folders = std::fs::DirBuilder::new();
            folders.recursive(true).mode(0o755).create(parent)?;
        }
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444))?;
    }
    Ok(())
}

fn bounds(limits: &Limits) -> (Bound, Bound) {
    let out = Bound {
        bytes: limits.out_bytes,
        files: limits.out_files,
    };
    let tmp = Bound {
        bytes: limits.tmp_bytes,
        files: (limits.tmp_bytes / PAGE_BYTES + 16).min(TMP_FILES_MAX),
    };
    (out, tmp)
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path)
}

/// Makes `target` a tree of the same files. The tree is the station's own and
/// holds nothing but files and folders.
fn link(host: &Path, target: &Path, left: &mut u64) -> io::Result<()> {
    let mut open = vec![(host.to_owned(), target.to_owned())];
    while let Some((host, target)) = open.pop() {
        make_folder(&target, 0o755)?;
        for entry in std::fs::read_dir(&host)? {
            let entry = entry?;
            *left = left
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("too many files"))?;
            let (kind, to) = (entry.file_type()?, target.join(entry.file_name()));
            if kind.is_dir() {
                open.push((entry.path(), to));
            } else if kind.is_file() {
                link_file(&entry.path(), &to)?;
            } else {
                let path = entry.path();
                let what = format!("{} is neither a file nor a folder", path.display());
                return Err(io::Error::other(what));
            }
        }
    }
    Ok(())
}

fn link_file(host: &Path, target: &Path) -> io::Result<()> {
    if std::fs::hard_link(host, target).is_ok() {
        return Ok(());
    }
    std::fs::copy(host, target)?;
    // Readable to the guest, writable to nobody.
    let mode = match host.metadata()?.permissions().mode() & 0o111 {
        0 => 0o444,
        _ => 0o555,
    };
    std::fs::set_permissions(target, std::fs::Permissions::from_mode(mode))
}
