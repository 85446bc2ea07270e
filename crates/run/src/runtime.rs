//! The runtimes: what this host has to run functions with.
//!
//! Those that are shipped are data in `crates/run/runtimes`; others are
//! folders that somebody adds. Each has a pin, the digest over all that it
//! brings: an upgraded interpreter, another main program or another package
//! makes another plan. The standard library and the shared libraries beside
//! the interpreter are the host's and are not in the digest.

mod beside;
mod furniture;
mod home;
mod imaged;
mod interpreter;
mod reading;
mod shipped;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use reading::Reading;
use strongroom_core::{
    digest::Digest,
    plan::RuntimePin,
    runtime::{Definition, DefinitionError, Kind, Kinds, RuntimeName},
};

pub use shipped::PYTHON_KIT;

pub use furniture::{Brought, DEPENDENCIES, Furniture, PACKAGES};
pub(crate) use furniture::{FUNCTION, IDENTITY, NODE_MODULES, PROGRAM};

/// The program of the runtime `starlark` on this host, if it is there. It looks
/// at scripts too, and needs no sandbox for that.
pub fn program_of_starlark() -> Option<PathBuf> {
    let folder = beside::folder(shipped::STAR).ok()?;
    Some(folder.join(shipped::STAR))
}

use crate::image::{HeldRoot, ImageError, Images};
pub(crate) use imaged::Imaged;

/// The most runtimes of one host.
pub const RUNTIMES_MAX: usize = 100;

/// How many combinations of a runtime and a lock are remembered.
const FURNISHED_MAX: usize = 256;

/// The packages that a function brings, installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependencies {
    /// The digest of their lock.
    pub lock: Digest,
    /// Where they lie on this host. Nobody changes anything below it.
    pub folder: PathBuf,
    /// Modules of theirs that are worth loading ahead.
    pub preload: Vec<String>,
}

impl Dependencies {
    /// Whether there are packages for Node among them.
    fn has_modules(&self) -> bool {
        let name = NODE_MODULES.0.trim_start_matches('/');
        self.folder.join(name).is_dir()
    }
}

/// Why a runtime cannot be had on this host.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("there is no runtime {0} here")]
    Unknown(RuntimeName),
    #[error("there is no {path} for the runtime {runtime}")]
    Missing { runtime: RuntimeName, path: PathBuf },
    #[error("the interpreter {path} of the runtime {runtime} is outside of what a guest sees")]
    Outside { runtime: RuntimeName, path: PathBuf },
    #[error("could not read {path} for the runtime {runtime}")]
    Read {
        runtime: RuntimeName,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the runtime {0} shows a guest no shell")]
    NoShell(RuntimeName),
    #[error("the runtime {0} is shipped with Strongroom; give yours another name")]
    Shipped(RuntimeName),
    #[error("the base {0} is no runtime that is shipped with Strongroom")]
    NoBase(RuntimeName),
    #[error("the runtime {0} names an image, and there are no images here")]
    NoImages(RuntimeName),
    #[error("the image of the runtime {runtime}")]
    Image {
        runtime: RuntimeName,
        source: Box<ImageError>,
    },
    #[error(
        "the image of the runtime {0} has something at /node_modules, where the packages of a function belong"
    )]
    Clash(RuntimeName),
    #[error("there is a run-through for the main program of python3 alone, which {0} has not")]
    NoRunThrough(RuntimeName),
    #[error(
        "the image of the runtime {0} lacks /bin/sh or cat, so elsewhere nothing could say on stdout what a function returns; a handler that answers on stdout needs neither"
    )]
    NoAnswer(RuntimeName),
    #[error("there are already {RUNTIMES_MAX} runtimes")]
    TooMany,
    #[error("the runtime {runtime}")]
    Definition {
        runtime: RuntimeName,
        source: DefinitionError,
    },
}

/// The runtimes of one host.
#[derive(Debug)]
pub struct Runtimes {
    root: PathBuf,
    /// The folder of images.
    images: Option<PathBuf>,
    /// The roots of all images that were ever shown from here. They stay as
    /// long as this does: a guest that waits, or that is copied, may have one.
    roots: Mutex<BTreeMap<Digest, Arc<HeldRoot>>>,
    shipped: Vec<Arc<Furniture>>,
    added: RwLock<BTreeMap<RuntimeName, Arc<Furniture>>>,
    /// Those with packages of functions, by the pin of the runtime and the lock.
    furnished: RwLock<BTreeMap<(Digest, Digest), Arc<Furniture>>>,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self::below(PathBuf::from("/"))
    }
}

impl Runtimes {
    /// The runtimes of the host whose root folder is `root`.
    pub fn below(root: PathBuf) -> Self {
        Self {
            root,
            images: None,
            roots: Mutex::default(),
            shipped: shipped::all(),
            added: RwLock::default(),
            furnished: RwLock::default(),
        }
    }

    /// The same, with the images in this folder, which need not be there yet.
    #[must_use]
    pub fn with_images(self, folder: PathBuf) -> Self {
        let images = Some(folder);
        Self { images, ..self }
    }

    /// Whether a runtime is there wherever Strongroom is.
    pub fn is_shipped(&self, name: &RuntimeName) -> bool {
        self.shipped.iter().any(|one| one.name() == name)
    }

    /// All runtimes, the shipped ones first.
    pub fn all(&self) -> Vec<Arc<Furniture>> {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        self.shipped.iter().chain(added.values()).cloned().collect()
    }

    /// What manifests may say of them.
    pub fn kinds(&self) -> Kinds {
        Kinds::new(self.all().into_iter().map(|one| Kind {
            // Of those that are for the same files, the one they add to.
            implied: self.is_shipped(one.name()) && one.base().is_none(),
            runtime: one.name().clone(),
            files: one.files().clone(),
        }))
    }

