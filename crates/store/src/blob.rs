//! Files by the digest of their content, below `<home>/blobs`.
//!
//! A file is written under a temporary name, synced, renamed to
//! `ab/cdef…`, and its folder synced; so a name that exists holds the whole
//! content, whatever was interrupted. It is read-only from then on. There is
//! no deletion, and no memory of who brought a file (see `Store::blob_claim`).

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use strongroom_core::digest::Digest;
use tempfile::TempPath;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    error::{Lack, StoreError},
    recent::Recent,
};

/// How many files are remembered to be there for good.
const LASTING_MAX: usize = 4096;
/// What is read from an upload at once, in bytes.
const CHUNK_BYTES: usize = 128 * 1024;

/// The files of one station.
#[derive(Clone, Debug)]
pub struct Blobs {
    pub(crate) home: Arc<Path>,
    /// Files whose names are known to last.
    lasting: Arc<Recent<Digest, ()>>,
}

/// What was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobPut {
    pub digest: Digest,
    pub size_bytes: u64,
}

/// Why a file cannot be put or had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("the file is longer than {size_bytes_max} bytes")]
    TooLarge { size_bytes_max: u64 },
    #[error("the content is {found}, not {expected}")]
    Mismatch { expected: Digest, found: Digest },
    #[error("there is no file {digest}")]
    Missing { digest: Digest },
    /// Whoever sent the file stopped, or never was able to.
    #[error("could not read what was sent")]
    Read { source: io::Error },
    #[error("could not {attempt}: {lack}")]
    Lacking { attempt: &'static str, lack: Lack },
    #[error("could not {attempt}")]
    Io {
        attempt: &'static str,
        source: io::Error,
    },
}

impl BlobError {
    pub(crate) fn io(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match Lack::of(&source) {
            Some(lack) => Self::Lacking { attempt, lack },
            None => Self::Io { attempt, source },
        }
    }
}

const WRITE: &str = "write a file";
const READ: &str = "read a file";

/// What has come of a file so far.
struct Tally {
    hasher: Sha256,
    size_bytes: u64,
    size_bytes_max: u64,
}

impl Tally {
    fn new(size_bytes_max: u64) -> Self {
        Self {
            hasher: Sha256::new(),
            size_bytes: 0,
            size_bytes_max,
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes_max < self.size_bytes {
            let size_bytes_max = self.size_bytes_max;
            return Err(BlobError::TooLarge { size_bytes_max });
        }
        self.hasher.update(bytes);
        Ok(())
    }

    fn end(self, expect: Option<Digest>) -> Result<BlobPut, BlobError> {
        let found = Digest::from_bytes(self.hasher.finalize().into());
        match expect {
            Some(expected) if expected != found => Err(BlobError::Mismatch { expected, found }),
            _ => Ok(BlobPut {
                digest: found,
                size_bytes: self.size_bytes,
            }),
        }
    }
}

impl Blobs {
    /// Makes the folders, and forgets what was never finished.
    pub(crate) fn open_home(home: &Path) -> Result<Self, StoreError> {
        let attempt = "prepare the folders for files";
        let blobs = Self {
            home: home.to_owned().into(),
            lasting: Arc::new(Recent::new(LASTING_MAX)),
        };
        let folder = home.join("blobs");
        empty_folder(&blobs.tmp()).map_err(StoreError::io(attempt))?;
        for first in 0..=u8::MAX {
            make_folder(&folder.join(format!("{first:02x}"))).map_err(StoreError::io(attempt))?;
        }
        sync_folder(&folder).map_err(StoreError::io(attempt))?;
        blobs.prepare_views()?;
        Ok(blobs)
    }

    /// Files in a folder of their own, without a station.
    pub fn alone(folder: &Path) -> Result<Self, StoreError> {
        Self::open_home(folder)
    }

