//! Local files on their way to a station.
//!
//! They follow the laws of every tree: regular files with names that are safe
//! anywhere. A link or a device is refused by its name, never followed and
//! never left out silently. Hidden files are files.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use strongroom_core::{
    digest::Digest,
    tree::{DEPTH_MAX, FILES_MAX, TreeError, TreeFile, TreePath},
};

/// Bytes read from the disk at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// A file below a folder, or the file itself.
#[derive(Debug, Clone)]
pub struct LocalFile {
    pub path: TreePath,
    pub host: PathBuf,
    pub size_bytes: u64,
}

/// Why local files cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("could not read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is {kind}; only regular files and folders are taken", .path.display())]
    Kind { path: PathBuf, kind: &'static str },
    #[error("{}", .path.display())]
    Tree { path: PathBuf, source: TreeError },
    #[error("{} is larger than {max_bytes} bytes", .path.display())]
    TooLarge { path: PathBuf, max_bytes: u64 },
}

/// All files at `path`, in the order of their paths. What `path` itself names
/// may be a link; what lies below may not.
pub fn find(path: &Path) -> Result<Vec<LocalFile>, FilesError> {
    let real = fs::canonicalize(path).map_err(reading(path))?;
    let meta = fs::symlink_metadata(&real).map_err(reading(path))?;
    let mut found = Vec::new();
    if meta.is_dir() {
        folder(&mut found, &real, "", 0)?;
    } else {
        // It is called what the user called it, wherever a link leads.
        let name = path.file_name().unwrap_or_default();
        entry(&mut found, &real, named(path, name.as_bytes())?, &meta, 0)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn folder(
    found: &mut Vec<LocalFile>,
    at: &Path,
    prefix: &str,
    depth: usize,
) -> Result<(), FilesError> {
    for each in fs::read_dir(at).map_err(reading(at))? {
        let each = each.map_err(reading(at))?;
        let host = each.path();
        let raw = [prefix.as_bytes(), each.file_name().as_bytes()].concat();
        let path = named(&host, &raw)?;
        let meta = fs::symlink_metadata(&host).map_err(reading(&host))?;
        entry(found, &host, path, &meta, depth)?;
    }
    Ok(())
}

fn entry(
    found: &mut Vec<LocalFile>,
    host: &Path,
    path: TreePath,
    meta: &Metadata,
    depth: usize,
) -> Result<(), FilesError> {
    if meta.is_dir() && depth < DEPTH_MAX {
        return folder(found, host, &format!("{path}/"), depth + 1);
    }
    if !meta.is_file() {
        return Err(wrong_kind(host, meta));
    }
    if FILES_MAX <= found.len() {
        let source = TreeError::TooMany;
        return Err(FilesError::Tree {
            path: host.to_owned(),
            source,
        });
    }
    found.push(LocalFile {
        path,
        host: host.to_owned(),
        size_bytes: meta.len(),
    });
    Ok(())
}

fn wrong_kind(path: &Path, meta: &Metadata) -> FilesError {
    let kind = match meta.file_type() {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "too deep a folder",
        _ => "a special file",
    };
    FilesError::Kind {
        path: path.to_owned(),
        kind,
    }
}

fn named(host: &Path, raw: &[u8]) -> Result<TreePath, FilesError> {
    TreePath::from_bytes(raw).map_err(|source| FilesError::Tree {
        path: host.to_owned(),
        source,
    })
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Read { path, source }
}

impl LocalFile {
    /// Opens it, unless something else has taken its place since.
    pub fn open(&self) -> Result<File, FilesError> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = File::options();
        options.read(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(&self.host).map_err(reading(&self.host))?;
        let meta = file.metadata().map_err(reading(&self.host))?;
        if meta.is_file() {
            Ok(file)
        } else {
            Err(wrong_kind(&self.host, &meta))
        }
    }

    /// Its digest and size, as they are now.
    pub fn hash(&self, mut read: impl FnMut(u64)) -> Result<TreeFile, FilesError> {
        let mut file = self.open()?;
        let (mut hash, mut size_bytes) = (Sha256::new(), 0);
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = file.read(&mut buffer).map_err(reading(&self.host))?;
            if count == 0 {
                let digest = Digest::from_bytes(hash.finalize().into());
                return Ok(TreeFile { digest, size_bytes });
            }
            hash.update(&buffer[..count]);
            size_bytes += count as u64;
            read(count as u64);
        }
    }

    /// Its bytes, of which there may be `max_bytes`.
    pub fn read(&self, max_bytes: u64) -> Result<Vec<u8>, FilesError> {
        let mut bytes = Vec::new();
        let mut bounded = self.open()?.take(max_bytes.saturating_add(1));
        bounded
            .read_to_end(&mut bytes)
            .map_err(reading(&self.host))?;
        if max_bytes < bytes.len() as u64 {
            return Err(FilesError::TooLarge {
                path: self.host.clone(),
                max_bytes,
            });
        }
        Ok(bytes)
    }
}
