//! The disk of a large `/out`: a file without a name, of its full size, with an
//! empty file system in it.
//!
//! A small `/out` lies in the run's memory. A large one would need as much
//! memory, so it lies here. The room is set aside before the guest begins: what
//! the host does not have is said at the start and to whom it concerns, and a
//! guest can fill what was set aside and nothing else. The file never has a
//! name, so nothing is left of it, whoever dies. Deliberately absent: a folder
//! of the host that is watched while it grows, which a guest can outrun.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{FallocateFlags, fallocate, fstatfs, fstatvfs};
use strongroom_core::{
    limits::{Limits, MIB},
    text,
};
use strongroom_jail::{DISK_BLOCK_BYTES, Kernel, Tier, disk_rehearse};

use crate::prepare::with_sources;

/// The largest `/out` that lies in memory.
pub const OUT_IN_MEMORY_BYTES_MAX: u64 = 64 * MIB;
/// What the host's own must have left when room has been set aside. What is
/// collected is written beside it, so the room is looked for twice.
const HOST_FREE_BYTES_MIN: u64 = 256 * MIB;
/// What the file system's own tables take, beside a share of its size: an
/// index for a file is 256 bytes, and the kernel keeps 16 MiB to itself.
const OWN_BYTES: u64 = 32 * MIB;
const OWN_SHARE: u64 = 64;
const INDEX_BYTES: u64 = 256;
/// Files that are there from the beginning.
const OWN_FILES: u64 = 16;
/// Where the program that makes file systems may lie.
const MAKERS: [&str; 3] = ["/usr/sbin/mke2fs", "/sbin/mke2fs", "/usr/bin/mke2fs"];
/// What the file system can do: nothing that outlives a crash, and no check of
/// what was never read back.
const FEATURES: &str = "none,extent,filetype,sparse_super,large_file,flex_bg,uninit_bg,dir_nlink,extra_isize,dir_index";
/// Magic numbers of file systems that lie in memory.
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
/// And of ours.
const EXT4: i64 = 0xef53;

/// Why there is no disk for a large `/out`.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error(
        "/out may hold {out_bytes} bytes, which do not fit into the run's memory of {memory_bytes} bytes, and cannot lie on a disk here: {why}"
    )]
    NeedsDisk {
        out_bytes: u64,
        memory_bytes: u64,
        why: String,
    },
    #[error("{folder} lies in memory itself")]
    InMemory { folder: PathBuf },
    #[error(
        "the disk with {folder} has {free} bytes free, and an /out of {wanted} bytes needs that twice and some"
    )]
    NoRoom {
        folder: PathBuf,
        free: u64,
        wanted: u64,
    },
    #[error("there is no mke2fs; install e2fsprogs")]
    NoMaker,
    #[error("mke2fs failed: {said}")]
    Maker { said: String },
    #[error("could not {attempt} for /out")]
    Io {
        attempt: &'static str,
        source: io::Error,
    },
}

/// Whether `/out` is too large for memory.
pub(crate) fn is_large(limits: &Limits) -> bool {
    OUT_IN_MEMORY_BYTES_MAX < limits.out_bytes
}

/// Whether an `/out` lies on a disk.
pub(crate) fn is_disk(root: &OwnedFd) -> bool {
    fstatfs(root).is_ok_and(|found| found.f_type == EXT4)
}

/// Where large outputs lie on this host.
pub(crate) struct Disks {
    folder: PathBuf,
    /// They were tried, and can be had.
    proven: AtomicBool,
}

impl Disks {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            proven: AtomicBool::new(false),
        }
    }

    /// Why no large `/out` can lie on a disk here, found out by trying.
    ///
    /// Blocking, the first time: it writes some kilobytes and runs a program.
    pub(crate) fn why_not(&self, kernel: &Kernel) -> Option<String> {
        match kernel.tier {
            Tier::Full if kernel.ordinary_user => {
                return Some("the station runs as an ordinary user, who may mount none".to_owned());
            }
            // There every /out is a folder of the host already.
            Tier::Reduced => return Some("the tier is reduced".to_owned()),
            Tier::Full if self.proven.load(Ordering::Relaxed) => return None,
            Tier::Full => {}
        }
        let tried = disk(&self.folder, MIB, 1)
            .and_then(|image| disk_rehearse(image).map_err(failed("mount a disk")));
        self.proven.store(tried.is_ok(), Ordering::Relaxed);
        tried.err().map(|error| with_sources(&error))
    }

    /// The disk for a run with these limits; `None` where its `/out` lies in
    /// memory, or in a folder where the tier has it so.
    ///
    /// Blocking, as [`Disks::why_not`].
    ///
    /// # Errors
    ///
    /// [`DiskError::NeedsDisk`] asks for what this host does not offer; all
    /// others are the host's fault.
    pub(crate) fn disk_for(
        &self,
        kernel: &Kernel,
        limits: &Limits,
    ) -> Result<Option<OwnedFd>, DiskError> {
        if !is_large(limits) || kernel.tier == Tier::Reduced {
            return Ok(None);
        }
        match self.why_not(kernel) {
            None => disk(&self.folder, limits.out_bytes, limits.out_files.into()).map(Some),
            Some(_) if limits.out_bytes <= limits.memory_bytes => Ok(None),
            Some(why) => Err(DiskError::NeedsDisk {
                out_bytes: limits.out_bytes,
                memory_bytes: limits.memory_bytes,
                why,
            }),
        }
    }
}