    /// Puts a file, in constant memory. With `expect`, anything else is refused.
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`] as soon as byte `size_max + 1` arrives. Nothing
    /// is left behind by any error, nor when the future is dropped.
    pub async fn put(
        &self,
        mut reader: impl AsyncRead + Unpin,
        expect: Option<Digest>,
        size_max: u64,
    ) -> Result<BlobPut, BlobError> {
        let mut tally = Tally::new(size_max);
        let mut chunk = vec![0; CHUNK_BYTES];
        let (file, name) = self.temporary()?;
        let mut file = tokio::fs::File::from_std(file);
        loop {
            let length = reader.read(&mut chunk).await;
            let length = length.map_err(|source| BlobError::Read { source })?;
            if length == 0 {
                break;
            }
            tally.add(&chunk[..length])?;
            file.write_all(&chunk[..length])
                .await
                .map_err(BlobError::io(WRITE))?;
        }
        file.flush().await.map_err(BlobError::io(WRITE))?;
        let put = tally.end(expect)?;
        let file = file.into_std().await;
        let blobs = self.clone();
        blocking(move || blobs.keep(&file, name, put)).await
    }

    /// Puts bytes that are already in memory. What is known to be there costs
    /// no more than a look.
    pub async fn put_bytes(&self, bytes: &[u8]) -> Result<BlobPut, BlobError> {
        let digest = Digest::of(bytes);
        if self.lasting.get(&digest).is_some() && self.path(&digest).exists() {
            let size_bytes = bytes.len() as u64;
            return Ok(BlobPut { digest, size_bytes });
        }
        let (blobs, bytes) = (self.clone(), bytes.to_vec());
        blocking(move || blobs.put_reader(&bytes[..], u64::MAX)).await
    }

    /// Puts a file from where waiting is allowed: not on a thread of the runtime.
    pub fn put_reader(&self, mut reader: impl Read, size_max: u64) -> Result<BlobPut, BlobError> {
        let mut tally = Tally::new(size_max);
        let mut chunk = vec![0; CHUNK_BYTES];
        let (mut file, name) = self.temporary()?;
        loop {
            let length = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(BlobError::Read { source }),
            };
            tally.add(&chunk[..length])?;
            file.write_all(&chunk[..length])
                .map_err(BlobError::io(WRITE))?;
        }
        let put = tally.end(None)?;
        self.keep(&file, name, put)
    }

    /// A file's content, to be read from its beginning.
    pub async fn open(&self, digest: &Digest) -> Result<tokio::fs::File, BlobError> {
        match tokio::fs::File::open(self.path(digest)).await {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BlobError::Missing { digest: *digest })
            }
            Err(error) => Err(BlobError::io(READ)(error)),
        }
    }

    /// The same from where waiting is allowed: not on a thread of the runtime.
    pub fn open_now(&self, digest: &Digest) -> Result<File, BlobError> {
        File::open(self.path(digest)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BlobError::Missing { digest: *digest },
            _ => BlobError::io(READ)(error),
        })
    }

    /// A file's content of at most `size_max` bytes, checked against its digest.
    pub async fn read(&self, digest: &Digest, size_max: u64) -> Result<Vec<u8>, BlobError> {
        let file = self.open(digest).await?;
        let mut bytes = Vec::new();
        let mut limited = file.take(size_max.saturating_add(1));
        let length = limited.read_to_end(&mut bytes).await;
        if size_max < length.map_err(BlobError::io(READ))? as u64 {
            return Err(BlobError::TooLarge {
                size_bytes_max: size_max,
            });
        }
        match Digest::of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(BlobError::Mismatch {
                expected: *digest,
                found,
            }),
        }
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.home.join("blobs").join(&hex[..2]).join(&hex[2..])
    }

    fn tmp(&self) -> PathBuf {
        self.home.join("blobs").join("tmp")
    }

    /// A new file whose name is gone when the `TempPath` is dropped.
    fn temporary(&self) -> Result<(File, TempPath), BlobError> {
        let file = tempfile::Builder::new().tempfile_in(self.tmp());
        Ok(file.map_err(BlobError::io(WRITE))?.into_parts())
    }

    fn keep(&self, file: &File, name: TempPath, put: BlobPut) -> Result<BlobPut, BlobError> {
        let path = self.path(&put.digest);
        if !path.exists() {
            let kept = file
                .set_permissions(Permissions::from_mode(0o444))
                .and_then(|()| file.sync_all())
                .and_then(|()| name.persist(&path).map_err(|error| error.error));
            kept.map_err(BlobError::io(WRITE))?;
        }
        // Also when it was there: whoever put it may not have come so far yet.
        let folder = path.parent().expect("a file's path ends with ab/cdef");
        sync_folder(folder).map_err(BlobError::io(WRITE))?;
        self.lasting.put(put.digest, ());
        Ok(put)
    }
}

/// Runs `work` on a thread that may wait. Nobody cancels it once it began.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is stopping, and nobody comes back to us.
            Err(_) => std::future::pending().await,
        },
    }
}

pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn empty_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => make_folder(path),
    }
}

/// Makes the names in a folder last.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
