//! Attaching: a guest that waits gets its limits and its files.
//!
//! The keeper does it, which is in the guest's control group and still in the
//! host's namespaces. It opens the host directories there, joins init's user
//! and mount namespaces for good, and lays the same private overlays that a
//! guest has from the start. A guest that does not wait idly sees one overlay
//! after another appear, whole, and nothing else. Deliberately absent: detaching.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::FsPickFlags;
use rustix::process::Pid;

use super::mounting::{attach, below_root, file_system, make_directory_path};
use super::root::{self, NO_EXEC, RDONLY, READ_ONLY};
use super::{GUEST_ID, die_with_parent, privileges};
use crate::cgroup::Leaf;
use crate::jail::{Attachment, Mount};
use crate::kernel::{
    BOUNDED_TMPFS, OTHER_NAMESPACES, PRIVATE_ROOT, READ_ONLY_OVERLAY, RESOURCE_LIMITS,
    USER_NAMESPACE,
};
use crate::limits::Limits;
use crate::mutation::{Part, mount_flags, stands};
use crate::protocol::{OrRefuse as _, Refusal};
use crate::syscall;

/// Where a guest waits, seen from its keeper.
pub(super) struct Place<'a> {
    pub(super) leaf: &'a Leaf,
    pub(super) warden: Pid,
    pub(super) init: i32,
    pub(super) inside: &'a Inside,
}

/// The namespaces of a sandbox that its keeper may have to enter. They are
/// opened before init hides itself, since an ordinary user could not later.
pub(super) struct Inside {
    pub(super) user: OwnedFd,
    pub(super) mounts: OwnedFd,
}

impl Inside {
    pub(super) fn of(init: i32) -> io::Result<Self> {
        let open = |kind| File::open(format!("/proc/{init}/ns/{kind}")).map(OwnedFd::from);
        Ok(Self {
            user: open("user")?,
            mounts: open("mnt")?,
        })
    }

    pub(super) fn each(&self) -> [&OwnedFd; 2] {
        [&self.user, &self.mounts]
    }
}

/// Gives the guest what is attached.
pub(super) fn attach_to(place: &Place<'_>, attachment: &Attachment) -> Result<(), Refusal> {
    let directories = root::open_directories(&attachment.mounts)?;
    let own = own_namespaces().or_refuse(OTHER_NAMESPACES, "find its own namespaces")?;
    limit(place, &attachment.limits)?;
    join(place)?;
    let overlays = out_of_sight(attachment, &directories)?;
    keep_mounts(&own).or_refuse(OTHER_NAMESPACES, "keep the copy of the mounts")?;
    syscall::enter(&place.inside.mounts, libc::CLONE_NEWNS)
        .or_refuse(OTHER_NAMESPACES, "return to the sandbox's mounts")?;
    for (mount, overlay) in attachment.mounts.iter().zip(overlays) {
        attach(&overlay, &mount.guest).or_refuse(READ_ONLY_OVERLAY, &laying(mount))?;
    }
    resize(&attachment.limits).or_refuse(BOUNDED_TMPFS, "set the sizes of /out and /tmp")
}

/// Limits the worker. A second look finds what it started before it was limited.
fn limit(place: &Place<'_>, limits: &Limits) -> Result<(), Refusal> {
    let alone = || worker(place).or_refuse(RESOURCE_LIMITS, "find the worker");
    privileges::limit_resources_of(alone()?, limits)?;
    alone().map(drop)
}

/// Makes the places in the guest's root, and the overlays for them, in a copy
/// of its mounts that nobody else is in: it must neither find its root writable
/// nor a host directory without its overlay, not even for a moment.
fn out_of_sight(attachment: &Attachment, directories: &[OwnedFd]) -> Result<Vec<OwnedFd>, Refusal> {
    syscall::unshare(libc::CLONE_NEWNS).or_refuse(OTHER_NAMESPACES, "copy the mounts")?;
    let root = make_places(&attachment.mounts).or_refuse(PRIVATE_ROOT, "make places for files")?;
    let pairs = attachment.mounts.iter().zip(directories);
    pairs
        .map(|(mount, copy)| {
            overlay(&root, mount, copy).or_refuse(READ_ONLY_OVERLAY, &laying(mount))
        })
        .collect()
}

