//! Tar archives from strangers, read one entry at a time.
//!
//! Only regular files and folders pass. Whatever two programs could unpack
//! differently is refused with the entry's name: links, devices, sparse
//! files, names that climb, collide or are not UTF-8, an archive that is cut
//! off. Nothing is ever unpacked to a path that the archive names.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{self, Read},
    rc::Rc,
};

use strongroom_core::{
    digest::Digest,
    text,
    tree::{FILES_MAX, Tree, TreeError, TreeFile, TreePath},
};
use strongroom_run::image;
use tar::EntryType;

/// What the headers between two files may take, long names included.
const HEADERS_BYTES_MAX: u64 = 1 << 20;
/// What may come after the end of the archive: tar pads it to a full record.
const PADDING_BYTES_MAX: u64 = 1 << 20;
/// An archive ends with two blocks of zeros.
const END_ZEROS: u64 = 1024;

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("archive entry")]
    Name(#[from] TreeError),
    #[error("archive entry `{}` is {kind}; only regular files and folders are taken", text::shown(.name, 120))]
    Kind { name: String, kind: &'static str },
    #[error("the archive is cut off")]
    CutOff,
    #[error("the archive goes on after its end")]
    GoesOn,
    #[error("not a tar archive: {0}")]
    NotTar(String),
    #[error("archive entry `{}` cannot be stored", .name)]
    Store { name: TreePath, source: io::Error },
}

/// Bytes that may still be read before something is out of bounds.
#[derive(Clone)]
struct Allowance(Rc<Cell<u64>>);

struct Bounded<'a, R> {
    from: &'a mut R,
    left: Allowance,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.0.get();
        if left == 0 {
            return Err(io::Error::other("its headers are too long"));
        }
        let most = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.from.read(&mut into[..most])?;
        self.left.0.set(left - count as u64);
        Ok(count)
    }
}

/// Reads an archive and hands each file to `store`, in the order they come.
///
/// `zeros_at_end` tells how many zero bytes `from` has given last, which
/// shows whether the archive was whole.
///
/// # Errors
///
/// [`ArchiveError`] names the entry; the sender is at fault, except for
/// [`ArchiveError::Store`].
pub fn read<R: Read, T>(
    from: &mut R,
    zeros_at_end: impl FnOnce(&R) -> u64,
    mut store: impl FnMut(&TreePath, u64, &mut dyn Read) -> io::Result<T>,
) -> Result<BTreeMap<TreePath, T>, ArchiveError> {
    let left = Allowance(Rc::new(Cell::new(HEADERS_BYTES_MAX)));
    let mut names = Names::default();
    let mut archive = tar::Archive::new(Bounded {
        from,
        left: left.clone(),
    });
    for entry in archive.entries().map_err(not_tar)? {
        let mut entry = entry.map_err(not_tar)?;
        let Some((path, is_folder)) = checked(&mut entry)? else {
            continue;
        };
        left.0.set(entry.size().saturating_add(HEADERS_BYTES_MAX));
        if is_folder {
            names.folder(path)?;
            continue;
        }
        names.file_begins(&path)?;
        let size = entry.size();
        let mut counted = Counted {
            from: &mut entry,
            count: 0,
        };
        let stored = store(&path, size, &mut counted);
        let whole = counted.count == size;
        let stored = stored.map_err(|source| ArchiveError::Store {
            name: path.clone(),
            source,
        })?;
        if !whole {
            return Err(ArchiveError::CutOff);
        }
        names.file_ends(path, stored);
        left.0.set(HEADERS_BYTES_MAX);
    }
    let Bounded { from, .. } = archive.into_inner();
    drain(from)?;
    if zeros_at_end(from) < END_ZEROS {
        return Err(ArchiveError::CutOff);
    }
    names.done()
}

fn not_tar(error: io::Error) -> ArchiveError {
    ArchiveError::NotTar(text::shown(&super::error::chain(&error), 200))
}

/// The entry's path and whether it is a folder; `None` for what says nothing.
fn checked<R: Read>(
    entry: &mut tar::Entry<'_, R>,
) -> Result<Option<(TreePath, bool)>, ArchiveError> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let kind = match entry.header().entry_type() {
        EntryType::Regular | EntryType::Directory => None,
        EntryType::XGlobalHeader => return Ok(None),
        EntryType::Link => Some("a hard link"),
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::Fifo => Some("a FIFO"),
        EntryType::GNUSparse => Some("a sparse file"),
        _ => Some("of a kind that tar has no portable meaning for"),
    };
    let kind = if kind.is_none() && image::is_sparse(entry).map_err(not_tar)? {
        Some("a sparse file")
    } else {
        kind
    };
    if let Some(kind) = kind {
        return Err(ArchiveError::Kind { name, kind });
    }
    let is_folder = entry.header().entry_type() == EntryType::Directory;
    let raw = entry.path_bytes();
    let raw = raw.strip_prefix(b"./").unwrap_or(&raw);
    let raw = if is_folder {
        raw.strip_suffix(b"/").unwrap_or(raw)
    } else {
        raw
    };
    if is_folder && (raw.is_empty() || raw == b".") {
        return Ok(None);
    }
    Ok(Some((TreePath::from_bytes(raw)?, is_folder)))
}

struct Counted<'a, R> {
    from: &'a mut R,
    count: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// The names seen so far.
struct Names<T> {
    files: BTreeMap<TreePath, Option<T>>,
    folders: std::collections::BTreeSet<TreePath>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            folders: std::collections::BTreeSet::new(),
        }
    }
}

impl<T> Names<T> {
    fn folder(&mut self, path: TreePath) -> Result<(), ArchiveError> {
        if self.files.contains_key(&path) {
            return Err(TreeError::FileAndFolder(path.to_string()).into());
        }
        self.folders.insert(path);
        self.bounded()
    }

    fn file_begins(&mut self, path: &TreePath) -> Result<(), ArchiveError> {
        if self.folders.contains(path) {
            return Err(TreeError::FileAndFolder(path.to_string()).into());
        }
        if self.files.insert(path.clone(), None).is_some() {
            return Err(TreeError::Twice(path.to_string()).into());
        }
        self.bounded()
    }

    fn file_ends(&mut self, path: TreePath, stored: T) {
        self.files.insert(path, Some(stored));
    }

    fn bounded(&self) -> Result<(), ArchiveError> {
        match self.files.len() <= FILES_MAX && self.folders.len() <= FILES_MAX {
            true => Ok(()),
            false => Err(TreeError::TooMany.into()),
        }
    }

    /// The files, if their names make a tree.
    fn done(self) -> Result<BTreeMap<TreePath, T>, ArchiveError> {
        let nothing = TreeFile {
            digest: Digest::of(b""),
            size_bytes: 0,
        };
        Tree::new(self.files.keys().map(|path| (path.clone(), nothing)))?;
        Ok(self
            .files
            .into_iter()
            .filter_map(|(path, stored)| Some((path, stored?)))
            .collect())
    }
}

/// Reads what pads the archive, so that the sender sees his whole body taken.
fn drain(from: &mut impl Read) -> Result<(), ArchiveError> {
    let read = io::copy(&mut from.take(PADDING_BYTES_MAX + 1), &mut io::sink());
    match read {
        Ok(count) if count <= PADDING_BYTES_MAX => Ok(()),
        Ok(_) => Err(ArchiveError::GoesOn),
        Err(error) => Err(not_tar(error)),
    }
}
