//! A large `/out`: a file system of its own in a file of the host.
//!
//! The supervisor makes the file: nameless, of the full size, with an empty
//! ext4 in it. Here it becomes a mount, through a loop device that lets go of
//! the file with its last user. So bytes and files are bounded by what the file
//! system holds, the room is taken before the guest begins, and when the last
//! process and the last handle are gone, whoever killed them, nothing is left.
//! The guest never touches the file or the device, and the kernel never reads
//! a file system that a guest could write beside it. Deliberately absent: an
//! ordinary user's, who may mount no file system of a disk.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::limits::Limits;
use crate::mutation::mount_flags;
use crate::syscall;

/// The size of a block, of the device and of the file system.
pub const DISK_BLOCK_BYTES: u32 = 4096;
/// How often somebody else may take a device that was free a moment ago.
const DEVICES_TRIED_MAX: u32 = 64;
const CONTROL: &str = "/dev/loop-control";
const KIND: &str = "ext4";
/// What the making of a file system leaves in it.
const LEFT_OVER: &str = "lost+found";

/// A mount of the file system in `image`, in no namespace.
pub(crate) fn mount(image: impl AsFd, flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let (device, path) = device(image)?;
    let context = rustix::mount::fsopen(KIND, FsOpenFlags::FSOPEN_CLOEXEC).map_err(said(KIND))?;
    rustix::mount::fsconfig_set_string(&context, "source", &path).map_err(said("name it"))?;
    // Nobody reads it after a crash, so it need not wait for the disk.
    for option in ["nobarrier", "noinit_itable"] {
        rustix::mount::fsconfig_set_flag(&context, option).map_err(said(option))?;
    }
    rustix::mount::fsconfig_create(&context).map_err(said("read it"))?;
    let flags = mount_flags(flags);
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .map_err(said("mount it"))?;
    drop(device);
    Ok(mount)
}

/// Hands an empty file system to the user that will write to it.
pub(crate) fn hand_over(mount: &OwnedFd, limits: &Limits, user: (u32, u32)) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(mount, c".", flags, Mode::empty())?;
    match rustix::fs::unlinkat(&root, LEFT_OVER, AtFlags::REMOVEDIR) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    rustix::fs::fchmod(&root, Mode::RWXU)?;
    let (user, group) = (Uid::from_raw(user.0), Gid::from_raw(user.1));
    rustix::fs::fchown(&root, Some(user), Some(group))?;
    let found = rustix::fs::fstatfs(&root)?;
    let room = found.f_bavail.saturating_mul(u64::from(DISK_BLOCK_BYTES));
    match limits.out_bytes < room && limits.out_files < found.f_ffree {
        true => Ok(()),
        false => Err(io::Error::other("it holds less than its limits")),
    }
}

/// Whether a file system that was handed over went over its limits. It holds
/// somewhat more than they allow, so what lies beyond them was written.
pub(crate) fn is_over(root: &OwnedFd, limits: &Limits) -> bool {
    match rustix::fs::fstatfs(root) {
        Ok(found) => {
            let blocks = found.f_blocks.saturating_sub(found.f_bfree);
            let used = blocks.saturating_mul(u64::from(DISK_BLOCK_BYTES));
            limits.out_bytes < used || found.f_ffree == 0
        }
        Err(_) => false,
    }
}

/// Tries what a large `/out` needs, and lets go of it again.
///
/// # Errors
///
/// Says which step this host does not allow.
pub fn disk_rehearse(image: OwnedFd) -> io::Result<()> {
    mount(image, MountAttrFlags::MOUNT_ATTR_NOEXEC).map(drop)
}

/// A loop device with `image` in it.
fn device(image: impl AsFd) -> io::Result<(OwnedFd, String)> {
    let open = |path: &Path| {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened.map_err(said(&path.display().to_string()))
    };
    let control = open(Path::new(CONTROL))?;
    for _ in 0..DEVICES_TRIED_MAX {
        let number = syscall::loop_device_free(&control)?;
        let path = format!("/dev/loop{number}");
        let device = open(Path::new(&path))?;
        match syscall::loop_device_fill(&device, &image, DISK_BLOCK_BYTES) {
            Ok(()) => return Ok((device, path)),
            // Somebody else was quicker.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("every loop device is taken"))
}

fn said(attempt: &str) -> impl Fn(rustix::io::Errno) -> io::Error {
    move |errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("{attempt}: {error}"))
    }
}
