//! The folder in which a template of OpenFaaS is at home.
//!
//! Its own files lie there, and a link in the place of its handler's folder
//! leads to the function. All of it is read-only, as everything of a runtime.
//! The files at its top are handed over as they are, since a guest is shown
//! folders only, and a link has to lie beside them; so they are bounded.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use strongroom_core::{
    runtime::openfaas::HOME,
    tree::{TreeError, TreePath},
};
use strongroom_jail::{Jail, Open};

use super::furniture::FUNCTION;
use crate::{
    beneath,
    image::{ImageError, Packed},
};

/// The most bytes of the files at a template's top, together.
pub(super) const FILES_BYTES_MAX: u64 = 48 * 1024;
/// The most files and folders at its top.
const ENTRIES_MAX: usize = 64;
/// What is there for people who build images, and no part of a template's home.
const NOT_AT_HOME: [&str; 2] = ["template.yml", "Dockerfile"];

/// What a template finds in its home.
#[derive(Clone, Debug)]
pub(super) struct Home {
    files: Vec<(PathBuf, Vec<u8>)>,
    folders: Vec<(PathBuf, PathBuf)>,
    function: PathBuf,
}

impl Home {
    /// The home of the template in `folder`.
    pub(super) fn of(folder: &Path, handler_folder: &TreePath) -> io::Result<Self> {
        let mut home = Self {
            files: Vec::new(),
            folders: Vec::new(),
            function: Path::new(HOME).join(handler_folder.as_str()),
        };
        let mut left = FILES_BYTES_MAX;
        for entry in entries(folder)? {
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let is_known = NOT_AT_HOME.iter().any(|known| name == *known);
            if is_known || name == handler_folder.as_str() {
                continue;
            }
            let guest = Path::new(HOME).join(&name);
            if kind.is_dir() {
                home.folders.push((entry.path(), guest));
                continue;
            }
            let size_bytes = entry.metadata()?.len();
            if left < size_bytes {
                return Err(too_much());
            }
            let content = beneath::read(folder, &path(&name.to_string_lossy())?, left)?;
            left -= content.len() as u64;
            home.files.push((guest, content));
        }
        Ok(home)
    }

    /// The same in an image.
    pub(super) fn packed(&self) -> Result<Packed, ImageError> {
        let text = |path: &Path| path.display().to_string();
        let mut packed = Packed::default();
        for (host, guest) in &self.folders {
            packed = packed.and(Packed::folder(host, &text(guest))?);
        }
        for (guest, content) in &self.files {
            packed.text(&text(guest), content.clone());
        }
        packed.link(&text(&self.function), FUNCTION);
        Ok(packed)
    }

    /// Puts it into `jail`.
    pub(super) fn show(&self, jail: Jail<Open>) -> Jail<Open> {
        let files = self.files.iter();
        let jail = files.fold(jail, |jail, (guest, content)| {
            jail.file(guest.clone(), content.clone())
        });
        let folders = self.folders.iter();
        let jail = folders.fold(jail, |jail, (host, guest)| {
            jail.runtime(host.clone(), guest.clone())
        });
        jail.symlink(self.function.clone(), FUNCTION.into())
    }
}

/// The names of the files in a template's folder, two deep, where a handler is.
pub(super) fn names(folder: &Path) -> io::Result<Vec<TreePath>> {
    let mut found = Vec::new();
    for entry in entries(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_dir() {
            found.push(path(&name)?);
            continue;
        }
        for inner in fs::read_dir(entry.path())?.take(ENTRIES_MAX) {
            let inner = inner?.file_name();
            found.push(path(&format!("{name}/{}", inner.to_string_lossy()))?);
        }
    }
    found.sort();
    Ok(found)
}

fn path(raw: &str) -> io::Result<TreePath> {
    raw.parse()
        .map_err(|error: TreeError| io::Error::other(error))
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let mut found: Vec<_> = fs::read_dir(folder)?
        .take(ENTRIES_MAX + 1)
        .collect::<io::Result<_>>()?;
    if ENTRIES_MAX < found.len() {
        return Err(too_much());
    }
    found.sort_by_key(fs::DirEntry::file_name);
    Ok(found)
}

fn too_much() -> io::Error {
    io::Error::other(format!(
        "a template has at most {ENTRIES_MAX} files and folders at its top, and {FILES_BYTES_MAX} bytes in them"
    ))
}
