//! Images: what a runtime's guests see as their root, named by content.
//!
//! They lie in an OCI layout, which any tool for images reads. Beside it each
//! layer is unpacked once, and layers are merged once into a root out of hard
//! links; a run mounts that root and copies nothing. An image is in the layout
//! whole, unpacked and checked, or it is not there at all. Everything in an
//! archive is taken for hostile: no path of it is followed, and every count
//! and size has a bound. Absent on purpose: the network, and whatever an image
//! says about how it is to be started.

mod archive;
mod blob;
mod bounded;
mod build;
mod builder;
mod error;
mod export;
mod gc;
mod import;
mod index;
mod layer;
mod media;
mod merge;
mod name;
mod pack;
mod path;
mod recipe;
mod steps;
mod unpack;

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use strongroom_core::digest::Digest;

pub use build::{Addition, Built};
pub use error::{ImageError, LayerError};
pub use export::ExportAs;
pub use gc::{Cleared, Extent};
pub use index::Listed;
pub use media::{Config, Descriptor, Manifest, Start, chosen, is_index, is_manifest};
pub use name::ImageName;
pub use pack::Packed;
pub use recipe::{Plain, Recipe};
pub use unpack::is_sparse;

pub(crate) use merge::{BELONGS_TO_THE_JAIL, in_root};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use unpack::{Allowance, Tree};

/// The longest manifest, index or configuration, in bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// The largest layer as it is stored, in bytes.
pub const BLOB_BYTES_MAX: u64 = 8 << 30;
/// The most layers of an image.
pub const LAYERS_MAX: usize = 128;
/// What the layers of an image may come to when they are unpacked, in bytes.
pub const UNPACKED_BYTES_MAX: u64 = 8 << 30;
/// The most files, folders and links in the layers of an image.
pub const ENTRIES_MAX: u64 = 400_000;
/// The most names of images on one station.
pub const NAMES_MAX: usize = 1000;

/// The images of one station: a folder that only its user reads.
#[derive(Clone, Debug)]
pub struct Images {
    folder: PathBuf,
}

/// A root that stays for as long as this is held.
#[derive(Debug)]
pub struct HeldRoot {
    tree: PathBuf,
    _lock: File,
}

impl HeldRoot {
    /// The folder that is a guest's `/`.
    pub fn path(&self) -> &Path {
        &self.tree
    }
}

/// Says that nothing may be cleared away: something is on its way in.
#[derive(Debug)]
pub struct Incoming {
    _lock: File,
}

impl Images {
    /// The images in `folder`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`ImageError::Host`], the host's fault.
    pub fn open(folder: &Path) -> Result<Self, ImageError> {
        let made = || -> io::Result<()> {
            for below in ["blobs/sha256", "staging", "layers", "roots"] {
                let mut folders = DirBuilder::new();
                folders.recursive(true).mode(0o700);
                folders.create(folder.join(below))?;
            }
            index::make(folder)
        };
        made().map_err(ImageError::host("make the folder of images"))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The images of a station that lives in `home`, if it ever had one.
    pub fn of_home(home: &Path) -> Option<Self> {
        let folder = Self::folder_of(home);
        folder
            .join(index::LAYOUT)
            .is_file()
            .then_some(Self { folder })
    }

    /// Where the images of a station lie that lives in `home`.
    pub fn folder_of(home: &Path) -> PathBuf {
        home.join("images")
    }

    /// Keeps all blobs from being cleared away while an image is brought in.
    pub fn incoming(&self) -> Result<Incoming, ImageError> {
        let attempt = "lock the folder of images";
        let lock = self.lock_file().map_err(ImageError::host(attempt))?;
        lock.lock_shared().map_err(ImageError::host(attempt))?;
        Ok(Incoming { _lock: lock })
    }

    /// The root of an image, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`ImageError::Unknown`] when there is no such image; otherwise what is
    /// wrong with it.
    pub fn root(&self, image: &Digest) -> Result<HeldRoot, ImageError> {
        for _ in 0..ROOT_TRIES {
            let folder = self.root_folder(image)?;
            if let Some(held) = hold(&folder).map_err(ImageError::host("hold a root"))? {
                return Ok(held);
            }
        }
        Err(ImageError::Busy)
    }

    fn lock_file(&self) -> io::Result<File> {
        private().open(self.folder.join("lock"))
    }

    fn staging(&self) -> Result<tempfile::TempDir, ImageError> {
        let made = tempfile::tempdir_in(self.folder.join("staging"));
        made.map_err(ImageError::host("make a folder to work in"))
    }
}

/// How often a root is looked for that somebody clears away at the same time.
const ROOT_TRIES: usize = 3;

/// Holds a root; `None` if it was cleared away in this moment.
fn hold(folder: &Path) -> io::Result<Option<HeldRoot>> {
    let lock = match File::open(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    lock.lock_shared()?;
    let same = fs::metadata(folder).is_ok_and(|now| {
        lock.metadata()
            .is_ok_and(|held| (held.dev(), held.ino()) == (now.dev(), now.ino()))
    });
    Ok(same.then(|| HeldRoot {
        tree: folder.join(merge::TREE),
        _lock: lock,
    }))
}

/// A file that is made if it is not there, and that nobody else reads.
fn private() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests;
