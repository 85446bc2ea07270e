//! The guest's file system: a private read-only root made of nothing.
//!
//! Host directories are opened by the keeper, which may pass through private
//! homes, as detached copies of their mounts that are read-only already. Init
//! puts each behind an overlay of its own: then its inodes are private, and
//! locks, watches and cache questions tell nothing about neighbours. What can
//! be written is memory, bounded, and cannot execute. Mounts that lie below a
//! host directory are not shown. A large `/out` lies on a disk of its own, which
//! the keeper mounts.
//!
//! Everything is built from relative paths below the new root, which holds
//! only what we made, so no link of the host is ever followed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::mount::{MountAttrFlags, UnmountFlags};

use super::mounting::{
    CLONE, attach, attach_at, below_root, create, detached_copy, file_system, make_directory,
    reopen, tmpfs,
};
use super::nodes;
use crate::disk;
use crate::jail::{Mount, Origin, Spec};
use crate::kernel::{BOUNDED_TMPFS, DEVICES, DISK, PRIVATE_ROOT, PROC, READ_ONLY_OVERLAY};
use crate::limits::Limits;
use crate::mutation::{Part, bound as bound_of, mount_flags, stands};
use crate::protocol::{Build, OrRefuse as _, Refusal};
use crate::syscall;

pub(super) const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);
const WRITABLE: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC)
    .union(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW);
pub(super) const NO_EXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const LINKS: [(&str, &str); 4] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
];
/// Where layers wait while the root is built. A file system of its own, for two
/// reasons: what was attached in it is detached with it, at once, which spares
/// waiting for the kernel once per layer; and the directories that layers lie in
/// stay, since an overlay over one that was removed looks empty when it is listed.
const STAGE: &str = ".stage";
/// The root itself holds directories, links and the generated files.
const ROOT_BYTES: u64 = 256 * 1024;
const ROOT_FILES: u64 = 1024;
const PAGE_BYTES: u64 = 4096;
/// The most files in `/tmp` and `/dev/shm` together.
const SCRATCH_FILES_MAX: u64 = 65_536;

/// Detached mounts of host directories, in the order of the spec, and devices.
pub(super) struct Sources {
    directories: Vec<OwnedFd>,
    nodes: nodes::Nodes,
    /// What `/out` is, if it does not lie in memory.
    disk: Option<OwnedFd>,
}

/// What outlives the build.
pub(super) struct Built {
    pub(super) out: OwnedFd,
    pub(super) scratch: OwnedFd,
    pub(super) proc: bool,
}

/// Opens everything of the host that the guest will see, while we still may.
pub(super) fn open_sources(spec: &Spec, disk: Option<OwnedFd>) -> Result<Sources, Refusal> {
    let directories = open_directories(&spec.mounts)?;
    let nodes = nodes::open().or_refuse(DEVICES, "open the device nodes")?;
    Ok(Sources {
        directories,
        nodes,
        disk,
    })
}

/// The mount of a large `/out`, empty and the guest's.
pub(super) fn open_disk(order: &Build, image: Option<OwnedFd>) -> Result<OwnedFd, Refusal> {
    let image = image.ok_or("it was not handed over");
    let image = image.or_refuse(DISK, "find the disk of /out")?;
    let mount = disk::mount(&image, WRITABLE).or_refuse(DISK, "mount the disk of /out")?;
    disk::hand_over(&mount, &order.spec.limits, (order.host_uid, order.host_gid))
        .or_refuse(DISK, "hand over the disk of /out")?;
    Ok(mount)
}

/// Detached, read-only copies of host directories.
pub(super) fn open_directories(mounts: &[Mount]) -> Result<Vec<OwnedFd>, Refusal> {
    mounts.iter().map(open_directory).collect()
}

fn open_directory(mount: &Mount) -> Result<OwnedFd, Refusal> {
    let attempt = format!("open the host directory for {}", mount.guest.display());
    let flags = if mount.is_executable() {
        READ_ONLY
    } else {
        READ_ONLY | NO_EXEC
    };
    let copy = detached_copy(&mount.host, flags).or_refuse(READ_ONLY_OVERLAY, &attempt)?;
    let found = rustix::fs::fstat(&copy).or_refuse(READ_ONLY_OVERLAY, &attempt)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => Ok(copy),
        _ => Err("not a directory").or_refuse(READ_ONLY_OVERLAY, &attempt),
    }
}

