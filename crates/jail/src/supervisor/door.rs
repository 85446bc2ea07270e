//! The way in to a guest that was launched ahead of its work.
//!
//! Such a guest reads one frame from its standard input: bytes that say what to
//! do, and the descriptor that is to be its real input. Using a door consumes
//! it, and nothing ever comes back through one.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::SendFlags;

use crate::jail::sealed_memory;
use crate::wire;

/// Our end of what a launched guest reads its work from.
#[must_use]
#[derive(Debug)]
pub struct Door(OwnedFd);

/// The most that can be said through a door, in bytes.
pub const WORK_BYTES_MAX: usize = wire::FRAME_BYTES_MAX;

impl Door {
    /// A door, and the end of it that the guest gets.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = wire::pair()?;
        Ok((Self(ours), theirs))
    }

    /// Hands in the work. `input` is sealed as for [`Jail::stdin`](crate::Jail::stdin).
    ///
    /// # Errors
    ///
    /// When the guest is gone, or the work is empty or longer than [`WORK_BYTES_MAX`].
    pub fn hand_in(self, work: &[u8], input: Option<OwnedFd>) -> io::Result<()> {
        if work.is_empty() || WORK_BYTES_MAX < work.len() {
            return Err(io::Error::other("the work does not fit into one frame"));
        }
        let input = sealed_memory(input)?;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        wire::send_encoded(&self.0, work, &[input.as_fd()], flags)
    }
}
