//! The five harmless devices of `/dev`, as nodes of the sandbox's own.
//!
//! A node of the host would be one inode in every sandbox, and record locks on
//! it a way for neighbours to speak; an overlay over it cannot be opened. So
//! where the host lets us, the nodes are made afresh for each sandbox.
//! An ordinary user may not make nodes and shows the host's.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev};
use rustix::mount::MountAttrFlags;

use super::mounting::{CLONE, attach, create, detached_copy, make_directory, tmpfs};
use crate::mutation::{Part, mount_flags, stands};
use crate::syscall;

/// Each device by name and minor number.
const DEVICES: [(&str, u32); 5] = [
    ("null", 3),
    ("zero", 5),
    ("full", 7),
    ("random", 8),
    ("urandom", 9),
];
/// The kernel's memory devices, which are all of these.
const MAJOR: u32 = 1;
const EVERYONE: Mode = Mode::from_raw_mode(0o666);
const BYTES: u64 = 4096;
/// The directory takes one more.
const FILES: u64 = DEVICES.len() as u64 + 1;
/// A device node must stay a device; nothing else about it may do anything.
const DEVICE: MountAttrFlags = READ_WRITE.union(MountAttrFlags::MOUNT_ATTR_RDONLY);
const READ_WRITE: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Detached mounts.
pub(super) enum Nodes {
    /// One directory with every node.
    Own(OwnedFd),
    /// Every node of the host.
    Shared(Vec<OwnedFd>),
}

/// Makes or opens the nodes, while we still may.
pub(super) fn open() -> io::Result<Nodes> {
    if !stands(Part::OwnDeviceNodes) {
        return shared();
    }
    match make() {
        Ok(own) => Ok(Nodes::Own(own)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => shared(),
        Err(error) => Err(error),
    }
}

fn make() -> io::Result<OwnedFd> {
    let directory = tmpfs(BYTES, FILES, "0755", READ_WRITE)?;
    for (name, minor) in DEVICES {
        let device = makedev(MAJOR, minor);
        rustix::fs::mknodat(
            &directory,
            name,
            FileType::CharacterDevice,
            EVERYONE,
            device,
        )?;
        // Whatever the umask took away.
        rustix::fs::chmodat(&directory, name, EVERYONE, rustix::fs::AtFlags::empty())?;
    }
    let flags = u64::from(mount_flags(DEVICE).bits());
    syscall::mount_set(&directory, flags, libc::MS_PRIVATE, false)?;
    Ok(directory)
}

fn shared() -> io::Result<Nodes> {
    DEVICES
        .iter()
        .map(|(name, _)| detached_copy(Path::new(&format!("/dev/{name}")), DEVICE))
        .collect::<io::Result<_>>()
        .map(Nodes::Shared)
}

/// Makes `/dev` below the new root, with each node a mount of its own.
pub(super) fn show(nodes: Nodes, stage: &str) -> io::Result<()> {
    make_directory("dev")?;
    let nodes = match nodes {
        Nodes::Own(directory) => taken_apart(&directory, stage)?,
        Nodes::Shared(nodes) => nodes,
    };
    for ((name, _), node) in DEVICES.iter().zip(nodes) {
        let path = format!("dev/{name}");
        drop(create(Path::new(&path))?);
        attach(&node, Path::new(&path))?;
    }
    Ok(())
}

/// Only what is attached may be cloned in part, so it is until the stage goes.
fn taken_apart(directory: &OwnedFd, stage: &str) -> io::Result<Vec<OwnedFd>> {
    let place = format!("{stage}/nodes");
    make_directory(&place)?;
    attach(directory, Path::new(&place))?;
    DEVICES
        .iter()
        .map(|(name, _)| {
            let node = rustix::mount::open_tree(CWD, format!("{place}/{name}"), CLONE)?;
            Ok(node)
        })
        .collect()
}
