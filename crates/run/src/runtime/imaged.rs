//! A runtime's image, as its guests are shown it.
//!
//! Each folder at the image's top is shown by itself, so that what the jail
//! makes has its place between them, and each link that stands there is made
//! again. Loose files at the top are not shown. What an image says about its
//! own start, user or variables has no effect.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode};
use strongroom_core::{digest::Digest, runtime::RuntimeName};
use strongroom_jail::{Jail, Open};

use super::RuntimeError;
use crate::image::{BELONGS_TO_THE_JAIL, HeldRoot, ImageError, in_root};

/// Where a program is looked for that is not where the runtime says.
const PLACES: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// The most folders and links at the top of an image.
const TOP_MAX: usize = 64;

/// An image whose root is there.
#[derive(Clone, Debug)]
pub(crate) struct Imaged {
    digest: Digest,
    root: PathBuf,
    folders: Vec<String>,
    links: Vec<(String, PathBuf)>,
}

impl Imaged {
    /// Looks at what an image has at its top.
    pub(super) fn new(digest: Digest, root: &HeldRoot) -> Result<Self, ImageError> {
        let mut imaged = Self {
            digest,
            root: root.path().to_owned(),
            folders: Vec::new(),
            links: Vec::new(),
        };
        let looked = imaged.look();
        looked.map_err(|source| ImageError::Host {
            attempt: "look at the root of an image",
            source,
        })?;
        imaged.folders.sort_unstable();
        imaged.links.sort_unstable();
        match imaged.folders.len() + imaged.links.len() <= TOP_MAX {
            true => Ok(imaged),
            false => Err(ImageError::TopTooFull(TOP_MAX)),
        }
    }

    fn look(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            // A name that is no text cannot be said to the jail.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if BELONGS_TO_THE_JAIL.contains(&name.as_str()) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                self.links.push((name, fs::read_link(entry.path())?));
            } else if kind.is_dir() && fs::read_dir(entry.path())?.next().is_some() {
                self.folders.push(name);
            }
        }
        Ok(())
    }

    /// The same, but for what stands at its top under this name.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.folders.retain(|one| one != name);
        self.links.retain(|(one, _)| one != name);
        self
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether something of this name stands at its top.
    pub(super) fn has(&self, name: &str) -> bool {
        let linked = self.links.iter().map(|(name, _)| name);
        self.folders.iter().chain(linked).any(|one| one == name)
    }

    /// Puts the image into `jail`.
    pub(super) fn show(&self, jail: Jail<Open>) -> Jail<Open> {
        let guest = |name: &str| Path::new("/").join(name);
        let folders = self.folders.iter();
        let jail = folders.fold(jail, |jail, name| {
            jail.runtime(self.root.join(name), guest(name))
        });
        let links = self.links.iter();
        links.fold(jail, |jail, (name, target)| {
            jail.symlink(guest(name), target.clone())
        })
    }

    /// Where the guest finds the program that it calls `asked`.
    pub(super) fn program(
        &self,
        runtime: &RuntimeName,
        asked: &Path,
    ) -> Result<PathBuf, RuntimeError> {
        let missing = || RuntimeError::Missing {
            runtime: runtime.clone(),
            path: asked.to_owned(),
        };
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, flags, Mode::empty()).map_err(|_| missing())?;
        let name = asked.file_name().unwrap_or(OsStr::new(""));
        let places = PLACES.iter().map(|place| Path::new(place).join(name));
        std::iter::once(asked.to_owned())
            .chain(places)
            .find(|path| {
                let found = in_root(&root, path).and_then(rustix::fs::fstat);
                found.is_ok_and(|stat| {
                    FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_mode & 0o111 != 0
                })
            })
            .ok_or_else(missing)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::image::{Addition, Images, Packed};

    #[test]
    fn what_belongs_to_the_jail_is_shown_of_no_image() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(&folder.path().join("images")).unwrap();
        let mut packed = Packed::default();
        packed.text("usr/x", "x");
        packed.link("bin", "usr/bin");
        for name in BELONGS_TO_THE_JAIL {
            packed.text(&format!("{name}/x"), "x");
        }
        let built = images.build_and_admit(None, &[Addition::whole(packed)], &[]);
        let digest = built.unwrap().digest;
        let imaged = Imaged::new(digest, &images.root(&digest).unwrap()).unwrap();
        // `/etc` is there in every root, as it says who a guest is.
        assert_eq!(imaged.folders, ["etc", "usr"]);
        assert_eq!(imaged.links, [("bin".to_owned(), "usr/bin".into())]);
        for own in ["program", "data", "out", "stage", "deps", ".strongroom"] {
            assert!(BELONGS_TO_THE_JAIL.contains(&own), "{own}");
        }
    }
}
