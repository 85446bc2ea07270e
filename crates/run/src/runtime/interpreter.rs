//! The program on the host that runs functions.
//!
//! It is looked up by the path that a guest would use, every link followed,
//! and must lie in a folder that the guest sees.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use strongroom_core::{digest::Digest, runtime::RuntimeName};

use super::RuntimeError;

/// What changes when a file is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = path.metadata()?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size_bytes: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// What the program's bytes are. They are read in parts: some are 100 MiB long.
pub(super) fn digest(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 1 << 17];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            length => hash.update(&part[..length]),
        }
    }
}

/// The path that the guest has for the program it calls `asked`.
pub(crate) fn find(
    root: &Path,
    folders: &[String],
    runtime: &RuntimeName,
    asked: &Path,
) -> Result<PathBuf, RuntimeError> {
    let missing = || RuntimeError::Missing {
        runtime: runtime.clone(),
        path: asked.to_owned(),
    };
    let real_root = root.canonicalize().map_err(|_| missing())?;
    let found = on_host(root, asked).canonicalize().map_err(|_| missing())?;
    let is_program = found
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if !is_program {
        return Err(missing());
    }
    let inside = found.strip_prefix(&real_root).ok();
    let inside = inside.filter(|path| folders.iter().any(|folder| path.starts_with(folder)));
    match inside {
        Some(inside) => Ok(Path::new("/").join(inside)),
        None => Err(RuntimeError::Outside {
            runtime: runtime.clone(),
            path: found,
        }),
    }
}

/// Where a guest's path lies on the host.
pub(super) fn on_host(root: &Path, guest: &Path) -> PathBuf {
    root.join(guest.strip_prefix("/").unwrap_or(guest))
}
