//! A jail in plain words, for whoever builds the same box by other means.
//!
//! The same checks as for sealing, but for the walls of this host: they are
//! the other builder's business. Absent: copies and guests that wait, which
//! are made in a warden alone.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::{Jail, Open, Program, SealError};
use crate::limits::Limits;

/// What a guest sees and may use.
#[derive(Debug)]
pub struct Outline {
    pub limits: Limits,
    pub folders: Vec<Shown>,
    /// Links by guest path, and where they point.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Small files by guest path.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    pub program: Program,
    pub input: Option<OwnedFd>,
    pub gateway: bool,
}

/// A host directory that is shown read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub host: PathBuf,
    pub guest: PathBuf,
    /// Whether programs run from it.
    pub is_executable: bool,
}

impl Jail<Open> {
    /// What was said so far.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the caller is at fault.
    pub fn outline(self) -> Result<Outline, SealError> {
        let Self { spec, stdin, .. } = self;
        spec.limits.check()?;
        spec.check_paths()?;
        spec.check_no_data_with_gateway()?;
        spec.program.check()?;
        let folders = spec.mounts.into_iter().map(|mount| Shown {
            is_executable: mount.is_executable(),
            host: mount.host,
            guest: mount.guest,
        });
        Ok(Outline {
            limits: spec.limits,
            folders: folders.collect(),
            links: spec.symlinks,
            files: spec.files,
            program: spec.program,
            input: stdin,
            gateway: spec.gateway,
        })
    }
}
