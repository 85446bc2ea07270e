//! What a guest that waits is given before it begins: its limits and its files.
//!
//! The same laws hold as for a jail: paths are absolute and normal, and none
//! touches what the jail makes itself. Deliberately absent: programs. Nothing
//! that is attached can be executed, and nothing can be taken away again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::shown::Holds;
use super::{Jail, Mount, SealError};
use crate::limits::Limits;

/// For a guest that waits: its limits, and host directories to see.
#[must_use]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attachment {
    pub(crate) limits: Limits,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) begins: bool,
}

impl Attachment {
    /// No files yet, and these limits from now on.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            mounts: Vec::new(),
            begins: false,
        }
    }

    /// Whether it needs no start of its own: its wall time runs from when all
    /// is attached. Only a launched guest can, which hears of its work later.
    pub fn begins(mut self, begins: bool) -> Self {
        self.begins = begins;
        self
    }

    /// Shows a host directory from which nothing runs. Mounts below it are not shown.
    pub fn read_only(mut self, host: PathBuf, guest: PathBuf) -> Self {
        self.mounts.push(Mount {
            host,
            guest,
            holds: Holds::Data,
        });
        self
    }

    /// Checks what a seal would check.
    pub(crate) fn check(&self) -> Result<(), SealError> {
        let mut spec = Jail::new(self.limits).spec;
        spec.mounts.clone_from(&self.mounts);
        spec.limits.check()?;
        spec.check_paths()?;
        // These part the layers of an overlay.
        let parts = |mount: &&Mount| mount.guest.to_string_lossy().contains([':', '\\']);
        match self.mounts.iter().find(parts) {
            Some(mount) => Err(SealError::Path {
                path: mount.guest.clone(),
            }),
            None => Ok(()),
        }
    }
}
