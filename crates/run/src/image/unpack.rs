//! A layer's archive, walked into an empty folder of our own.
//!
//! Every step is one name in an open folder and never goes through a link, so
//! no entry can reach beyond the folder whatever it is called. What a layer
//! removes from those below is written down and not acted on here. Owners,
//! extended attributes and the bits that raise privileges are dropped; device
//! nodes and FIFOs are left out, since no guest is shown one. Whatever else is
//! not a file, a folder or a link is refused.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    rc::Rc,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, Timespec, Timestamps},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use tar::EntryType;

use super::{
    ENTRIES_MAX, LayerError, UNPACKED_BYTES_MAX,
    bounded::{Bound, Bounded},
    path::{Place, climbs, joined, lossy, place, plain},
    steps::{make, walk},
};

/// What the headers between two files may take, long names included.
const HEADERS_BYTES_MAX: u64 = 1 << 20;
/// What may come after the end of the archive.
const PADDING_BYTES_MAX: u64 = 1 << 20;
/// The longest target of a link, in bytes.
const TARGET_LEN_MAX: usize = 4095;
/// What the paths that a layer removes may come to, in bytes.
const REMOVED_BYTES_MAX: usize = 16 << 20;
const PIECE_BYTES: usize = 128 * 1024;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What the union file system of old kept for itself.
const OF_AUFS: &[u8] = b".wh..wh.";

/// What may still be unpacked of one image.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    /// Files, links and folders, also those that only lie on the way.
    pub(crate) entries: u64,
    /// Of the archives, with all headers and all that is left out.
    pub(crate) bytes: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            entries: ENTRIES_MAX,
            bytes: UNPACKED_BYTES_MAX,
        }
    }
}

impl Allowance {
    pub(crate) fn entry(&mut self) -> Result<(), LayerError> {
        self.spend_entries(1)
    }

    pub(super) fn spend_entries(&mut self, count: u64) -> Result<(), LayerError> {
        let left = self.entries.checked_sub(count);
        self.entries = left.ok_or(LayerError::TooManyEntries)?;
        Ok(())
    }

    /// Spends what a layer took that is unpacked already.
    pub(super) fn spend_bytes(&mut self, count: u64) -> Result<(), LayerError> {
        self.bytes = self.bytes.checked_sub(count).ok_or(LayerError::TooLarge)?;
        Ok(())
    }
}

/// What a layer removes from those below it, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// Entries that are gone.
    pub(crate) paths: Vec<Vec<u8>>,
    /// Folders of which nothing below is left.
    pub(crate) opaque: Vec<Vec<u8>>,
}

/// A folder that a layer is unpacked into.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    /// The folder of the entry before, which is mostly that of the next.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// Folders that the present entry made.
    made: u64,
    pub(crate) removed: Removed,
    removed_bytes: usize,
}

