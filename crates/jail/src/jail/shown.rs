//! Host directories that a guest sees, and what they are to it.
//!
//! All are read-only. Programs run from a runtime alone; and a directory that
//! holds somebody's data is told from others, since it must not be seen by a
//! guest that reaches a network.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Jail, Open};

/// A host directory shown to the guest, read-only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub(crate) host: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) holds: Holds,
}

/// What lies in a directory that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Holds {
    /// Programs, which may run.
    Runtime,
    /// Files from which nothing runs, and that are nobody's data.
    Files,
    /// The same of somebody's data.
    Data,
}

impl Mount {
    pub(crate) fn is_executable(&self) -> bool {
        self.holds == Holds::Runtime
    }
}

impl Jail<Open> {
    /// Shows a host directory whose programs may run. Mounts below it are not shown.
    pub fn runtime(self, host: PathBuf, guest: PathBuf) -> Self {
        self.shown(host, guest, Holds::Runtime)
    }

    /// Shows a host directory from which nothing runs. Mounts below it are not shown.
    pub fn read_only(self, host: PathBuf, guest: PathBuf) -> Self {
        self.shown(host, guest, Holds::Files)
    }

    /// The same for somebody's data, which no guest with a gateway may see.
    pub fn data(self, host: PathBuf, guest: PathBuf) -> Self {
        self.shown(host, guest, Holds::Data)
    }

    fn shown(mut self, host: PathBuf, guest: PathBuf, holds: Holds) -> Self {
        self.spec.mounts.push(Mount { host, guest, holds });
        self
    }
}
