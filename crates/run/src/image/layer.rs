//! Layers, unpacked: each once, under the digest of its archive.
//!
//! A layer's folder appears whole, by being renamed into place, after the
//! archive turned out to be what the image says it is.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use strongroom_core::{digest::Digest, text::shown};

use super::{
    Descriptor, ImageError, Images, LayerError, UNPACKED_BYTES_MAX,
    blob::{Hashing, sync_folder_of},
    bounded::{Bound, Bounded},
    media::Compression,
    unpack::{Allowance, Removed, Tree},
};

/// In a layer's folder: its files, and what is known of them.
pub(super) const TREE: &str = "tree";
const NOTE: &str = "layer.json";
/// And below this the stored layers that were seen to be it, by digest.
const SEEN: &str = "seen";

/// What is known of an unpacked layer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) removed: Removed,
    entries: u64,
    bytes: u64,
}

/// An unpacked layer.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) tree: PathBuf,
    pub(super) note: Note,
}

/// Counts what is read of the stored layer.
struct Counting<R> {
    from: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

impl Images {
    pub(super) fn layer_folder(&self, diff_id: &Digest) -> PathBuf {
        self.folder.join("layers").join(diff_id.hex())
    }

    /// The layer as files, which are made if they are not there. What it takes
    /// of an image's allowance is spent either way.
    pub(super) fn layer(
        &self,
        blob: &Descriptor,
        diff_id: &Digest,
        allowance: &mut Allowance,
    ) -> Result<Unpacked, ImageError> {
        let wrong = |source| ImageError::Layer {
            digest: blob.digest,
            source: Box::new(source),
        };
        let folder = self.layer_folder(diff_id);
        let note = match note(&folder) {
            Some(note) => note,
            None => {
                self.unpack_layer(blob, diff_id, allowance.clone())?;
                note(&folder).ok_or(ImageError::Busy)?
            }
        };
        allowance.spend_entries(note.entries).map_err(wrong)?;
        allowance.spend_bytes(note.bytes).map_err(wrong)?;
        Ok(Unpacked {
            tree: folder.join(TREE),
            note,
        })
    }

    /// Sees to it that a stored layer is what the image says that it is
    /// unpacked, also where that was unpacked out of another.
    pub(super) fn compare(&self, blob: &Descriptor, diff_id: &Digest) -> Result<(), ImageError> {
        let attempt = ImageError::host("compare a layer");
        let seen = self.layer_folder(diff_id).join(SEEN);
        let mark = seen.join(blob.digest.hex());
        if blob.digest == *diff_id || mark.exists() {
            return Ok(());
        }
        let wrong = |source| ImageError::Layer {
            digest: blob.digest,
            source: Box::new(source),
        };
        let compression = blob.compression()?;
        let found = hash(self.blob_open(blob)?, compression).map_err(wrong)?;
        if found != *diff_id {
            let expected = *diff_id;
            return Err(wrong(LayerError::DiffId { expected, found }));
        }
        // Where the layer is gone, as its root alone is needed, nothing is made.
        let made = fs::create_dir(&seen).and_then(|()| File::create(&mark).map(drop));
        let made = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                File::create(&mark).map(drop)
            }
            made => made,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            made => made.map_err(&attempt),
        }
    }

    fn unpack_layer(
        &self,
        blob: &Descriptor,
        diff_id: &Digest,
        before: Allowance,
    ) -> Result<(), ImageError> {
        let wrong = |source| ImageError::Layer {
            digest: blob.digest,
            source: Box::new(source),
        };
        let attempt = ImageError::host("unpack a layer");
        let file = self.blob_open(blob)?;
        let staging = self.staging()?;
        let tree = staging.path().join(TREE);
        fs::create_dir(&tree).map_err(&attempt)?;
        let mut left = before.clone();
        let mut unpacked = Tree::new(folder(&tree).map_err(&attempt)?);
        let found = read(file, blob.compression()?, &mut unpacked, &mut left).map_err(wrong)?;
        if found != *diff_id {
            let expected = *diff_id;
            return Err(wrong(LayerError::DiffId { expected, found }));
        }
        let note = Note {
            removed: unpacked.removed,
            entries: before.entries - left.entries,
            bytes: before.bytes - left.bytes,
        };
        let text = serde_json::to_vec(&note).expect("a note is plain data");
        fs::write(staging.path().join(NOTE), text).map_err(&attempt)?;
        let seen = staging.path().join(SEEN);
        fs::create_dir(&seen).map_err(&attempt)?;
        File::create(seen.join(blob.digest.hex())).map_err(&attempt)?;
        settle(staging, &self.layer_folder(diff_id)).map_err(&attempt)
    }
}

/// Unpacks a stored layer and answers its archive's digest.
fn read(
    file: File,
    compression: Compression,
    into: &mut Tree,
    allowance: &mut Allowance,
) -> Result<Digest, LayerError> {
    let (archive, count) = opened(file, compression)?;
    let mut hashing = Hashing::new(archive);
    into.unpack(&mut hashing, || count.get(), allowance)?;
    Ok(hashing.finish().0)
}

/// The digest of a stored layer's archive, of which nothing is kept.
fn hash(file: File, compression: Compression) -> Result<Digest, LayerError> {
    let (archive, count) = opened(file, compression)?;
    let bound = Bound::new(UNPACKED_BYTES_MAX, u64::MAX);
    let mut hashing = Hashing::new(Bounded::new(archive, || count.get(), Rc::clone(&bound)));
    let read = io::copy(&mut hashing, &mut io::sink());
    match (read, bound.fault()) {
        (_, Some(fault)) => Err(fault),
        (Err(error), None) => Err(LayerError::NotTar(shown(&error.to_string(), 200))),
        (Ok(_), None) => Ok(hashing.finish().0),
    }
}

/// A layer's archive, and how much of what is stored was read for it.
type Opened = (Box<dyn Read>, Rc<Cell<u64>>);

fn opened(file: File, compression: Compression) -> Result<Opened, LayerError> {
    let count = Rc::new(Cell::new(0));
    let stored = Counting {
        from: BufReader::new(file),
        count: Rc::clone(&count),
    };
    let archive: Box<dyn Read> = match compression {
        Compression::None => Box::new(stored),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(stored)),
        Compression::Zstd => Box::new(
            zstd::Decoder::new(stored).map_err(|error| LayerError::NotTar(error.to_string()))?,
        ),
    };
    Ok((archive, count))
}

/// What is known of the layer in `folder`, if it is there.
fn note(folder: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(folder.join(NOTE)).ok()?).ok()
}

pub(super) fn folder(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Moves a whole folder to where it is looked for. Somebody who was quicker
/// made the same.
pub(super) fn settle(staging: tempfile::TempDir, place: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(staging.path())?)?;
    match fs::rename(staging.path(), place) {
        Err(_) if place.is_dir() => return Ok(()),
        moved => moved?,
    }
    let _ = staging.keep();
    sync_folder_of(place)
}
