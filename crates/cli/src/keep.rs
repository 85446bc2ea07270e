//! Files from a station, written below one local folder.
//!
//! Nothing is ever written outside of it, wherever a link in it leads. What
//! is there already is not replaced unless that was asked for. A file appears
//! whole, with the digest that it should have, or not at all; one that is
//! there already with this digest is left alone, so that what broke off can
//! be taken up again.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use sha2::{Digest as _, Sha256};
use strongroom_core::{
    digest::Digest,
    tree::{TreeFile, TreePath},
};

use crate::error::CliError;

/// Whether what is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Stays,
    IsReplaced,
}

/// Why files cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("could not open the folder {}", .path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{} is there already", .0.display())]
    Taken(PathBuf),
    #[error("could not write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not receive {path}")]
    Receive { path: TreePath, source: io::Error },
    #[error("what was received as {0} is not what it should be")]
    Mismatch(TreePath),
}

impl KeepError {
    /// The next step, where we know one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Taken(_) => Some("`--force` replaces it".to_owned()),
            _ => None,
        }
    }
}

/// A local folder that files are written below.
pub struct Folder {
    dir: Dir,
    shown: PathBuf,
}

impl Folder {
    /// Opens it, and makes it if it is not there.
    pub fn open(path: &Path) -> Result<Self, KeepError> {
        let wrong = |source| KeepError::Folder {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(wrong)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(wrong)?;
        Ok(Self {
            dir,
            shown: path.to_owned(),
        })
    }

    /// Writes all files; if one of them is in the way of nothing, none is
    /// written. Returns how many were.
    pub fn keep<R: Read>(
        &self,
        files: &[(TreePath, TreeFile)],
        existing: Existing,
        mut fetch: impl FnMut(&TreePath) -> Result<R, CliError>,
    ) -> Result<usize, CliError> {
        let mut wanted = Vec::new();
        for (path, file) in files {
            match self.find(path, file)? {
                Found::Same => {}
                Found::Other if existing == Existing::Stays => {
                    return Err(KeepError::Taken(self.shown.join(path.as_str())).into());
                }
                Found::Other | Found::Nothing => wanted.push((path, file)),
            }
        }
        for (path, file) in &wanted {
            self.write(path, file, &mut fetch(path)?)?;
        }
        Ok(wanted.len())
    }

    fn find(&self, path: &TreePath, wanted: &TreeFile) -> Result<Found, KeepError> {
        let wrong = |source| KeepError::Write {
            path: self.shown.join(path.as_str()),
            source,
        };
        let meta = match self.dir.symlink_metadata(path.as_str()) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(source) => return Err(wrong(source)),
        };
        if !meta.is_file() || meta.len() != wanted.size_bytes {
            return Ok(Found::Other);
        }
        let mut file = self.dir.open(path.as_str()).map_err(wrong)?;
        let (digest, _) =
            copy(&mut file, &mut io::sink(), u64::MAX).map_err(|fault| match fault {
                CopyFault::Read(source) | CopyFault::Write(source) => wrong(source),
            })?;
        Ok(if digest == wanted.digest {
            Found::Same
        } else {
            Found::Other
        })
    }

    fn write(
        &self,
        path: &TreePath,
        file: &TreeFile,
        from: &mut dyn Read,
    ) -> Result<(), KeepError> {
        let wrong = |source| KeepError::Write {
            path: self.shown.join(path.as_str()),
            source,
        };
        let folder = path
            .as_str()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        if !folder.is_empty() {
            self.dir.create_dir_all(folder).map_err(wrong)?;
        }
        let part = Path::new(folder).join(format!(".strongroom-{}.part", std::process::id()));
        let written = self.write_part(&part, path, file, from).and_then(|()| {
            self.dir
                .rename(&part, &self.dir, path.as_str())
                .map_err(wrong)
        });
        if written.is_err() {
            // It may never have come to be.
            let _ = self.dir.remove_file(&part);
        }
        written
    }

    fn write_part(
        &self,
        part: &Path,
        path: &TreePath,
        file: &TreeFile,
        from: &mut dyn Read,
    ) -> Result<(), KeepError> {
        let wrong = |source| KeepError::Write {
            path: self.shown.join(path.as_str()),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut to = self.dir.open_with(part, &options).map_err(wrong)?;
        copied(path, file, from, &mut to, wrong)
    }
}

/// Sends a file's bytes on, and says at the end whether they were the right ones.
pub fn pass_on(
    path: &TreePath,
    file: &TreeFile,
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> Result<(), CliError> {
    let mut broken = None;
    let passed = copied(path, file, from, to, |source| {
        broken = Some(source);
        KeepError::Mismatch(path.clone())
    });
    match broken {
        Some(source) => Err(source.into()),
        None => Ok(passed?),
    }
}

enum Found {
    Nothing,
    Same,
    Other,
}

enum CopyFault {
    Read(io::Error),
    Write(io::Error),
}

fn copied(
    path: &TreePath,
    file: &TreeFile,
    from: &mut dyn Read,
    to: &mut dyn Write,
    writing: impl FnOnce(io::Error) -> KeepError,
) -> Result<(), KeepError> {
    match copy(from, to, file.size_bytes) {
        Ok((digest, size_bytes)) if digest == file.digest && size_bytes == file.size_bytes => {
            Ok(())
        }
        Ok(_) => Err(KeepError::Mismatch(path.clone())),
        Err(CopyFault::Read(source)) => Err(KeepError::Receive {
            path: path.clone(),
            source,
        }),
        Err(CopyFault::Write(source)) => Err(writing(source)),
    }
}

/// Copies at most `max_bytes` and one more, and returns their digest and number.
fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    max_bytes: u64,
) -> Result<(Digest, u64), CopyFault> {
    let mut from = from.take(max_bytes.saturating_add(1));
    let (mut hash, mut size_bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = from.read(&mut buffer).map_err(CopyFault::Read)?;
        if count == 0 {
            to.flush().map_err(CopyFault::Write)?;
            return Ok((Digest::from_bytes(hash.finalize().into()), size_bytes));
        }
        hash.update(&buffer[..count]);
        size_bytes += count as u64;
        to.write_all(&buffer[..count]).map_err(CopyFault::Write)?;
    }
}
