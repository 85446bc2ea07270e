//! Tells the station what is in `/out`, once every process of the guest is dead.
//!
//! It tells everything as it is, links and the like by their kind alone; the
//! station judges. It stops after one thing more than there may be, and leaves
//! contents out where they are more than there may be: that much is enough to
//! be refused.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::station::Station;
use super::words::{Bytes, Entry, FromInside, Kind};
use crate::limits::Limits;

/// How deep folders are followed: further than any path that comes out.
const DEPTH_MAX: usize = 64;
/// Bytes of one frame of content.
const PART_LEN: usize = 64 << 10;

struct Gather<'a> {
    station: &'a mut Station,
    entries_left: u64,
    bytes_left: u64,
}

/// Tells everything, and that it was everything.
pub(super) fn tell(station: &mut Station, limits: &Limits) -> io::Result<()> {
    let mut gather = Gather {
        station,
        entries_left: limits.out_files + 1,
        bytes_left: limits.out_bytes,
    };
    gather.folder(Path::new("/out"), &mut Vec::new())?;
    station.say(&FromInside::Over)
}

impl Gather<'_> {
    fn folder(&mut self, folder: &Path, path: &mut Vec<Vec<u8>>) -> io::Result<()> {
        mend(folder, 0o500);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if self.entries_left == 0 {
                return Ok(());
            }
            self.entries_left -= 1;
            path.push(entry.file_name().as_bytes().to_vec());
            self.entry(&entry.path(), path)?;
            path.pop();
        }
        Ok(())
    }

    fn entry(&mut self, place: &Path, path: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let found = fs::symlink_metadata(place)?;
        let mut kind = kind(&found);
        if let Kind::File {
            size_bytes,
            content,
        } = &mut kind
        {
            *content = *size_bytes <= self.bytes_left;
            self.bytes_left = self.bytes_left.saturating_sub(*size_bytes);
        }
        let entry = Entry {
            path: path.clone(),
            kind,
        };
        self.station.say(&FromInside::Entry(entry))?;
        match kind {
            Kind::File {
                size_bytes,
                content: true,
            } => self.content(place, size_bytes),
            Kind::Folder if path.len() < DEPTH_MAX => self.folder(place, path),
            _ => Ok(()),
        }
    }

    fn content(&mut self, place: &Path, size_bytes: u64) -> io::Result<()> {
        mend(place, 0o400);
        let mut from = File::open(place)?.take(size_bytes);
        let mut part = vec![0; PART_LEN];
        loop {
            let length = from.read(&mut part)?;
            if length == 0 {
                return Ok(());
            }
            let bytes = Bytes(part[..length].to_vec());
            self.station.say(&FromInside::Content(bytes))?;
        }
    }
}

fn kind(found: &Metadata) -> Kind {
    let of = found.file_type();
    if of.is_dir() {
        Kind::Folder
    } else if of.is_file() && found.nlink() == 1 {
        Kind::File {
            size_bytes: found.len(),
            content: true,
        }
    } else if of.is_file() {
        Kind::FileOfManyNames
    } else if of.is_symlink() {
        Kind::Link
    } else if of.is_fifo() {
        Kind::Fifo
    } else if of.is_socket() {
        Kind::Socket
    } else {
        Kind::Device
    }
}

/// Gives the owner back the bits it needs to read what the guest forbade.
fn mend(place: &Path, needed: u32) {
    let Ok(found) = fs::symlink_metadata(place) else {
        return;
    };
    let mode = found.permissions().mode();
    if mode & needed != needed && !found.file_type().is_symlink() {
        // Failing shows when it is opened.
        let _ = fs::set_permissions(place, fs::Permissions::from_mode(mode | needed));
    }
}