impl Tree {
    /// Unpacks into the folder `root`, which is empty.
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            last: None,
            made: 0,
            removed: Removed::default(),
            removed_bytes: 0,
        }
    }

    /// Unpacks an archive to its end. `packed` tells how many bytes of the
    /// stored layer were read so far.
    ///
    /// # Errors
    ///
    /// [`LayerError`] names the entry. What was unpacked before is left to the
    /// caller to remove.
    pub(crate) fn unpack(
        &mut self,
        from: impl Read,
        packed: impl Fn() -> u64,
        allowance: &mut Allowance,
    ) -> Result<(), LayerError> {
        let bound = Bound::new(allowance.bytes, HEADERS_BYTES_MAX);
        let from = Bounded::new(from, packed, Rc::clone(&bound));
        let unpacked = self.entries(from, &bound, allowance);
        allowance.bytes = bound.left();
        match bound.fault() {
            Some(fault) => Err(fault),
            None => unpacked,
        }
    }

    fn entries(
        &mut self,
        from: impl Read,
        bound: &Bound,
        allowance: &mut Allowance,
    ) -> Result<(), LayerError> {
        let mut archive = tar::Archive::new(from);
        for entry in archive.entries().map_err(not_tar)? {
            let mut entry = entry.map_err(not_tar)?;
            allowance.entry()?;
            bound.renew(entry.size().saturating_add(HEADERS_BYTES_MAX));
            self.entry(&mut entry)?;
            allowance.spend_entries(std::mem::take(&mut self.made))?;
            bound.renew(HEADERS_BYTES_MAX);
        }
        bound.renew(u64::MAX);
        drain(archive.into_inner())
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), LayerError> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let wrong = |why| LayerError::Entry {
            name: lossy(&raw),
            why,
        };
        if kind == EntryType::GNUSparse || is_sparse(entry).map_err(not_tar)? {
            return Err(wrong("is a sparse file"));
        }
        let path = plain(&raw).map_err(wrong)?;
        if path.is_empty() {
            return match kind {
                EntryType::Directory => Ok(()),
                _ => Err(wrong("has no name")),
            };
        }
        let place = place(&path);
        if place.name.starts_with(WHITEOUT) {
            return self.removes(&place).map_err(wrong);
        }
        match kind {
            EntryType::Directory => {
                let mode = entry.header().mode().map_err(not_tar)?;
                self.folder(&path, mode)
            }
            EntryType::Regular | EntryType::Continuous => self.file(&path, entry),
            EntryType::Symlink => {
                let target = target(entry).ok_or_else(|| wrong("is a link that leads nowhere"))?;
                if climbs(&path, &target) {
                    return Err(wrong("is a link that climbs out of the image"));
                }
                self.link(&path, &target)
            }
            EntryType::Link => {
                let target = target(entry).ok_or_else(|| wrong("is a link that leads nowhere"))?;
                let plain = plain(&target).map_err(|_| {
                    wrong("is a hard link to an absolute path, or to one that climbs")
                })?;
                self.hard_link(&path, &plain)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => Ok(()),
            _ => Err(wrong("is of a kind that tar has no portable meaning for")),
        }
    }

    /// Writes down what the layers below lose.
    fn removes(&mut self, place: &Place<'_>) -> Result<(), &'static str> {
        self.removed_bytes += place.folder.len() + place.name.len();
        if REMOVED_BYTES_MAX < self.removed_bytes {
            return Err("is one more than a layer may remove");
        }
        if place.name == OPAQUE {
            self.removed.opaque.push(place.folder.to_vec());
            return Ok(());
        }
        if place.name.starts_with(OF_AUFS) {
            return Ok(());
        }
        let name = &place.name[WHITEOUT.len()..];
        if name.is_empty() || name == b"." || name == b".." {
            return Err("removes nothing that has a name");
        }
        self.removed.paths.push(joined(place.folder, name));
        Ok(())
    }

    fn folder(&mut self, path: &[u8], mode: u32) -> Result<(), LayerError> {
        let folder = self.open_folder(path)?;
        // It is an entry itself, and counted as that.
        self.made = self.made.saturating_sub(1);
        let mode = Mode::from_raw_mode(mode & 0o755 | 0o700);
        rustix::fs::fchmod(&folder, mode).map_err(writing(path))
    }

    fn file<R: Read>(
        &mut self,
        path: &[u8],
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<(), LayerError> {
        let size = entry.size();
        let mode = entry.header().mode().map_err(not_tar)? & 0o755 | 0o400;
        let mtime = entry.header().mtime().map_err(not_tar)?;
        let place = place(path);
        let folder = self.open_folder(place.folder)?;
        vacate(&folder, &place, path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW;
        let name = OsStr::from_bytes(place.name);
        let file = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(file.map_err(writing(path))?);
        let room = usize::try_from(size.saturating_add(1)).unwrap_or(PIECE_BYTES);
        let (mut piece, mut count) = (vec![0; PIECE_BYTES.min(room)], 0);
        loop {
            let read = entry.read(&mut piece).map_err(not_tar)?;
            if read == 0 {
                break;
            }
            count += read as u64;
            let written = file.write_all(&piece[..read]);
            written.map_err(|source| LayerError::Write {
                name: lossy(path),
                source,
            })?;
        }
        if count != size {
            return Err(LayerError::CutOff);
        }
        let time = Timespec {
            tv_sec: i64::try_from(mtime).unwrap_or(0),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(writing(path))?;
        rustix::fs::futimens(&file, &times).map_err(writing(path))
    }

    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), LayerError> {
        let place = place(path);
        let folder = self.open_folder(place.folder)?;
        vacate(&folder, &place, path)?;
        let (target, name) = (OsStr::from_bytes(target), OsStr::from_bytes(place.name));
        rustix::fs::symlinkat(target, &folder, name).map_err(writing(path))
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), LayerError> {
        let nowhere = || LayerError::HardLink {
            name: lossy(path),
            target: lossy(target),
        };
        if path == target || target.is_empty() {
            return Err(nowhere());
        }
        let from = place(target);
        // Only what is there already: nothing is made on the way to a target.
        let source = walk(&self.root, from.folder).map_err(|_| nowhere())?;
        let name = OsStr::from_bytes(from.name);
        let found = rustix::fs::statat(&source, name, AtFlags::SYMLINK_NOFOLLOW);
        let kind = found.map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
        if !matches!(kind, Ok(kind) if kind.is_file() || kind.is_symlink()) {
            return Err(nowhere());
        }
        let place = place(path);
        let folder = self.open_folder(place.folder)?;
        vacate(&folder, &place, path)?;
        let to = OsStr::from_bytes(place.name);
        rustix::fs::linkat(&source, name, &folder, to, AtFlags::empty()).map_err(writing(path))
    }

    /// Opens a folder by its path, making what is not there.
    fn open_folder(&mut self, path: &[u8]) -> Result<OwnedFd, LayerError> {
        let again = |folder: &OwnedFd| {
            folder.try_clone().map_err(|source| LayerError::Write {
                name: lossy(path),
                source,
            })
        };
        if let Some((last, folder)) = &self.last
            && last == path
        {
            return again(folder);
        }
        let made = make(&self.root, path, &mut self.made).map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => LayerError::Through { name: lossy(path) },
            errno => writing(path)(errno),
        })?;
        let folder = again(&made)?;
        self.last = Some((path.to_vec(), made));
        Ok(folder)
    }
}