    /// The runtime as it is now, with its pin. Reads the interpreter only
    /// when it changed.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Unknown`] when there is no such runtime,
    /// [`RuntimeError::Missing`] when the host lacks its interpreter.
    pub fn pinned(&self, name: &RuntimeName) -> Result<(RuntimePin, Arc<Furniture>), RuntimeError> {
        let found = self.find(name);
        let furniture = found.ok_or_else(|| RuntimeError::Unknown(name.clone()))?;
        Ok((furniture.pin(&self.root)?, furniture))
    }

    /// The runtime for functions that bring these packages, with what names
    /// those who wait for work on both.
    ///
    /// # Errors
    ///
    /// As [`Runtimes::pinned`], and [`RuntimeError::Clash`].
    pub fn furnished(
        &self,
        name: &RuntimeName,
        dependencies: Option<&Dependencies>,
    ) -> Result<(RuntimePin, Arc<Furniture>), RuntimeError> {
        let (pin, furniture) = self.pinned(name)?;
        let Some(dependencies) = dependencies else {
            return Ok((pin, furniture));
        };
        let key = (pin.digest, dependencies.lock);
        let known = self.furnished.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&key)
            && found.dependencies() == Some(dependencies)
        {
            return Ok((found.pool_pin(&pin), Arc::clone(found)));
        }
        drop(known);
        if furniture.clashes(dependencies) {
            return Err(RuntimeError::Clash(name.clone()));
        }
        let made = Arc::new(furniture.with(dependencies));
        let mut known = self
            .furnished
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if FURNISHED_MAX <= known.len() {
            known.clear();
        }
        known.insert(key, Arc::clone(&made));
        Ok((made.pool_pin(&pin), made))
    }

    /// The pin of [`Runtimes::pinned`].
    pub fn pin(&self, name: &RuntimeName) -> Result<RuntimePin, RuntimeError> {
        self.pinned(name).map(|(pin, _)| pin)
    }

    /// The folder of images.
    pub(crate) fn images(&self) -> Option<&Path> {
        self.images.as_deref()
    }

    /// The host's root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a runtime of this name could be added, as far as its
    /// definition tells. The root of its image is made if it is not there.
    pub fn check(&self, name: &RuntimeName, definition: &Definition) -> Result<(), RuntimeError> {
        if self.is_shipped(name) {
            return Err(RuntimeError::Shipped(name.clone()));
        }
        self.base_of(definition)?;
        if let Some(image) = &definition.image {
            self.image(name, image)?;
        }
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        match added.contains_key(name) || added.len() + self.shipped.len() < RUNTIMES_MAX {
            true => Ok(()),
            false => Err(RuntimeError::TooMany),
        }
    }

    /// Adds the runtime in `folder`, in place of one with the same name.
    /// `content` names all that is in the folder, which must not change.
    ///
    /// # Errors
    ///
    /// What is wrong with its `runtime.toml`; then nothing has changed.
    pub fn add(
        &self,
        name: RuntimeName,
        folder: &Path,
        content: Digest,
    ) -> Result<(), RuntimeError> {
        let read = Reading {
            name: &name,
            folder,
        };
        let definition = read.definition()?;
        self.check(&name, &definition)?;
        let main_program = read.main_program(&definition)?;
        read.check_packages(&definition)?;
        let brought = read.brought(&definition)?;
        let base = self.base_of(&definition)?;
        let image = match &definition.image {
            Some(image) => Some(self.image(&name, image)?),
            None => None,
        };
        let furniture = Furniture::of_folder(
            name.clone(),
            definition,
            (main_program, brought),
            base.as_deref(),
            folder,
            content,
        );
        let furniture = furniture.map_err(|source| RuntimeError::Read {
            runtime: name.clone(),
            path: folder.to_owned(),
            source,
        })?;
        let furniture = furniture.with_image(image);
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        added.insert(name, Arc::new(furniture));
        Ok(())
    }

    /// Forgets a runtime that was added. What runs on it goes on.
    pub fn remove(&self, name: &RuntimeName) {
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        added.remove(name);
    }

    /// The root of an image, which is made if it is not there.
    fn image(&self, runtime: &RuntimeName, image: &Digest) -> Result<Imaged, RuntimeError> {
        let wrong = |source| RuntimeError::Image {
            runtime: runtime.clone(),
            source: Box::new(source),
        };
        let folder = self.images.as_deref();
        let folder = folder.ok_or_else(|| RuntimeError::NoImages(runtime.clone()))?;
        let known = || self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let held = known().get(image).cloned();
        let held = match held {
            Some(held) => held,
            None => {
                let images = Images::open(folder).map_err(wrong)?;
                let held = Arc::new(images.root(image).map_err(wrong)?);
                known().insert(*image, Arc::clone(&held));
                held
            }
        };
        Imaged::new(*image, &held).map_err(wrong)
    }

    /// The runtime of this name, whether this host has its interpreter or not.
    pub fn find(&self, name: &RuntimeName) -> Option<Arc<Furniture>> {
        if let Some(shipped) = self.shipped.iter().find(|one| one.name() == name) {
            return Some(Arc::clone(shipped));
        }
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        added.get(name).cloned()
    }

    fn base_of(&self, definition: &Definition) -> Result<Option<Arc<Furniture>>, RuntimeError> {
        let Some(base) = definition.base() else {
            return Ok(None);
        };
        let found = self.shipped.iter().find(|one| one.name() == base);
        match found {
            Some(found) => Ok(Some(Arc::clone(found))),
            None => Err(RuntimeError::NoBase(base.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
