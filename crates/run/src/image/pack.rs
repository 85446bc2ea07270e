//! Layers of our own making: sorted, without times or owners, not compressed.
//!
//! The same files make the same bytes, whoever packs them, when, and with what
//! version of a compressor: there is none. A layer's digest is therefore also
//! the digest that it has unpacked.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tar::{EntryType, Header};

use super::{ENTRIES_MAX, ImageError, LayerError};

/// What a layer is going to hold, by path.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    entries: BTreeMap<Vec<u8>, Entry>,
    keeps_times: bool,
}

#[derive(Clone, Debug)]
enum Entry {
    Folder,
    /// In which everybody may write.
    Scratch,
    File {
        from: PathBuf,
        executable: bool,
    },
    Text {
        content: Vec<u8>,
        executable: bool,
    },
    Link {
        target: PathBuf,
    },
}

impl Packed {
    /// The same, whose files of the host keep their times.
    pub(crate) fn keeping_times(self) -> Self {
        let keeps_times = true;
        Self {
            keeps_times,
            ..self
        }
    }

    /// A file with this content.
    pub fn text(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put_text(path, content.into(), false);
    }

    /// A program with this content.
    pub fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put_text(path, content.into(), true);
    }

    fn put_text(&mut self, path: &str, content: Vec<u8>, executable: bool) {
        let entry = Entry::Text {
            content,
            executable,
        };
        self.put(path.as_bytes(), entry);
    }

    /// A file of the host.
    pub fn file(&mut self, path: &str, from: PathBuf, executable: bool) {
        self.put(path.as_bytes(), Entry::File { from, executable });
    }

    /// A folder in which everybody may write, where the image is started by others.
    pub fn scratch(&mut self, path: &str) {
        self.put(path.as_bytes(), Entry::Scratch);
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: impl Into<PathBuf>) {
        let target = target.into();
        self.put(path.as_bytes(), Entry::Link { target });
    }

    /// All files, folders and links of a folder of the host, to be put at `at`.
    /// Other things, as sockets and devices, are left out; no link is followed.
    pub fn folder(from: &Path, at: &str) -> Result<Self, ImageError> {
        let attempt = ImageError::host("read the folder");
        let mut packed = Self::default();
        let start = at.trim_matches('/').as_bytes().to_vec();
        if !start.is_empty() {
            packed.put(&start, Entry::Folder);
        }
        let mut open = vec![(from.to_owned(), start)];
        while let Some((folder, at)) = open.pop() {
            for entry in std::fs::read_dir(&folder).map_err(&attempt)? {
                let entry = entry.map_err(&attempt)?;
                let (kind, from) = (entry.file_type().map_err(&attempt)?, entry.path());
                let name = entry.file_name();
                let path = match at.is_empty() {
                    true => name.as_bytes().to_vec(),
                    false => [at.as_slice(), name.as_bytes()].join(&b'/'),
                };
                let made = if kind.is_dir() {
                    open.push((from, path.clone()));
                    Entry::Folder
                } else if kind.is_symlink() {
                    let target = std::fs::read_link(from).map_err(&attempt)?;
                    Entry::Link { target }
                } else if kind.is_file() {
                    let mode = entry.metadata().map_err(&attempt)?.permissions().mode();
                    let executable = mode & 0o111 != 0;
                    Entry::File { from, executable }
                } else {
                    continue;
                };
                packed.put(&path, made);
                if ENTRIES_MAX < packed.entries.len() as u64 {
                    return Err(too_many());
                }
            }
        }
        Ok(packed)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything of the other one as well; what both have is the other's.
    pub fn and(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    fn put(&mut self, path: &[u8], entry: Entry) {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let folder = self.entries.entry(path[..at].to_vec());
            folder.or_insert(Entry::Folder);
        }
        self.entries.insert(path.to_vec(), entry);
    }

    /// Writes the layer's archive.
    pub(crate) fn write(&self, to: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(to);
        for (path, entry) in &self.entries {
            let path = PathBuf::from(OsString::from_vec(path.clone()));
            match entry {
                Entry::Folder => {
                    let mut header = header(EntryType::Directory, 0o755, 0);
                    archive.append_data(&mut header, &path, io::empty())?;
                }
                Entry::Scratch => {
                    let mut header = header(EntryType::Directory, 0o1777, 0);
                    archive.append_data(&mut header, &path, io::empty())?;
                }
                Entry::Text {
                    content,
                    executable,
                } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let mut header = header(EntryType::Regular, mode, content.len() as u64);
                    archive.append_data(&mut header, &path, content.as_slice())?;
                }
                Entry::File { from, executable } => {
                    let file = File::open(from)?;
                    let metadata = file.metadata()?;
                    let size = metadata.len();
                    let mode = if *executable { 0o755 } else { 0o644 };
                    // Not a byte more than was said, whoever writes meanwhile.
                    let file = io::Read::take(file, size);
                    let mut header = header(EntryType::Regular, mode, size);
                    if self.keeps_times {
                        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
                    }
                    archive.append_data(&mut header, &path, file)?;
                }
                Entry::Link { target } => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    archive.append_link(&mut header, &path, target)?;
                }
            }
        }
        archive.into_inner()?.flush()
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn too_many() -> ImageError {
    ImageError::Layer {
        digest: strongroom_core::digest::Digest::of(b""),
        source: Box::new(LayerError::TooManyEntries),
    }
}
