//! Trees as folders, below `<home>/views`: what a run sees, read-only.
//!
//! A view is a folder of hard links to the files, so it costs no space and
//! its content is what was hashed. It is built under a temporary name and
//! renamed, so one that exists is whole. Views can be rebuilt, so they are not
//! synced; after a restart of the machine, which may have lost names that
//! were never synced, all of them are forgotten.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use strongroom_core::{digest::Digest, tree::Tree, tree::TreeFile, tree::TreePath};

use crate::{
    blob::{BlobError, Blobs, blocking, empty_folder},
    error::StoreError,
};

/// How many files are looked at without another thread.
const CHECK_HERE_MAX: usize = 16;

const BUILD: &str = "lay out a tree's files";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Blobs {
    /// The folder with the files of `tree`, built if it is not there yet.
    ///
    /// # Errors
    ///
    /// [`BlobError::Missing`] for a file that was never put.
    pub async fn view(&self, tree: &Tree) -> Result<PathBuf, StoreError> {
        // To see that it is there takes less than to ask another thread to look.
        if let Some(path) = self.view_there(tree)? {
            return Ok(path);
        }
        let (blobs, tree) = (self.clone(), tree.clone());
        blocking(move || blobs.view_now(&tree)).await
    }

    /// A folder of its own for a moment, beside the views and under their
    /// laws. It goes when it is dropped, or as the next station starts.
    pub fn scratch(&self) -> Result<tempfile::TempDir, StoreError> {
        tempfile::Builder::new()
            .tempdir_in(self.views().join("tmp"))
            .map_err(StoreError::io("make a folder for a moment"))
    }

    fn view_there(&self, tree: &Tree) -> Result<Option<PathBuf>, StoreError> {
        let path = self.views().join(tree.digest().hex());
        if !path.is_dir() {
            return Ok(None);
        }
        check(&path, tree)?;
        Ok(Some(path))
    }

    /// Refuses a tree with a file that was never put, or in another size.
    pub(crate) async fn check(&self, tree: &Tree) -> Result<(), StoreError> {
        if tree.file_count() <= CHECK_HERE_MAX {
            return self.check_now(tree);
        }
        let (blobs, tree) = (self.clone(), tree.clone());
        blocking(move || blobs.check_now(&tree)).await
    }

    fn check_now(&self, tree: &Tree) -> Result<(), StoreError> {
        for (path, file) in tree.files() {
            let found = fs::metadata(self.path(&file.digest));
            if !found.is_ok_and(|found| found.len() == file.size_bytes) {
                return Err(StoreError::BlobMissing {
                    path: path.clone(),
                    digest: file.digest,
                });
            }
        }
        Ok(())
    }

    fn view_now(&self, tree: &Tree) -> Result<PathBuf, StoreError> {
        let path = self.views().join(tree.digest().hex());
        let building = tempfile::Builder::new()
            .tempdir_in(self.views().join("tmp"))
            .map_err(StoreError::io(BUILD))?;
        let root = building.path().join("root");
        self.build(&root, tree)?;
        match fs::rename(&root, &path) {
            Ok(()) => Ok(path),
            // Somebody built the same at the same time.
            Err(_) if path.is_dir() => Ok(path),
            Err(error) => Err(StoreError::io(BUILD)(error)),
        }
    }

    fn build(&self, root: &Path, tree: &Tree) -> Result<(), StoreError> {
        make_open_folder(root).map_err(StoreError::io(BUILD))?;
        for folder in folders(tree) {
            make_open_folder(&root.join(folder)).map_err(StoreError::io(BUILD))?;
        }
        for (path, file) in tree.files() {
            self.lay(&root.join(path.as_str()), &file.digest)?;
        }
        Ok(())
    }

    fn lay(&self, at: &Path, digest: &Digest) -> Result<(), StoreError> {
        let from = self.path(digest);
        let linked = fs::hard_link(&from, at);
        match linked {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BlobError::Missing { digest: *digest }.into())
            }
            // A file system may not link, or not as often as this file is wanted.
            Err(_) => fs::copy(&from, at)
                .and_then(|_| fs::set_permissions(at, Permissions::from_mode(0o444)))
                .map_err(StoreError::io(BUILD)),
        }
    }

    /// Makes the folder for views, without any from before the machine's last start.
    pub(crate) fn prepare_views(&self) -> Result<(), StoreError> {
        let attempt = "prepare the folder for views";
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let noted = self.views().join("boot");
        let same = fs::read_to_string(&noted).is_ok_and(|noted| !boot.is_empty() && noted == boot);
        if !same {
            empty_folder(&self.views()).map_err(StoreError::io(attempt))?;
            fs::write(&noted, &boot).map_err(StoreError::io(attempt))?;
        }
        empty_folder(&self.views().join("tmp")).map_err(StoreError::io(attempt))
    }

    fn views(&self) -> PathBuf {
        self.home.join("views")
    }
}

/// A folder that the guest's user may enter.
fn make_open_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    // Again, since the mode at creation passes through the umask.
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Every folder of a tree, each after the one it lies in.
fn folders(tree: &Tree) -> BTreeSet<&str> {
    let of_path = |path: &'_ str| {
        path.match_indices('/')
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    tree.files()
        .flat_map(|(path, _)| {
            let raw = path.as_str();
            of_path(raw).into_iter().map(move |end| &raw[..end])
        })
        .collect()
}

/// A look at both ends: enough to see that somebody has been in the folder by hand.
fn check(view: &Path, tree: &Tree) -> Result<(), StoreError> {
    let mut files = tree.files();
    let first = files.next();
    for (path, file) in first.into_iter().chain(files.last()) {
        check_file(view, path, file)?;
    }
    Ok(())
}

fn check_file(view: &Path, path: &TreePath, file: &TreeFile) -> Result<(), StoreError> {
    let found = fs::symlink_metadata(view.join(path.as_str()));
    match found {
        Ok(found) if found.is_file() && found.len() == file.size_bytes => Ok(()),
        _ => Err(StoreError::corrupt(format!(
            "view {} has lost `{path}`; remove that folder",
            view.display()
        ))),
    }
}