/// Builds the root and moves into it. The caller is pid 1 of new namespaces.
pub(super) fn build(spec: &Spec, sources: Sources) -> Result<Built, Refusal> {
    let root = enter_empty_root(spec)?;
    make_stage().or_refuse(PRIVATE_ROOT, "make the stage")?;
    for (index, (mount, copy)) in spec.mounts.iter().zip(sources.directories).enumerate() {
        overlay(index, mount, copy).or_refuse(
            READ_ONLY_OVERLAY,
            &format!("lay an overlay over {}", mount.guest.display()),
        )?;
    }
    nodes::show(sources.nodes, STAGE).or_refuse(DEVICES, "make /dev")?;
    let scratch = scratch(spec).or_refuse(BOUNDED_TMPFS, "make /tmp and /dev/shm")?;
    let out = out(spec, sources.disk).or_refuse(BOUNDED_TMPFS, "make /out")?;
    // A zygote's would show it the processes of its copies.
    let proc = spec.origin != Origin::Zygote && proc()?;
    write_files(spec, proc).or_refuse(PRIVATE_ROOT, "write files and links")?;
    remove_stage().or_refuse(PRIVATE_ROOT, "clear the stage")?;
    let flags = u64::from(mount_flags(READ_ONLY | NO_EXEC).bits());
    syscall::mount_set(&root, flags, 0, false)
        .or_refuse(PRIVATE_ROOT, "make the root read-only")?;
    pivot().or_refuse(PRIVATE_ROOT, "pivot into the root")?;
    Ok(Built { out, scratch, proc })
}

/// Makes the working directory a new, empty, attached tmpfs.
fn enter_empty_root(spec: &Spec) -> Result<OwnedFd, Refusal> {
    let host = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .or_refuse(PRIVATE_ROOT, "open the host's root")?;
    syscall::mount_set(host, 0, libc::MS_PRIVATE, true)
        .or_refuse(PRIVATE_ROOT, "separate its mounts from the host's")?;
    let content: usize = spec.files.iter().map(|(_, content)| content.len()).sum();
    let bytes = ROOT_BYTES + content as u64 + PAGE_BYTES * spec.files.len() as u64;
    let root = tmpfs(bytes, ROOT_FILES, "0755", READ_ONLY.difference(RDONLY))
        .or_refuse(PRIVATE_ROOT, "make a tmpfs")?;
    // Any directory that every host has will do; it is out of sight after the pivot.
    attach(&root, Path::new("/dev")).or_refuse(PRIVATE_ROOT, "attach the root")?;
    rustix::process::fchdir(&root).or_refuse(PRIVATE_ROOT, "enter the root")?;
    Ok(root)
}

pub(super) const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// With the empty layer, which gives overlays something to lie over.
fn make_stage() -> io::Result<()> {
    make_directory(STAGE)?;
    let flags = READ_ONLY.difference(RDONLY) | NO_EXEC;
    let stage = tmpfs(PAGE_BYTES, ROOT_FILES, "0755", flags)?;
    attach(stage, Path::new(STAGE))?;
    make_directory(&format!("{STAGE}/empty"))
}

fn remove_stage() -> io::Result<()> {
    rustix::mount::unmount(STAGE, UnmountFlags::DETACH)?;
    Ok(rustix::fs::unlinkat(CWD, STAGE, AtFlags::REMOVEDIR)?)
}

fn overlay(index: usize, mount: &Mount, copy: OwnedFd) -> io::Result<()> {
    let stage = format!("{STAGE}/{index}");
    make_directory(&stage)?;
    if !stands(Part::ReadOnlyOverlay) {
        return attach_at(&copy, &mount.guest);
    }
    attach(&copy, Path::new(&stage))?;
    let layers = format!("{stage}:{STAGE}/empty");
    let flags = if mount.is_executable() {
        READ_ONLY
    } else {
        READ_ONLY | NO_EXEC
    };
    let overlay = file_system("overlay", &[("lowerdir", &layers)], flags)?;
    attach_at(&overlay, &mount.guest)
}

