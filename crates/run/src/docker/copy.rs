//! What a container tells of its `/out`, made again in a private folder.
//!
//! The folder then goes through the same law as any other, so what may not come
//! out is made as something that may not come out: a link points nowhere, a file
//! of two names has two here. Nothing is ever opened through a link, each name is
//! one name, and no more is written than the limits allow, whatever is told.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags},
    io::Errno,
};
use strongroom_core::limits::Limits;
use strongroom_jail::inside::{Entry, Kind};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::{beneath, collect::OutFolder};

/// The folder that is made again; beside it lie second names.
const ROOT: &str = "out";

/// A part of what is told.
pub(super) enum Part {
    Entry(Entry),
    Content(Vec<u8>),
}

/// Makes everything that is told, until nothing more is. Blocking.
pub(super) fn make(
    below: &Path,
    limits: &Limits,
    mut parts: mpsc::Receiver<Part>,
) -> io::Result<OutFolder> {
    let place = tempfile::Builder::new()
        .prefix("strongroom-out-")
        .tempdir_in(below)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = place.path().join(ROOT);
    std::fs::create_dir(&folder)?;
    let root = rustix::fs::open(&folder, flags, Mode::empty())?;
    let mut copy = Copy {
        entries_left: limits.out_files.saturating_add(1),
        bytes_left: limits.out_bytes,
        root,
        file: None,
        place,
    };
    while let Some(part) = parts.blocking_recv() {
        match part {
            Part::Entry(entry) => copy.entry(&entry)?,
            Part::Content(bytes) => copy.content(&bytes)?,
        }
    }
    copy.whole()?;
    Ok(OutFolder::copied(copy.root, copy.place))
}

struct Copy {
    place: TempDir,
    root: OwnedFd,
    entries_left: u32,
    bytes_left: u64,
    /// The file whose content comes, and how much is still to come.
    file: Option<(File, u64)>,
}

impl Copy {
    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.whole()?;
        let Some(left) = self.entries_left.checked_sub(1) else {
            return Err(io::Error::other("more was told than there may be"));
        };
        self.entries_left = left;
        let (name, parents) = entry.path.split_last().ok_or(Errno::INVAL)?;
        let mut folder = self.root.try_clone()?;
        for parent in parents {
            folder = beneath::open_one(folder.as_fd(), &one_name(parent)?, OFlags::DIRECTORY)?;
        }
        let name = one_name(name)?;
        match entry.kind {
            Kind::Folder => rustix::fs::mkdirat(&folder, &name, Mode::RWXU)?,
            Kind::File {
                size_bytes,
                content,
            } => self.begin(&folder, &name, size_bytes, content)?,
            Kind::FileOfManyNames => {
                create(&folder, &name)?;
                // Beside what is looked at: only that it has two names counts.
                let other = self.place.path().join(self.entries_left.to_string());
                rustix::fs::linkat(&folder, &name, CWD, &other, AtFlags::empty())?;
            }
            Kind::Link => rustix::fs::symlinkat(c"nowhere", &folder, &name)?,
            Kind::Fifo => make_node(&folder, &name, FileType::Fifo)?,
            Kind::Socket | Kind::Device => make_node(&folder, &name, FileType::Socket)?,
        }
        Ok(())
    }

    fn begin(
        &mut self,
        folder: &OwnedFd,
        name: &std::ffi::CStr,
        size_bytes: u64,
        content: bool,
    ) -> io::Result<()> {
        let file = File::from(create(folder, name)?);
        if content {
            let left = self.bytes_left.checked_sub(size_bytes);
            self.bytes_left = left.ok_or_else(|| io::Error::other("more was told than fits"))?;
            self.file = Some((file, size_bytes));
        } else {
            // Its size alone is more than there may be, and takes no room here.
            file.set_len(size_bytes.min(i64::MAX as u64))?;
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let unasked = || io::Error::other("content of no file was told");
        let (file, left) = self.file.as_mut().ok_or_else(unasked)?;
        *left = left.checked_sub(bytes.len() as u64).ok_or_else(unasked)?;
        file.write_all(bytes)
    }

    /// Nothing is missing of the last file.
    fn whole(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some((_, left)) if left != 0 => Err(io::Error::other("a file was told in part")),
            _ => Ok(()),
        }
    }
}

fn create(folder: &OwnedFd, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)
}

fn make_node(folder: &OwnedFd, name: &std::ffi::CStr, kind: FileType) -> io::Result<()> {
    Ok(rustix::fs::mknodat(folder, name, kind, Mode::RUSR, 0)?)
}

/// One name, which leads nowhere else.
fn one_name(raw: &[u8]) -> io::Result<std::ffi::CString> {
    let is_one = !raw.is_empty() && raw != b"." && raw != b".." && !raw.contains(&b'/');
    match std::ffi::CString::new(raw) {
        Ok(name) if is_one => Ok(name),
        _ => Err(io::Error::other("a name was told that is none")),
    }
}

#[cfg(test)]
mod tests;
