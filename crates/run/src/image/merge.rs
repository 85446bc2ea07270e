//! Layers merged into one root, once, out of hard links.
//!
//! A merged root costs its folders and nothing for its files, so a run mounts
//! one folder however many layers there are, and what layers remove is settled
//! by us and not by flags of a file system. The files that say who a guest is
//! are ours in every root, as they are on the host's `/usr`.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
        },
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde_json::json;
use strongroom_core::{digest::Digest, json};

use super::{
    Config, ImageError, Images,
    layer::{self, Unpacked, settle},
    path::lossy,
    unpack::Allowance,
};
use crate::runtime::IDENTITY;

pub(super) const TREE: &str = "tree";
/// Changes when what is made out of the same layers does.
const EDITION: u32 = 1;

/// What an image has at its top that guests do not see: the jail makes its
/// own, or shows something else there.
/// In a container `.strongroom` is the first process with its libraries.
pub(crate) const BELONGS_TO_THE_JAIL: [&str; 17] = [
    ".strongroom",
    "program",
    "proc",
    "sys",
    "dev",
    "tmp",
    "run",
    "out",
    "data",
    "function",
    "stage",
    "kit",
    "deps",
    "packages",
    "runtime",
    ".stage",
    "boot",
];

impl Images {
    /// Where the root of an image lies, if it is there.
    pub(super) fn root_place(&self, config: &Config) -> PathBuf {
        let diff_ids = &config.rootfs.diff_ids;
        let key = json!({ "edition": EDITION, "layers": diff_ids, "identity": IDENTITY });
        let key = Digest::of(json::canonical(&key).as_bytes());
        self.folder.join("roots").join(key.hex())
    }

    /// The folder of an image's root, which is made if it is not there.
    pub(super) fn root_folder(&self, image: &Digest) -> Result<PathBuf, ImageError> {
        let (manifest, config) = self.image(image)?;
        let folder = self.root_place(&config);
        if folder.is_dir() {
            return Ok(folder);
        }
        // What is unpacked in between must not be cleared away.
        let _incoming = self.incoming()?;
        let diff_ids = &config.rootfs.diff_ids;
        let mut allowance = Allowance::default();
        let layers = manifest.layers.iter().zip(diff_ids);
        let layers = layers.map(|(blob, diff_id)| self.layer(blob, diff_id, &mut allowance));
        let layers: Vec<Unpacked> = layers.collect::<Result<_, _>>()?;
        self.merge(&layers, &folder)?;
        Ok(folder)
    }

    fn merge(&self, layers: &[Unpacked], folder: &Path) -> Result<(), ImageError> {
        let attempt = ImageError::host("merge layers into a root");
        let staging = self.staging()?;
        let root = staging.path().join(TREE);
        let made = || -> io::Result<()> {
            make_folder(&root)?;
            for layer in layers {
                remove(&root, layer)?;
                lay(&layer.tree, &root)?;
            }
            identify(&root)
        };
        made().map_err(&attempt)?;
        let handle = layer::folder(&root).map_err(&attempt)?;
        check_links(&root, &handle)?;
        settle(staging, folder).map_err(&attempt)
    }
}

/// Takes away what a layer removes of those below it.
fn remove(root: &Path, layer: &Unpacked) -> io::Result<()> {
    for path in &layer.note.removed.opaque {
        let Some(folder) = below(root, path).filter(|folder| is_folder(folder)) else {
            continue;
        };
        for entry in fs::read_dir(folder)? {
            take_away(&entry?.path())?;
        }
    }
    for path in &layer.note.removed.paths {
        if let Some(path) = below(root, path) {
            take_away(&path)?;
        }
    }
    Ok(())
}

/// A path below `root`, unless a link is on the way to it.
fn below(root: &Path, path: &[u8]) -> Option<PathBuf> {
    let mut here = root.to_owned();
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        here.push(OsStr::from_bytes(part));
        if parts.peek().is_some() && !is_folder(&here) {
            return None;
        }
    }
    Some(here)
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

fn take_away(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        gone => gone,
    }
}

/// Lays a layer over what is there. Both trees are ours and nobody changes
/// them, so paths of folders that were just looked at are safe.
fn lay(layer: &Path, root: &Path) -> io::Result<()> {
    let mut open = vec![(layer.to_owned(), root.to_owned())];
    while let Some((from, to)) = open.pop() {
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !is_folder(&target) {
                    take_away(&target)?;
                    make_folder(&target)?;
                }
                fs::set_permissions(&target, entry.metadata()?.permissions())?;
                open.push((source, target));
                continue;
            }
            take_away(&target)?;
            match kind.is_symlink() {
                true => symlink(fs::read_link(&source)?, &target)?,
                false => link(&source, &target)?,
            }
        }
    }
    Ok(())
}

/// A file of many links, as an empty one may be, is copied in the end.
fn link(source: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(source, target) {
        Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {
            fs::copy(source, target).map(drop)
        }
        linked => linked,
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)
}

/// Puts our files in the place of those that say who a guest is.
fn identify(root: &Path) -> io::Result<()> {
    let etc = root.join("etc");
    if !is_folder(&etc) {
        take_away(&etc)?;
        make_folder(&etc)?;
    }
    for (name, content) in IDENTITY {
        let path = root.join(name.trim_start_matches('/'));
        // A file of a layer is shared with others, so it is never written to.
        take_away(&path)?;
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Refuses links that lead round in a circle, as a guest would see them.
fn check_links(root: &Path, handle: &OwnedFd) -> Result<(), ImageError> {
    let attempt = ImageError::host("look at the links of a root");
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(&attempt)? {
            let entry = entry.map_err(&attempt)?;
            let kind = entry.file_type().map_err(&attempt)?;
            let path = entry.path();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink()
                && is_circle(handle, path.strip_prefix(root).unwrap_or(&path))
            {
                let inside = path.strip_prefix(root).unwrap_or(&path);
                return Err(ImageError::CyclicLink(lossy(inside.as_os_str().as_bytes())));
            }
        }
    }
    Ok(())
}

fn is_circle(root: &OwnedFd, path: &Path) -> bool {
    let found = in_root(root, path);
    found.is_err_and(|errno| errno == rustix::io::Errno::LOOP)
}

/// Looks a path up as a guest would whose root this is.
pub(crate) fn in_root(root: &OwnedFd, path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), within)
}
