//! Opening what a stranger made, below one folder and nowhere else.
//!
//! Every open is of one name in an open folder: never through a link, never
//! onto another file system, never waiting for the other end of a FIFO. There
//! is no function here that takes a path of more than one part from a guest
//! and hands it to the kernel.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};
use strongroom_core::tree::TreePath;

/// How anything a guest made is opened: no link, no wait, no terminal.
const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

fn resolve() -> ResolveFlags {
    ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV
}

/// Opens the folder itself for reading, whatever mode the guest gave it.
pub(crate) fn open_root(root: &OwnedFd) -> Result<OwnedFd, Errno> {
    mend(root, &rustix::fs::fstat(root)?, Mode::RUSR | Mode::XUSR);
    rustix::fs::openat(root, c".", OPEN | OFlags::DIRECTORY, Mode::empty())
}

/// Opens one entry of `folder`. `name` has no `/` in it.
pub(crate) fn open_one(
    folder: BorrowedFd<'_>,
    name: &CStr,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat2(folder, name, OPEN | flags, Mode::empty(), resolve()) {
        // A kernel or an outer sandbox without this call: one name and
        // O_NOFOLLOW cannot leave the folder either.
        Err(Errno::NOSYS | Errno::PERM) => {
            rustix::fs::openat(folder, name, OPEN | flags, Mode::empty())
        }
        other => other,
    }
}

/// A handle on one entry of `folder`, which reads nothing of it. What is learnt of
/// the handle holds for what is opened through it, whoever swaps names meanwhile.
pub(crate) fn handle(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve()) {
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(folder, name, flags, Mode::empty()),
        other => other,
    }
}

/// Opens what a handle is on, for reading.
pub(crate) fn open_handle(handle: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    // The link of a handle leads to the entry itself and cannot be turned.
    let flags = (OPEN | flags).difference(OFlags::NOFOLLOW);
    rustix::fs::open(own_link(handle), flags, Mode::empty())
}

fn own_link(handle: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

/// A handle on what lies at a path below `root`, one part at a time.
pub(crate) fn handle_path(root: BorrowedFd<'_>, path: &TreePath) -> Result<OwnedFd, Errno> {
    let (above, name) = match path.as_str().rsplit_once('/') {
        None => (None, path.as_str()),
        Some((above, name)) => (
            Some(above.parse::<TreePath>().map_err(|_| Errno::INVAL)?),
            name,
        ),
    };
    let above = above.map(|above| open_path(root, &above)).transpose()?;
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    handle(above.as_ref().map_or(root, |above| above.as_fd()), &name)
}

/// Opens a file by its path below `root`, one part at a time.
pub(crate) fn open_path(root: BorrowedFd<'_>, path: &TreePath) -> Result<OwnedFd, Errno> {
    let mut parts = path.as_str().split('/').peekable();
    let mut folder: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let name = CString::new(part).map_err(|_| Errno::INVAL)?;
        let here = folder.as_ref().map_or(root, |folder| folder.as_fd());
        let flags = if parts.peek().is_some() {
            OFlags::DIRECTORY
        } else {
            OFlags::empty()
        };
        folder = Some(open_one(here, &name, flags)?);
    }
    folder.ok_or(Errno::INVAL)
}

/// Reads a regular file of at most `most` bytes by its path below `folder`. A
/// folder that came from elsewhere may have a link to anything in its place, or
/// something that never comes to an end.
pub(crate) fn read(folder: &Path, path: &TreePath, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(folder, flags, Mode::empty())?;
    let file = match open_path(root.as_fd(), path) {
        Err(Errno::LOOP | Errno::XDEV | Errno::NXIO) => {
            return Err(io::Error::other("it is a link or a special file"));
        }
        opened => File::from(opened?),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= most {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("it is longer than {most} bytes"))),
    }
}

/// Gives the owner back the bits of `needed` on what a handle is on, which a
/// station without privileges needs to read it.
///
/// It may fail: then opening fails too, and the entry is refused by name.
pub(crate) fn mend(handle: &OwnedFd, stat: &Stat, needed: Mode) {
    let mode = Mode::from_raw_mode(stat.st_mode);
    if !mode.contains(needed) {
        let _ = rustix::fs::chmod(own_link(handle), mode | needed);
    }
}
