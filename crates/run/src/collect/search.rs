//! The walk through `/out`: what is there, and whether it may come out.
//!
//! It reads names and sizes only, and stops at the first thing that is wrong.
//! How deep it goes is bounded by the law of paths, how far by the run's
//! bound on files and folders.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use strongroom_core::{
    digest::Digest,
    limits::Limits,
    text,
    tree::{Tree, TreeError, TreeFile, TreePath},
};

use super::CollectError;
use crate::{
    beneath,
    mutation::{Wall, bound},
};

/// The files in `root` with their sizes, in the order of their paths.
///
/// # Errors
///
/// The first thing that may not come out; nothing is left out silently.
pub(super) fn find(
    root: &OwnedFd,
    limits: &Limits,
    value_bytes: u64,
) -> Result<Vec<(TreePath, u64)>, CollectError> {
    let wrong = |errno| unreadable(b"/out", errno);
    let device = rustix::fs::fstat(root).map_err(wrong)?.st_dev;
    let root = beneath::open_root(root).map_err(wrong)?;
    let mut search = Search {
        device,
        out_bytes: limits.out_bytes,
        bytes_left: bound(Wall::OutBytes, limits.out_bytes).checked_sub(value_bytes),
        entries_max: bound(Wall::OutFiles, limits.out_files.into()),
        entries: 0,
        found: Vec::new(),
    };
    search.charge(0)?;
    search.folder(&root, &[])?;
    search.found.sort();
    refuse_collisions(&search.found)?;
    Ok(search.found)
}

/// One walk through `/out`.
struct Search {
    /// The device that everything must lie on.
    device: u64,
    out_bytes: u64,
    /// `None` when there is less than nothing left.
    bytes_left: Option<u64>,
    entries_max: u64,
    entries: u64,
    found: Vec<(TreePath, u64)>,
}

impl Search {
    /// Walks through one folder. The law of paths bounds how deep it goes.
    fn folder(&mut self, folder: &OwnedFd, path: &[u8]) -> Result<(), CollectError> {
        let entries = Dir::read_from(folder).map_err(|errno| unreadable(path, errno))?;
        for entry in entries {
            let entry = entry.map_err(|errno| unreadable(path, errno))?;
            let name = entry.file_name();
            if name.to_bytes() == b"." || name.to_bytes() == b".." {
                continue;
            }
            self.count()?;
            let mut whole = path.to_vec();
            if !path.is_empty() {
                whole.push(b'/');
            }
            whole.extend_from_slice(name.to_bytes());
            self.entry(folder.as_fd(), name, &whole)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
    ) -> Result<(), CollectError> {
        let tree_path = TreePath::from_bytes(path).map_err(|error| of_tree(path, &error))?;
        let handle = beneath::handle(folder, name).map_err(|errno| unreadable(path, errno))?;
        let stat = rustix::fs::fstat(&handle).map_err(|errno| unreadable(path, errno))?;
        if stat.st_dev != self.device {
            return Err(unreadable(path, Errno::XDEV));
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(&handle, tree_path, &stat),
            FileType::Directory => {
                beneath::mend(&handle, &stat, Mode::RUSR | Mode::XUSR);
                let inner = beneath::open_handle(&handle, OFlags::DIRECTORY)
                    .map_err(|errno| unreadable(path, errno))?;
                // As deep as paths may be, each level holds no more than it reads from.
                drop(handle);
                self.folder(&inner, path)
            }
            kind => Err(refused(path, kind_shown(kind))),
        }
    }

    fn file(&mut self, handle: &OwnedFd, path: TreePath, stat: &Stat) -> Result<(), CollectError> {
        let raw = path.as_str().as_bytes();
        refuse_names(raw, stat)?;
        beneath::mend(handle, stat, Mode::RUSR);
        beneath::open_handle(handle, OFlags::empty()).map_err(|errno| unreadable(raw, errno))?;
        let size_bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        self.charge(size_bytes)?;
        self.found.push((path, size_bytes));
        Ok(())
    }

    fn count(&mut self) -> Result<(), CollectError> {
        self.entries += 1;
        if self.entries_max < self.entries {
            return Err(CollectError::TooMany {
                limit: u32::try_from(self.entries_max).unwrap_or(u32::MAX),
            });
        }
        Ok(())
    }

    /// A file counts with its whole size, however little of it is written.
    fn charge(&mut self, size_bytes: u64) -> Result<(), CollectError> {
        self.bytes_left = self
            .bytes_left
            .and_then(|left| left.checked_sub(size_bytes));
        match self.bytes_left {
            Some(_) => Ok(()),
            None => Err(CollectError::TooLarge {
                limit_bytes: self.out_bytes,
            }),
        }
    }
}

/// Opens a file that was found, if it still is one that may come out.
pub(super) fn open(root: BorrowedFd<'_>, path: &TreePath) -> Result<OwnedFd, CollectError> {
    let raw = path.as_str().as_bytes();
    let wrong = |errno| unreadable(raw, errno);
    let handle = beneath::handle_path(root, path).map_err(wrong)?;
    let stat = rustix::fs::fstat(&handle).map_err(wrong)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => refuse_names(raw, &stat)?,
        kind => return Err(refused(raw, kind_shown(kind))),
    }
    beneath::open_handle(&handle, OFlags::empty()).map_err(wrong)
}

/// A second name may be one outside of the folder.
fn refuse_names(path: &[u8], stat: &Stat) -> Result<(), CollectError> {
    match stat.st_nlink {
        1 => Ok(()),
        _ => Err(refused(path, "it is a file with more than one name")),
    }
}

fn kind_shown(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "it is a symbolic link",
        FileType::Fifo => "it is a FIFO",
        FileType::Socket => "it is a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "it is a device",
        _ => "it is no regular file",
    }
}

fn shown(path: &[u8]) -> String {
    text::shown(&String::from_utf8_lossy(path), 200)
}

fn refused(path: &[u8], why: &str) -> CollectError {
    CollectError::Refused {
        path: shown(path),
        why: why.to_owned(),
    }
}

fn of_tree(path: &[u8], error: &TreeError) -> CollectError {
    match error {
        TreeError::Path { why, .. } => refused(path, &format!("its path {why}")),
        other => refused(path, &other.to_string()),
    }
}

/// An error of one entry: the guest's doing when it forbids reading.
fn unreadable(path: &[u8], errno: Errno) -> CollectError {
    match errno {
        Errno::ACCESS | Errno::PERM => refused(path, "it cannot be read"),
        Errno::LOOP => refused(path, "it is a symbolic link"),
        Errno::XDEV => refused(path, "it lies on another file system"),
        other => CollectError::Read {
            path: shown(path),
            source: other.into(),
        },
    }
}

/// Refuses names that make no tree together, such as two that differ in case.
fn refuse_collisions(found: &[(TreePath, u64)]) -> Result<(), CollectError> {
    if found.is_empty() {
        return Ok(());
    }
    // The law is about paths; the contents are not known yet.
    let unread = Digest::from_bytes([0; 32]);
    let files = found.iter().map(|(path, size_bytes)| {
        (
            path.clone(),
            TreeFile {
                digest: unread,
                size_bytes: *size_bytes,
            },
        )
    });
    let clash = Tree::new(files).err();
    match clash {
        None => Ok(()),
        Some(TreeError::Case(first, second)) => Err(refused(
            second.as_bytes(),
            &format!(
                "it differs from `{}` only in case",
                text::shown(&first, 120)
            ),
        )),
        Some(other) => Err(refused(b"/out", &other.to_string())),
    }
}
