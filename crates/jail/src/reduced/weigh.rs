//! How much lies in a folder that a guest may be writing to at this moment.
//!
//! The count stops at the bound, so a guest cannot make it long. Room is what
//! the file system has given, not what a file claims to be long.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// Folders within folders; deeper is over every bound.
const DEPTH_MAX: usize = 64;
const BLOCK_BYTES: u64 = 512;

/// What a folder may hold.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

/// The bytes in the folder, or `None` if it is over its bound.
pub(super) fn weigh(folder: &OwnedFd, bound: Bound) -> Option<u64> {
    let mut so_far = SoFar { bytes: 0, files: 0 };
    so_far.add(folder, bound, 0).then_some(so_far.bytes)
}

struct SoFar {
    bytes: u64,
    files: u64,
}

impl SoFar {
    /// Adds what is in `folder`; `false` as soon as it is too much. What
    /// vanishes while it is counted was not there.
    fn add(&mut self, folder: &OwnedFd, bound: Bound, depth: usize) -> bool {
        let Ok(entries) = Dir::read_from(folder) else {
            return true;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            self.files += 1;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if !is_folder {
                self.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK_BYTES;
            }
            if bound.files < self.files || bound.bytes < self.bytes {
                return false;
            }
            if is_folder {
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = rustix::fs::openat(folder, name, flags, Mode::empty());
                let fits = match inner {
                    _ if DEPTH_MAX <= depth => false,
                    Ok(inner) => self.add(&inner, bound, depth + 1),
                    // A folder closed to its owner hides what is in it.
                    Err(rustix::io::Errno::ACCESS) => false,
                    Err(_) => true,
                };
                if !fits {
                    return false;
                }
            }
        }
        true
    }
}

/// Whether the dead guest's folder is over its bound, by length and by room.
pub(super) fn is_over(folder: &OwnedFd, bound: Bound) -> bool {
    weigh(folder, bound).is_none()
}

/// Opens a folder to weigh it.
pub(super) fn open(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Bound, open, weigh};

    #[test]
    fn a_folder_at_its_bound_is_weighed_and_one_past_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("inner/file"), [1; 4096]).unwrap();
        let opened = open(folder.path()).unwrap();
        let room = |bytes, files| weigh(&opened, Bound { bytes, files });
        let bytes = room(1 << 20, 2).unwrap();
        assert!(4096 <= bytes, "{bytes}");
        assert_eq!(room(bytes, 2), Some(bytes));
        assert_eq!(room(bytes - 1, 2), None);
        assert_eq!(room(bytes, 1), None);
    }
}
