//! The blobs of the layout: written whole and checked, under their digest.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use strongroom_core::digest::Digest;

use super::{BLOB_BYTES_MAX, Descriptor, ImageError, Images, media};

const PIECE_BYTES: usize = 256 * 1024;

/// Reads, and counts and hashes what was read.
pub(super) struct Hashing<R> {
    from: R,
    hash: Sha256,
    count: u64,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            hash: Sha256::new(),
            count: 0,
        }
    }

    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.finalize().into()), self.count)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.hash.update(&into[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

impl Images {
    /// Where a blob lies, if it is there.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Whether a blob of this size is there.
    pub fn has_blob(&self, blob: &Descriptor) -> bool {
        let meta = self.blob_path(&blob.digest).metadata();
        meta.is_ok_and(|meta| meta.len() == blob.size)
    }

    /// Opens a blob that an image names.
    pub fn blob_open(&self, blob: &Descriptor) -> Result<File, ImageError> {
        let (file, found) = self.blob_file(&blob.digest)?;
        match found == blob.size {
            true => Ok(file),
            false => Err(ImageError::WrongLength {
                digest: blob.digest,
                expected: blob.size,
                found,
            }),
        }
    }

    /// Keeps the blob that `from` is, if it is the one that was asked for.
    ///
    /// # Errors
    ///
    /// [`ImageError::WrongDigest`] and [`ImageError::WrongLength`] are the
    /// sender's fault. Nothing is kept then.
    pub fn blob_put(&self, blob: &Descriptor, from: impl Read) -> Result<(), ImageError> {
        if BLOB_BYTES_MAX < blob.size {
            return Err(ImageError::BlobTooLarge);
        }
        // One byte more tells what is too long from what is right.
        let (digest, size, file) = self.received(from.take(blob.size + 1))?;
        if size != blob.size {
            return Err(ImageError::WrongLength {
                digest: blob.digest,
                expected: blob.size,
                found: size,
            });
        }
        if digest != blob.digest {
            return Err(ImageError::WrongDigest {
                expected: blob.digest,
                found: digest,
            });
        }
        self.keep(&digest, file)
    }

    /// Keeps whatever `from` is, under its own digest.
    pub(super) fn blob_take(&self, from: impl Read) -> Result<(Digest, u64), ImageError> {
        let (digest, size, file) = self.received(from.take(BLOB_BYTES_MAX + 1))?;
        if BLOB_BYTES_MAX < size {
            return Err(ImageError::BlobTooLarge);
        }
        self.keep(&digest, file)?;
        Ok((digest, size))
    }

    /// Keeps a document.
    pub fn document_put(&self, bytes: &[u8]) -> Result<Digest, ImageError> {
        self.blob_take(bytes).map(|(digest, _)| digest)
    }

    /// Reads a document, and checks that it is what it is called.
    pub(super) fn document(
        &self,
        what: &'static str,
        digest: &Digest,
    ) -> Result<Vec<u8>, ImageError> {
        let (file, _) = self.blob_file(digest)?;
        let bytes = media::bounded(what, file)?;
        match Digest::of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(ImageError::WrongDigest {
                expected: *digest,
                found,
            }),
        }
    }

    fn blob_file(&self, digest: &Digest) -> Result<(File, u64), ImageError> {
        let attempt = ImageError::host("read a blob");
        match File::open(self.blob_path(digest)) {
            Ok(file) => {
                let size = file.metadata().map_err(attempt)?.len();
                Ok((file, size))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ImageError::Missing { digest: *digest })
            }
            Err(error) => Err(attempt(error)),
        }
    }

    /// Writes `from` where nothing is looked for yet.
    fn received(
        &self,
        from: impl Read,
    ) -> Result<(Digest, u64, tempfile::NamedTempFile), ImageError> {
        let attempt = ImageError::host("write a blob");
        let staging = self.folder.join("staging");
        let mut file = tempfile::NamedTempFile::new_in(staging).map_err(&attempt)?;
        let mut from = Hashing::new(from);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match from.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => file.write_all(&piece[..count]).map_err(&attempt)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ImageError::Source { source }),
            }
        }
        let (digest, size) = from.finish();
        Ok((digest, size, file))
    }

    fn keep(&self, digest: &Digest, file: tempfile::NamedTempFile) -> Result<(), ImageError> {
        let path = self.blob_path(digest);
        let kept = || -> io::Result<()> {
            file.as_file().sync_all()?;
            file.persist(&path)?;
            sync_folder_of(&path)
        };
        kept().map_err(ImageError::host("keep a blob"))
    }
}

/// Has the disk know what a folder's entries are called.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
