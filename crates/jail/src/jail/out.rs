//! A large `/out`, which lies on a disk and not in the guest's memory.
//!
//! The rule: whoever has one was made for its one run. A guest that waits has
//! a small `/out` that is set larger later, which a disk cannot be.

use std::os::fd::OwnedFd;

use super::{Jail, Open, Origin, SealError, Spec};
use crate::event::Tier;
use crate::kernel::Kernel;

impl Jail<Open> {
    /// Lays `/out` into `image`: a nameless file of the host with an empty ext4
    /// in blocks of [`DISK_BLOCK_BYTES`](crate::DISK_BLOCK_BYTES), which holds
    /// somewhat more than the limits of bytes and files.
    pub fn out_on_disk(mut self, image: OwnedFd) -> Self {
        self.spec.out_on_disk = true;
        self.disk = Some(image);
        self
    }
}

impl Spec {
    pub(super) fn check_out(&self, kernel: &Kernel) -> Result<(), SealError> {
        let made_for_one_run = self.waiting.is_none() && self.origin == Origin::Program;
        match kernel.tier {
            _ if !self.out_on_disk => Ok(()),
            Tier::Full if made_for_one_run && !kernel.ordinary_user => Ok(()),
            _ => Err(SealError::Disk),
        }
    }
}
