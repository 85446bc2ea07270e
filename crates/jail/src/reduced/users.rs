//! The users that guests are: one for each slot, and nobody else's.
//!
//! All processes of a user are killed at the end of its run, so no two wardens
//! may have a user in common. Each claims a block of users by a lock on a file
//! that stands for it, held for as long as the warden or one of its keepers
//! lives.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::syscall;

/// Blocks that are tried.
const BLOCKS_MAX: u32 = 64;
/// Far from the users of the full tier, which have the same beginning.
const APART: u32 = 1 << 20;
/// Below it are the users of ordinary systems.
const LEAST: u32 = 10_000;

/// A block of users, claimed.
pub(super) struct Block {
    pub(super) first: u32,
    lock: File,
}

impl Block {
    /// What claims the block for as long as anybody holds it open.
    pub(super) fn lock(&self) -> u32 {
        syscall::number(&self.lock)
    }
}

/// Claims `count` users that exist here.
pub(super) fn claim(folder: &Path, uid_base: u32, count: u32) -> io::Result<Block> {
    let mapped = mapped(&std::fs::read_to_string("/proc/self/uid_map")?);
    for block in 0..BLOCKS_MAX {
        let Some(first) = first_of(block, &mapped, uid_base, count) else {
            break;
        };
        let path = folder.join(format!("users-{first}"));
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let lock = File::from(lock);
                return Ok(Block { first, lock });
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("no block of users is free"))
}

/// Ranges of users that exist in this user namespace: first and past the last.
fn mapped(map: &str) -> Vec<(u64, u64)> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let first = numbers.next()?.ok()?;
        let count = numbers.nth(1)?.ok()?;
        Some((first, first + count))
    };
    map.lines().filter_map(range).collect()
}

/// The first user of a block: above the given base where such users exist,
/// else counted down from the highest that does.
fn first_of(block: u32, mapped: &[(u64, u64)], uid_base: u32, count: u32) -> Option<u32> {
    let wanted = u64::from(uid_base) + u64::from(APART) + u64::from(block) * u64::from(count);
    let exists = |first: u64| {
        let past = first + u64::from(count);
        mapped
            .iter()
            .any(|(low, high)| *low <= first && past <= *high)
    };
    if exists(wanted) && wanted < 1 << 31 {
        return u32::try_from(wanted).ok();
    }
    let highest = mapped.iter().map(|(_, high)| *high).max()?.min(1 << 31);
    let first = highest.checked_sub(u64::from(count) * (u64::from(block) + 1))?;
    let first = u32::try_from(first).ok()?;
    (LEAST <= first && exists(u64::from(first))).then_some(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{claim, first_of, mapped};

    #[test]
    fn users_are_taken_where_they_exist() {
        let whole = mapped("         0          0 4294967295\n");
        assert_eq!(
            first_of(1, &whole, 200_000, 10),
            Some(200_000 + (1 << 20) + 10)
        );
        let narrow = mapped("0 100000 65536\n");
        assert_eq!(first_of(0, &narrow, 200_000, 100), Some(65_436));
        assert_eq!(first_of(1, &narrow, 200_000, 100), Some(65_336));
        assert_eq!(first_of(0, &mapped("1000 1000 1\n"), 200_000, 2), None);
    }

    #[test]
    fn two_wardens_have_no_user_in_common() {
        let folder = tempfile::tempdir().unwrap();
        let one = claim(folder.path(), 300_000, 8).unwrap();
        let other = claim(folder.path(), 300_000, 8).unwrap();
        assert!(8 <= one.first.abs_diff(other.first));
        let first = one.first;
        drop(one);
        assert_eq!(claim(folder.path(), 300_000, 8).unwrap().first, first);
    }
}
