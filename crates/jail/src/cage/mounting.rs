//! The pieces that a root is made of: mounts in no namespace, and places for them.
//!
//! Paths are relative to the working directory, which is the new root.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::mutation::mount_flags;
use crate::syscall;

/// A copy of one mount, in no namespace, with these flags.
pub(super) fn detached_copy(path: &Path, flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let tree = rustix::mount::open_tree(CWD, path, CLONE)?;
    let flags = u64::from(mount_flags(flags).bits());
    syscall::mount_set(&tree, flags, libc::MS_PRIVATE, false)?;
    Ok(tree)
}

pub(super) const CLONE: OpenTreeFlags =
    OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

pub(super) fn tmpfs(
    bytes: u64,
    files: u64,
    mode: &str,
    flags: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let (bytes, files) = (bytes.to_string(), files.to_string());
    file_system(
        "tmpfs",
        &[("size", &bytes), ("nr_inodes", &files), ("mode", mode)],
        flags,
    )
}

/// A new file system, in no namespace. The kernel's own words join an error.
pub(super) fn file_system(
    kind: &str,
    options: &[(&str, &str)],
    flags: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let flags = mount_flags(flags);
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let made = options
        .iter()
        .try_for_each(|(key, value)| rustix::mount::fsconfig_set_string(&context, *key, *value))
        .and_then(|()| rustix::mount::fsconfig_create(&context))
        .and_then(|()| rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags));
    made.map_err(|errno| {
        let mut said = [0; 512];
        let length = rustix::io::read(&context, &mut said).unwrap_or(0);
        let said = String::from_utf8_lossy(&said[..length]);
        io::Error::other(format!(
            "{kind}: {}; {}",
            io::Error::from(errno),
            said.trim()
        ))
    })
}

/// Attaches a mount to an existing place.
pub(super) fn attach(mount: impl AsFd, place: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, c"", CWD, place, flags)?)
}

/// Attaches a mount to a guest path, making the directories on the way.
pub(super) fn attach_at(mount: impl AsFd, guest: &Path) -> io::Result<()> {
    let place = below_root(guest)?;
    make_directory_path(&place)?;
    attach(mount, &place)
}

/// An ordinary descriptor for the root directory of a mount.
pub(super) fn reopen(mount: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(mount, c".", flags, Mode::empty())?)
}

/// A guest path relative to the new root, with its parents made.
pub(super) fn below_root(guest: &Path) -> io::Result<PathBuf> {
    let relative = guest
        .strip_prefix("/")
        .map_err(io::Error::other)?
        .to_owned();
    if let Some(parent) = relative.parent() {
        make_directory_path(parent)?;
    }
    Ok(relative)
}

pub(super) fn make_directory_path(path: &Path) -> io::Result<()> {
    let mut so_far = PathBuf::new();
    for part in path {
        so_far.push(part);
        match rustix::fs::mkdirat(CWD, &so_far, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) fn make_directory(path: &str) -> io::Result<()> {
    let path = CString::new(path).map_err(io::Error::other)?;
    Ok(rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755))?)
}

pub(super) fn create(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(
        CWD,
        path,
        flags,
        Mode::from_raw_mode(0o644),
    )?)
}
