//! What a guest left in `/out`, taken once every one of its processes is dead.
//!
//! Only regular files with one name are taken. A link, FIFO, socket or device
//! is refused by its name, and so is a name that no tree may have. Nothing is
//! ever opened through a link or outside the folder, no open can hang, and
//! nothing is read before the whole folder has been found to be in order.

mod search;

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use strongroom_core::{
    digest::Digest,
    limits::Limits,
    run::{OutputFile, Reason},
    tree::TreePath,
};

use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::disk;

/// The `/out` of a run whose processes are all dead. It is gone when dropped.
#[derive(Debug)]
pub struct OutFolder {
    root: Root,
    /// The length of the returned value, which shares the bound with the files.
    value_bytes: u64,
    /// Where it lies, if it is a copy; removed with this.
    _copy: Option<TempDir>,
}

/// Why outputs cannot be taken. Nothing of them may be kept then.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error("refused the output `{path}`: {why}")]
    Refused { path: String, why: String },
    #[error("the outputs are larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("there are more than {limit} files and folders in /out")]
    TooMany { limit: u32 },
    #[error("could not read the output `{path}`")]
    Read { path: String, source: io::Error },
    #[error("could not keep the output `{path}`")]
    Keep { path: String, source: io::Error },
}

impl CollectError {
    /// The reason that the run ends with.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused { path, why } => Reason::OutputRefused {
                path: path.clone(),
                why: why.clone(),
            },
            Self::TooLarge { limit_bytes } => Reason::OutputTooLarge {
                limit_bytes: *limit_bytes,
            },
            Self::TooMany { .. } => Reason::OutputRefused {
                path: "/out".to_owned(),
                why: self.to_string(),
            },
            Self::Read { .. } | Self::Keep { .. } => Reason::HostError {
                what: self.to_string(),
            },
        }
    }
}

impl OutFolder {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self {
            root: Root(Some(root)),
            value_bytes: 0,
            _copy: None,
        }
    }

    /// A copy of what a guest left, made as it was told.
    pub(crate) fn copied(root: OwnedFd, copy: TempDir) -> Self {
        Self {
            _copy: Some(copy),
            ..Self::new(root)
        }
    }

    /// The same folder, whose files share their bound with a returned value.
    pub(crate) fn beside_value(self, value_bytes: u64) -> Self {
        Self {
            value_bytes,
            ..self
        }
    }

    /// Takes every file in the order of their paths. `keep` gets a file's
    /// path, size and content, and answers with the digest of what it kept.
    ///
    /// Blocking: call it where that is allowed.
    ///
    /// # Errors
    ///
    /// [`CollectError`]; the guest is at fault for all but `Read` and `Keep`.
    pub fn collect(
        self,
        limits: &Limits,
        mut keep: impl FnMut(&TreePath, u64, &mut dyn Read) -> io::Result<Digest>,
    ) -> Result<Vec<OutputFile>, CollectError> {
        let found = search::find(self.root.handle(), limits, self.value_bytes)?;
        let mut files = Vec::with_capacity(found.len());
        for (path, size_bytes) in found {
            let digest = self.take(&path, size_bytes, &mut keep)?;
            files.push(OutputFile {
                path,
                digest,
                size_bytes,
            });
        }
        Ok(files)
    }

    fn take(
        &self,
        path: &TreePath,
        size_bytes: u64,
        keep: &mut impl FnMut(&TreePath, u64, &mut dyn Read) -> io::Result<Digest>,
    ) -> Result<Digest, CollectError> {
        let file = search::open(self.root.handle().as_fd(), path)?;
        let mut reader = Exactly {
            file: File::from(file).take(size_bytes),
            left: size_bytes,
        };
        keep(path, size_bytes, &mut reader).map_err(|source| CollectError::Keep {
            path: path.to_string(),
            source,
        })
    }
}

/// The handle that keeps the folder.
#[derive(Debug)]
struct Root(Option<OwnedFd>);

impl Root {
    fn handle(&self) -> &OwnedFd {
        self.0.as_ref().expect("only drop takes the handle")
    }
}

impl Drop for Root {
    /// A disk goes with its last handle, and the kernel writes to it what it
    /// still had to write; so whoever must not wait lets another thread do it.
    fn drop(&mut self) {
        let Some(root) = self.0.take().filter(disk::is_disk) else {
            return;
        };
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(root)));
        }
    }
}

/// A file's content, which is an error when it ends before its size.
struct Exactly {
    file: io::Take<File>,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.left -= count as u64;
        if count == 0 && !buffer.is_empty() && self.left != 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