/// The keeper's, which are found at no path any more once it has joined.
fn own_namespaces() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/proc/self/ns", flags, Mode::empty())?)
}

/// Holds the copy of the mounts until the keeper ends: letting it go takes as
/// long as the kernel needs to see every processor pass by, and a run waits.
fn keep_mounts(own: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    std::mem::forget(rustix::fs::openat(own, "mnt", flags, Mode::empty())?);
    Ok(())
}

fn laying(mount: &Mount) -> String {
    format!("lay an overlay over {}", mount.guest.display())
}

/// The one process in the group that is neither the keeper nor init.
fn worker(place: &Place<'_>) -> io::Result<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut others = place.leaf.processes();
    others.retain(|pid| *pid != own && *pid != place.init);
    match others.as_slice() {
        [one] => Pid::from_raw(*one).ok_or_else(|| io::Error::other("a process without a number")),
        _ => Err(io::Error::other(format!("{} processes wait", others.len()))),
    }
}

/// Becomes the sandbox's user, with power over its mounts and nothing else.
fn join(place: &Place<'_>) -> Result<(), Refusal> {
    let inside = place.inside;
    if stands(Part::UserNamespace) {
        syscall::enter(&inside.user, libc::CLONE_NEWUSER)
            .or_refuse(USER_NAMESPACE, "join the sandbox's user")?;
    }
    syscall::enter(&inside.mounts, libc::CLONE_NEWNS)
        .or_refuse(OTHER_NAMESPACES, "join the sandbox's mounts")?;
    privileges::become_user(GUEST_ID).or_refuse(USER_NAMESPACE, "become its one user")?;
    die_with_parent()?;
    if rustix::process::getppid() != Some(place.warden) {
        syscall::exit_now(super::REFUSED);
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// Makes an empty directory for each mount. Only this copy of the root is writable.
fn make_places(mounts: &[Mount]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty())?;
    rustix::process::fchdir(&root)?;
    let writable = u64::from(mount_flags(RDONLY).bits());
    syscall::mount_clear(&root, writable)?;
    for mount in mounts {
        make_directory_path(&below_root(&mount.guest)?)?;
    }
    Ok(root)
}

/// A private overlay over a copy of a host directory. Its own place, which is
/// empty, is the other layer.
fn overlay(root: &OwnedFd, mount: &Mount, copy: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::process::fchdir(root)?;
    let place = rustix::fs::openat(CWD, below_root(&mount.guest)?, flags, Mode::empty())?;
    if rustix::fs::fstat(&place)?.st_dev != rustix::fs::fstat(root)?.st_dev {
        return Err(io::Error::other(
            "the place lies in another directory that is shown",
        ));
    }
    rustix::process::fchdir(&place)?;
    attach(copy, Path::new("."))?;
    let layers = format!("{}:.", mount.guest.display());
    let overlay = file_system("overlay", &[("lowerdir", &layers)], READ_ONLY | NO_EXEC)?;
    rustix::process::fchdir(root)?;
    Ok(overlay)
}

fn resize(limits: &Limits) -> io::Result<()> {
    let sizes = [
        ("/out", root::out_size(limits)),
        ("/tmp", root::scratch_size(limits)),
    ];
    for (path, (bytes, files)) in sizes {
        let picked = rustix::mount::fspick(CWD, path, FsPickFlags::FSPICK_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&picked, "size", bytes.to_string())?;
        rustix::mount::fsconfig_set_string(&picked, "nr_inodes", files.to_string())?;
        rustix::mount::fsconfig_reconfigure(&picked)?;
    }
    Ok(())
}