/// Makes room for an entry: the last one of a name counts, but a folder stays.
fn vacate(folder: impl AsFd, place: &Place<'_>, path: &[u8]) -> Result<(), LayerError> {
    let name = OsStr::from_bytes(place.name);
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => Err(LayerError::Entry {
            name: lossy(path),
            why: "was a folder before in the same layer",
        }),
        Err(errno) => Err(writing(path)(errno)),
    }
}

fn target<R: Read>(entry: &tar::Entry<'_, R>) -> Option<Vec<u8>> {
    let target = entry.link_name_bytes()?.into_owned();
    let fits = !target.is_empty() && target.len() <= TARGET_LEN_MAX && !target.contains(&0);
    fits.then_some(target)
}

/// Whether a file is written with holes left out, as extended headers say it.
///
/// # Errors
///
/// Of the archive, when its headers cannot be read.
pub fn is_sparse<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<bool> {
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(false);
    };
    for extension in extensions {
        if extension?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn drain(from: impl Read) -> Result<(), LayerError> {
    let read = io::copy(&mut from.take(PADDING_BYTES_MAX + 1), &mut io::sink());
    match read.map_err(not_tar)? {
        count if count <= PADDING_BYTES_MAX => Ok(()),
        _ => Err(LayerError::GoesOn),
    }
}

fn not_tar(error: io::Error) -> LayerError {
    let mut said = error.to_string();
    if let Some(cause) = error.get_ref().and_then(std::error::Error::source) {
        said = format!("{said}: {cause}");
    }
    LayerError::NotTar(strongroom_core::text::shown(&said, 200))
}

fn writing(path: &[u8]) -> impl Fn(Errno) -> LayerError {
    let name = lossy(path);
    move |errno| LayerError::Write {
        name: name.clone(),
        source: errno.into(),
    }
}
