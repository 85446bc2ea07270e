//! Clearing away what no image needs.
//!
//! An image stays while it has a name, and each runtime of the station gives
//! its image one. While something is brought in nothing is cleared, and a root
//! that somebody holds, as a run does, stays whatever became of its image.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use strongroom_core::digest::Digest;

use super::{Descriptor, ImageError, Images, index::REF_NAME};

const BLOBS: &str = "blobs/sha256";
const LAYERS: &str = "layers";

/// Which images go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Those without a name.
    Unnamed,
    /// And those whose names are no runtime's.
    Unused,
}

/// What was cleared away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleared {
    pub images: usize,
    pub blobs: usize,
    pub blob_bytes: u64,
    pub layers: usize,
    pub roots: usize,
    /// Roots that nobody needs any more but somebody uses right now.
    pub roots_held: usize,
}

impl Images {
    /// Clears away what no image needs. `keep` stays whatever its names are.
    ///
    /// # Errors
    ///
    /// [`ImageError::Busy`] while something is brought in.
    pub fn clear(&self, keep: &[Digest], extent: Extent) -> Result<Cleared, ImageError> {
        let attempt = ImageError::host("clear away what no image needs");
        let lock = self.lock_file().map_err(&attempt)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ImageError::Busy),
            Err(TryLockError::Error(error)) => return Err(attempt(error)),
        }
        let mut cleared = Cleared::default();
        let mut images = BTreeSet::new();
        self.change(|index| {
            let before: BTreeSet<Digest> = index.manifests.iter().map(|one| one.digest).collect();
            index.manifests.retain(|one| stays(one, keep, extent));
            images = index.manifests.iter().map(|one| one.digest).collect();
            cleared.images = before.difference(&images).count();
            Ok(())
        })?;
        let mut needed = Needed::default();
        for image in &images {
            needed.of_image(self, image);
        }
        self.clear_blobs(&needed, &mut cleared).map_err(&attempt)?;
        self.clear_roots(&needed, &mut cleared).map_err(&attempt)?;
        self.clear_layers(&needed, &mut cleared).map_err(&attempt)?;
        for entry in entries(&self.folder.join("staging")).map_err(&attempt)? {
            remove(&entry).map_err(&attempt)?;
        }
        Ok(cleared)
    }

    /// Does something that brings an image in; where that fails, the blobs and layers
    /// that came meanwhile are cleared away at once. While somebody else brings
    /// something in, whose they are cannot be told, and they stay for later.
    pub(super) fn all_or_nothing<T>(
        &self,
        bring: impl FnOnce() -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let there = |below: &str| entries(&self.folder.join(below));
        let before = there(BLOBS).and_then(|blobs| Ok((blobs, there(LAYERS)?)));
        let brought = bring();
        if brought.is_err()
            && let Ok((blobs, layers)) = before
            && let Err(error) = self.clear_new(blobs, layers)
        {
            tracing::warn!(%error, "could not clear away what an image left");
        }
        brought
    }

    /// Clears away what no image needs and what was not there before.
    fn clear_new(&self, blobs: Vec<PathBuf>, layers: Vec<PathBuf>) -> io::Result<()> {
        let lock = self.lock_file()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let listed = self.list().map_err(io::Error::other)?;
        let mut needed = Needed {
            blobs: blobs.into_iter().collect(),
            layers: layers.into_iter().collect(),
            ..Needed::default()
        };
        for image in listed {
            needed.of_image(self, &image.digest);
        }
        let mut cleared = Cleared::default();
        self.clear_blobs(&needed, &mut cleared)?;
        self.clear_layers(&needed, &mut cleared)
    }

    fn clear_layers(&self, needed: &Needed, cleared: &mut Cleared) -> io::Result<()> {
        for entry in entries(&self.folder.join(LAYERS))? {
            if !needed.layers.contains(&entry) {
                self.discard(&entry)?;
                cleared.layers += 1;
            }
        }
        Ok(())
    }

    fn clear_blobs(&self, needed: &Needed, cleared: &mut Cleared) -> io::Result<()> {
        for entry in entries(&self.folder.join(BLOBS))? {
            if !needed.blobs.contains(&entry) {
                cleared.blob_bytes += entry.metadata()?.len();
                cleared.blobs += 1;
                fs::remove_file(entry)?;
            }
        }
        Ok(())
    }

    fn clear_roots(&self, needed: &Needed, cleared: &mut Cleared) -> io::Result<()> {
        for entry in entries(&self.folder.join("roots"))? {
            if needed.roots.contains(&entry) {
                continue;
            }
            let lock = File::open(&entry)?;
            match lock.try_lock() {
                Ok(()) => {
                    self.discard(&entry)?;
                    cleared.roots += 1;
                }
                Err(TryLockError::WouldBlock) => cleared.roots_held += 1,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes a folder, out of sight before the first file of it goes.
    fn discard(&self, folder: &Path) -> io::Result<()> {
        let aside = tempfile::tempdir_in(self.folder.join("staging"))?;
        fs::rename(folder, aside.path().join("gone"))?;
        aside.close()
    }
}

fn stays(one: &Descriptor, keep: &[Digest], extent: Extent) -> bool {
    let name = one.annotations.get(REF_NAME);
    let of_runtime = name.is_some_and(|name| name.starts_with("runtime/"));
    let named = name.is_some() && extent == Extent::Unnamed;
    of_runtime || named || keep.contains(&one.digest)
}

/// The paths of all that the images which stay are made of.
#[derive(Default)]
struct Needed {
    blobs: BTreeSet<PathBuf>,
    layers: BTreeSet<PathBuf>,
    roots: BTreeSet<PathBuf>,
}

impl Needed {
    fn of_image(&mut self, images: &Images, image: &Digest) {
        self.blobs.insert(images.blob_path(image));
        // Of one that is broken nothing else can be found, nor used.
        let Ok((manifest, config)) = images.image(image) else {
            return;
        };
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            self.blobs.insert(images.blob_path(&blob.digest));
        }
        for diff_id in &config.rootfs.diff_ids {
            self.layers.insert(images.layer_folder(diff_id));
        }
        self.roots.insert(images.root_place(&config));
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        gone => gone,
    }
}
