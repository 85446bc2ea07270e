//! Local files as a guest will see them.
//!
//! They follow the laws that a pushed tree follows, so that what works here
//! works on a station. A folder whose files everyone may read is shown as it
//! lies; otherwise its files are linked or copied, since the guest is nobody.

use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io::{self, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use strongroom_core::{
    digest::Digest,
    limits::MIB,
    manifest::Files,
    tree::{DEPTH_MAX, FILES_MAX, Tree, TreeError, TreeFile, TreePath},
};

use super::{TrialError, reading};

/// The largest function, as on a station.
pub(super) const FUNCTION_BYTES_MAX: u64 = 16 * MIB;

/// A file below a folder, or the file itself.
struct Found {
    path: TreePath,
    host: PathBuf,
    meta: Metadata,
}

/// Reads a function's files.
pub(super) fn function(path: &Path) -> Result<Files, TrialError> {
    let (found, _) = find(path)?;
    if FUNCTION_BYTES_MAX < found.iter().map(|file| file.meta.len()).sum() {
        return Err(TrialError::FunctionTooLarge);
    }
    let read = |file: Found| {
        let bytes = fs::read(&file.host).map_err(reading(&file.host))?;
        Ok((file.path, bytes))
    };
    found.into_iter().map(read).collect()
}

/// Writes a function's files to a new folder.
pub(super) fn write(folder: &Path, files: &Files) -> io::Result<()> {
    make_folder(folder)?;
    for (path, bytes) in files {
        let to = make_place(folder, path)?;
        let mut file = fs::File::create_new(&to)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o444))?;
    }
    Ok(())
}

/// A folder that shows what lies at `path`: that folder itself, or else `folder`.
pub(super) fn view(path: &Path, folder: &Path) -> Result<PathBuf, TrialError> {
    let (found, open_to_all) = find(path)?;
    let is_folder = fs::metadata(path).map_err(reading(path))?.is_dir();
    if is_folder && open_to_all {
        return fs::canonicalize(path).map_err(reading(path));
    }
    make_folder(folder).map_err(TrialError::LayOut)?;
    for file in found {
        let to = make_place(folder, &file.path).map_err(TrialError::LayOut)?;
        let readable = file.meta.permissions().mode() & 0o004 != 0;
        // A link costs nothing, but works only inside one file system.
        if readable && fs::hard_link(&file.host, &to).is_ok() {
            continue;
        }
        fs::copy(&file.host, &to).map_err(reading(&file.host))?;
        fs::set_permissions(&to, Permissions::from_mode(0o444)).map_err(TrialError::LayOut)?;
    }
    Ok(folder.to_owned())
}

/// The digest of a folder's content, as a station has it once it is pushed.
pub(super) fn digest(folder: &Path) -> Result<Digest, TrialError> {
    let (found, _) = find(folder)?;
    let mut entries = Vec::new();
    for file in found {
        let mut from = fs::File::open(&file.host).map_err(reading(&file.host))?;
        let digest = super::keep::copy(&mut from, &mut io::sink());
        let tree_file = TreeFile {
            digest: digest.map_err(reading(&file.host))?,
            size_bytes: file.meta.len(),
        };
        entries.push((file.path, tree_file));
    }
    let tree = Tree::new(entries).map_err(|source| TrialError::Tree {
        path: folder.to_owned(),
        source,
    })?;
    Ok(tree.digest())
}

/// All files at `path` in order, and whether everyone may read all of it.
fn find(path: &Path) -> Result<(Vec<Found>, bool), TrialError> {
    // The path itself may be a link; what lies below may not.
    let meta = fs::metadata(path).map_err(reading(path))?;
    let mut walk = Walk {
        found: Vec::new(),
        open_to_all: true,
    };
    if meta.is_dir() {
        walk.folder(path, "", 0)?;
        walk.open_to_all &= may_list(&meta);
    } else {
        let name = path.file_name().unwrap_or_default();
        walk.entry(path, &named(path, name.as_bytes())?, meta, 0)?;
    }
    let laws = walk.found.iter().map(|file| {
        let file_entry = TreeFile {
            digest: Digest::of(b""),
            size_bytes: file.meta.len(),
        };
        (file.path.clone(), file_entry)
    });
    Tree::new(laws).map_err(|source| TrialError::Tree {
        path: path.to_owned(),
        source,
    })?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((walk.found, walk.open_to_all))
}

fn may_list(meta: &Metadata) -> bool {
    meta.permissions().mode() & 0o005 == 0o005
}

struct Walk {
    found: Vec<Found>,
    open_to_all: bool,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), TrialError> {
        for entry in fs::read_dir(folder).map_err(reading(folder))? {
            let entry = entry.map_err(reading(folder))?;
            let host = entry.path();
            let mut raw = prefix.as_bytes().to_vec();
            raw.extend_from_slice(entry.file_name().as_bytes());
            let path = named(&host, &raw)?;
            let meta = fs::symlink_metadata(&host).map_err(reading(&host))?;
            self.entry(&host, &path, meta, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        host: &Path,
        path: &TreePath,
        meta: Metadata,
        depth: usize,
    ) -> Result<(), TrialError> {
        let kind = meta.file_type();
        if kind.is_dir() {
            self.open_to_all &= may_list(&meta);
            return match depth < DEPTH_MAX {
                true => self.folder(host, &format!("{path}/"), depth + 1),
                false => Err(TrialError::Kind {
                    path: host.to_owned(),
                    kind: "too deep a folder",
                }),
            };
        }
        if !kind.is_file() {
            let kind = if kind.is_symlink() {
                "a symbolic link"
            } else {
                "a special file"
            };
            return Err(TrialError::Kind {
                path: host.to_owned(),
                kind,
            });
        }
        if FILES_MAX <= self.found.len() {
            let source = TreeError::TooMany;
            return Err(TrialError::Tree {
                path: host.to_owned(),
                source,
            });
        }
        self.open_to_all &= meta.permissions().mode() & 0o004 != 0;
        self.found.push(Found {
            path: path.clone(),
            host: host.to_owned(),
            meta,
        });
        Ok(())
    }
}

fn named(host: &Path, raw: &[u8]) -> Result<TreePath, TrialError> {
    TreePath::from_bytes(raw).map_err(|source| TrialError::Tree {
        path: host.to_owned(),
        source,
    })
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)?;
    // Whatever the umask says: the guest is nobody and has to get in.
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Makes the folders that `path` needs below `folder`.
fn make_place(folder: &Path, path: &TreePath) -> io::Result<PathBuf> {
    for (end, _) in path.as_str().match_indices('/') {
        make_folder(&folder.join(&path.as_str()[..end]))?;
    }
    Ok(folder.join(path.as_str()))
}