/// One bounded tmpfs, shown as two directories.
fn scratch(spec: &Spec) -> io::Result<OwnedFd> {
    let (bytes, files) = scratch_size(&spec.limits);
    let scratch = tmpfs(bytes, files, "0755", WRITABLE)?;
    let stage = format!("{STAGE}/scratch");
    make_directory(&stage)?;
    attach(&scratch, Path::new(&stage))?;
    for (name, guest) in [("tmp", "tmp"), ("shm", "dev/shm")] {
        let inside = format!("{stage}/{name}");
        rustix::fs::mkdirat(CWD, inside.as_str(), Mode::RWXU)?;
        let part = rustix::mount::open_tree(CWD, inside.as_str(), CLONE)?;
        make_directory(guest)?;
        attach(&part, Path::new(guest))?;
    }
    reopen(&scratch)
}

fn out(spec: &Spec, disk: Option<OwnedFd>) -> io::Result<OwnedFd> {
    let (bytes, files) = out_size(&spec.limits);
    let out = match disk {
        Some(disk) => disk,
        None => tmpfs(bytes, files, "0700", WRITABLE)?,
    };
    make_directory("out")?;
    attach(&out, Path::new("out"))?;
    reopen(&out)
}

/// Bytes and files of `/tmp` and `/dev/shm` together.
pub(super) fn scratch_size(limits: &Limits) -> (u64, u64) {
    let bytes = bound(limits.tmp_bytes);
    let files = (bytes / PAGE_BYTES + 16).min(SCRATCH_FILES_MAX);
    (bytes, bound_of(Part::TmpfsFiles, files))
}

/// Bytes and files of `/out`.
pub(super) fn out_size(limits: &Limits) -> (u64, u64) {
    // The root takes one; one more tells a full directory from one over its limit.
    let files = bound_of(Part::TmpfsFiles, limits.out_files + 2);
    (bound(limits.out_bytes), files)
}

/// Whole pages, and one more: a file system without a free page is over its limit.
fn bound(bytes: u64) -> u64 {
    bound_of(
        Part::TmpfsBytes,
        bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES + PAGE_BYTES,
    )
}

/// The sandbox's own `/proc`; `false` where the host hides parts of its own
/// and therefore allows no new one.
fn proc() -> Result<bool, Refusal> {
    make_directory("proc").or_refuse(PROC, "make its directory")?;
    let options = [
        ("hidepid", "invisible", Part::ProcOthersHidden),
        ("subset", "pid", Part::ProcOnlyProcesses),
    ];
    let options: Vec<_> = options
        .into_iter()
        .filter(|(_, _, part)| stands(*part))
        .map(|(key, value, _)| (key, value))
        .collect();
    match file_system("proc", &options, READ_ONLY | NO_EXEC) {
        Ok(proc) => attach(&proc, Path::new("proc"))
            .or_refuse(PROC, "attach it")
            .map(|()| true),
        Err(_) => {
            let removed = rustix::fs::unlinkat(CWD, "proc", AtFlags::REMOVEDIR);
            removed.or_refuse(PROC, "do without it").map(|()| false)
        }
    }
}

fn write_files(spec: &Spec, proc: bool) -> io::Result<()> {
    for (guest, content) in &spec.files {
        use io::Write as _;
        let path = below_root(guest)?;
        std::fs::File::from(create(&path)?).write_all(content)?;
    }
    for (guest, target) in &spec.symlinks {
        rustix::fs::symlinkat(target, CWD, below_root(guest)?)?;
    }
    for (link, target) in LINKS.iter().filter(|_| proc) {
        rustix::fs::symlinkat(*target, CWD, *link)?;
    }
    Ok(())
}

fn pivot() -> io::Result<()> {
    rustix::process::pivot_root(".", ".")?;
    // The old root now lies over the new one, at the same place.
    if stands(Part::OldRootDetached) {
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    }
    Ok(rustix::process::chdir("/")?)
}
