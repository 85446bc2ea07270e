//! Where a warden's private folders lie, and what dead wardens left there.
//!
//! All wardens of one user share a folder that only this user writes. Each has
//! a folder of its own in it, locked while it lives; what is not locked is
//! left over and removed. `users-N` are the locks of [`super::users`].

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::users::{self, Block};
use super::{User, clear, ending, weigh};
use crate::mutation::{Part, stands};
use crate::supervisor::WardenConfig;

const OWN: &str = "station-";

/// A warden's own folder, and its users.
pub(super) struct Place {
    path: PathBuf,
    _lock: OwnedFd,
    block: Option<Block>,
    runs: u64,
}

impl Place {
    /// Makes the folder, claims users, and clears away what the dead have left.
    pub(super) fn open(config: &WardenConfig) -> io::Result<Self> {
        let uid = rustix::process::geteuid();
        let shared = config.folder.join(format!("strongroom-reduced-{uid}"));
        make_shared(&shared, uid.as_raw())?;
        // Between the making of a folder and its lock nobody may clear up.
        let _alone = lock_file(&shared.join("lock"), FlockOperation::LockExclusive)?;
        clear_leftovers(&shared);
        // One more for the rehearsal.
        let users = config.slots_max + 1;
        let block = match uid.is_root() {
            true => Some(users::claim(&shared, config.uid_base, users)?),
            false => None,
        };
        if let Some(block) = &block {
            ending::kill_users(block.first, users)?;
        }
        let path = shared.join(format!("{OWN}{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o711).create(&path)?;
        let lock = weigh::open(&path)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self {
            path,
            _lock: lock,
            block,
            runs: 0,
        })
    }

    /// A name for the next run's folder.
    pub(super) fn next(&mut self) -> PathBuf {
        self.runs += 1;
        self.path.join(format!("run-{}", self.runs))
    }

    /// Whether a guest is the station's own user.
    pub(super) fn shares_user(&self) -> bool {
        self.block.is_none()
    }

    /// The lock on the users, which a keeper holds too.
    pub(super) fn users_lock(&self) -> Option<u32> {
        self.block.as_ref().map(Block::lock)
    }

    /// Who the guest of a slot is.
    pub(super) fn user(&self, index: u32) -> User {
        match &self.block {
            Some(block) => {
                let index = if stands(Part::UserPerSlot) { index } else { 0 };
                let id = block.first + index;
                User {
                    uid: id,
                    gid: id,
                    shared: false,
                }
            }
            None => User {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                shared: true,
            },
        }
    }

    /// Removes the folder, unless the `/out` of a run is still being collected:
    /// then the next start does.
    pub(super) fn leave(&self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

fn make_shared(path: &Path, uid: u32) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o711).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = path.symlink_metadata()?;
    let safe = found.is_dir() && found.uid() == uid && found.mode() & 0o022 == 0;
    match safe {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{} is not a folder that only user {uid} writes",
            path.display()
        ))),
    }
}

fn lock_file(path: &Path, how: FlockOperation) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::flock(&file, how)?;
    Ok(File::from(file))
}

fn clear_leftovers(shared: &Path) {
    for entry in std::fs::read_dir(shared).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(OWN) {
            continue;
        }
        let free = FlockOperation::NonBlockingLockExclusive;
        let dead =
            weigh::open(&entry.path()).is_ok_and(|folder| rustix::fs::flock(&folder, free).is_ok());
        if dead {
            let runs = std::fs::read_dir(entry.path());
            for run in runs.into_iter().flatten().flatten() {
                let _ = collected(&run.path());
            }
            // What could not be removed is the next start's.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// Removes the folder of a run whose `/out` nobody holds any more; `true` when
/// it is gone.
pub(super) fn collected(run: &Path) -> bool {
    if let Ok(out) = weigh::open(&run.join("out")) {
        let free = FlockOperation::NonBlockingLockExclusive;
        if rustix::fs::flock(&out, free).is_err() {
            return false;
        }
    }
    clear::remove(run).is_ok() || !run.exists()
}
