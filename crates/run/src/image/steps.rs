//! Ways into a folder of our own, one name at a time and never through a link.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// Opens a folder one name at a time.
pub(super) fn walk(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    step(root, path, |_, _| Err(Errno::NOENT))
}

/// The same, and makes what is not there; `made` counts that.
pub(super) fn make(root: &OwnedFd, path: &[u8], made: &mut u64) -> Result<OwnedFd, Errno> {
    step(root, path, |folder, name| {
        *made += 1;
        rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755))
    })
}

fn step(
    root: &OwnedFd,
    path: &[u8],
    mut missing: impl FnMut(&OwnedFd, &OsStr) -> Result<(), Errno>,
) -> Result<OwnedFd, Errno> {
    let mut folder = rustix::fs::openat(root, c".", FOLDER, Mode::empty())?;
    for part in path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
    {
        let name = OsStr::from_bytes(part);
        folder = match rustix::fs::openat(&folder, name, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {
                missing(&folder, name)?;
                rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(folder)
}