fn disk(folder: &Path, out_bytes: u64, files: u64) -> Result<OwnedFd, DiskError> {
    let file = tempfile::tempfile_in(folder).map_err(failed("make a file"))?;
    let bytes = size(out_bytes, files);
    set_aside(&file, folder, bytes)?;
    make_file_system(&file, files)?;
    Ok(file.into())
}

/// What holds so many bytes and files, with the tables of the file system and
/// one step beyond both bounds, by which a full one shows.
fn size(out_bytes: u64, files: u64) -> u64 {
    let tables = out_bytes / OWN_SHARE + (files + OWN_FILES) * INDEX_BYTES + OWN_BYTES;
    let block = u64::from(DISK_BLOCK_BYTES);
    // A file takes whole blocks, and a folder at least one.
    let whole = (out_bytes + tables + files * block).div_ceil(block);
    whole * block
}

fn set_aside(file: &File, folder: &Path, bytes: u64) -> Result<(), DiskError> {
    let kind = fstatfs(file).map_err(|errno| failed("look at the disk")(errno.into()))?;
    if [TMPFS, RAMFS].contains(&kind.f_type) {
        let folder = folder.to_owned();
        return Err(DiskError::InMemory { folder });
    }
    let found = fstatvfs(file).map_err(|errno| failed("look at the disk")(errno.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free < bytes.saturating_mul(2).saturating_add(HOST_FREE_BYTES_MIN) {
        return Err(DiskError::NoRoom {
            folder: folder.to_owned(),
            free,
            wanted: bytes,
        });
    }
    fallocate(file, FallocateFlags::empty(), 0, bytes)
        .map_err(|errno| failed("set room aside")(errno.into()))
}

fn make_file_system(file: &File, files: u64) -> Result<(), DiskError> {
    let maker = MAKERS.iter().find(|path| Path::new(path).exists());
    let maker = maker.ok_or(DiskError::NoMaker)?;
    let input = file.try_clone().map_err(failed("pass on the file"))?;
    let made = Command::new(maker)
        .args(["-q", "-F", "-O", FEATURES, "-I", "256"])
        .args(["-m", "0", "-b", &DISK_BLOCK_BYTES.to_string()])
        .args(["-N", &(files + OWN_FILES).to_string()])
        .args(["-E", "nodiscard,lazy_itable_init=1", "/proc/self/fd/0"])
        // Its configuration on this host is for disks of other kinds.
        .env_clear()
        .env("MKE2FS_CONFIG", "/dev/null")
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(failed("make a file system"))?;
    match made.status.success() {
        true => Ok(()),
        false => Err(DiskError::Maker {
            said: text::shown(&String::from_utf8_lossy(&made.stderr), 300),
        }),
    }
}

fn failed(attempt: &'static str) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError::Io { attempt, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn room_that_the_disk_does_not_have_is_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile_in(folder.path()).unwrap();
        if matches!(fstatfs(&file).unwrap().f_type, TMPFS | RAMFS) {
            return;
        }
        let error = set_aside(&file, folder.path(), 1 << 60).unwrap_err();
        assert!(matches!(error, DiskError::NoRoom { .. }), "{error}");
        assert_eq!(file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_disk_holds_more_than_its_limits_and_no_more_than_a_tenth_and_its_tables() {
        for (bytes, files) in [(64 * MIB + 1, 1), (5 << 30, 1000), (16 << 30, 100_000)] {
            let size = size(bytes, files);
            assert!(size.is_multiple_of(u64::from(DISK_BLOCK_BYTES)));
            let tables = files * (INDEX_BYTES + u64::from(DISK_BLOCK_BYTES)) + 2 * OWN_BYTES;
            assert!(bytes < size && size < bytes + bytes / 10 + tables);
        }
    }
}
