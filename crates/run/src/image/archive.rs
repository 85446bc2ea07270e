//! An image's archive on the disk, whose members are read where they lie.
//!
//! Nothing is unpacked to a path that the archive names. Members that are
//! links to others, as `docker save` once wrote them, are looked up once.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use tar::EntryType;

use super::{Descriptor, ImageError, Images, media, path::lossy};

/// The most members of an archive.
const MEMBERS_MAX: usize = 10_000;
/// The longest archive, in bytes, and how much it may grow when it is unpacked.
const ARCHIVE_BYTES_MAX: u64 = 16 << 30;
const GROWTH_MAX: u64 = 100;
const GROWTH_FREE_BYTES: u64 = 64 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An archive, by the names of its members.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    members: BTreeMap<String, (u64, u64)>,
}

/// What a stored layer begins with tells how it is compressed.
pub(super) fn compression(beginning: &[u8]) -> media::Compression {
    match beginning {
        _ if beginning.starts_with(&GZIP) => media::Compression::Gzip,
        _ if beginning.starts_with(&ZSTD) => media::Compression::Zstd,
        _ => media::Compression::None,
    }
}

impl Archive {
    /// Looks through the archive at `path`.
    pub(super) fn open(images: &Images, path: &Path) -> Result<Self, ImageError> {
        let attempt = ImageError::host("open the archive");
        let mut file = File::open(path).map_err(&attempt)?;
        let mut beginning = [0; 4];
        let found = read_up_to(&mut file, &mut beginning).map_err(&attempt)?;
        file.rewind().map_err(&attempt)?;
        let mut file = match compression(&beginning[..found]) {
            media::Compression::None => file,
            packed => plain(images, file, packed)?,
        };
        let members = members(&mut file)?;
        Ok(Self { file, members })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Reads a member, and how long it is.
    pub(super) fn member(&self, name: &str) -> Result<(impl Read, u64), ImageError> {
        let found = self.members.get(name);
        let (at, size) = *found.ok_or_else(|| {
            let name = strongroom_core::text::shown(name, 120);
            ImageError::Archive(format!("`{name}` is not in it"))
        })?;
        let attempt = ImageError::host("read the archive");
        let mut file = self.file.try_clone().map_err(&attempt)?;
        file.seek(SeekFrom::Start(at)).map_err(&attempt)?;
        Ok((BufReader::new(file).take(size), size))
    }

    /// Reads a member that is a document.
    pub(super) fn document(&self, what: &'static str, name: &str) -> Result<Vec<u8>, ImageError> {
        media::bounded(what, self.member(name)?.0)
    }

    /// Keeps the blob that an image of this archive names.
    pub(super) fn blob(&self, images: &Images, blob: &Descriptor) -> Result<(), ImageError> {
        if images.has_blob(blob) {
            return Ok(());
        }
        let name = format!("blobs/sha256/{}", blob.digest.hex());
        if !self.has(&name) {
            return Err(ImageError::Missing {
                digest: blob.digest,
            });
        }
        images.blob_put(blob, self.member(&name)?.0)
    }
}

fn read_up_to(file: &mut File, into: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match file.read(&mut into[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

/// Unpacks a packed archive into a file without a name.
fn plain(images: &Images, file: File, packed: media::Compression) -> Result<File, ImageError> {
    let attempt = ImageError::host("unpack the archive");
    let wrong = |error: io::Error| ImageError::Archive(error.to_string());
    let size = file.metadata().map_err(&attempt)?.len();
    let most = GROWTH_FREE_BYTES
        .max(size.saturating_mul(GROWTH_MAX))
        .min(ARCHIVE_BYTES_MAX);
    let mut from: Box<dyn Read> = match packed {
        media::Compression::Zstd => Box::new(zstd::Decoder::new(file).map_err(wrong)?),
        _ => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
    };
    let mut to = tempfile::tempfile_in(images.folder.join("staging")).map_err(&attempt)?;
    let (mut piece, mut count) = (vec![0; 256 * 1024], 0);
    loop {
        let read = from.read(&mut piece).map_err(wrong)?;
        if read == 0 {
            break;
        }
        count += read as u64;
        if most < count {
            return Err(ImageError::Archive(format!(
                "it grows {GROWTH_MAX} fold and more when it is unpacked"
            )));
        }
        to.write_all(&piece[..read]).map_err(&attempt)?;
    }
    to.rewind().map_err(&attempt)?;
    Ok(to)
}

/// Where each member begins, and how long it is.
fn members(file: &mut File) -> Result<BTreeMap<String, (u64, u64)>, ImageError> {
    let wrong = |error: io::Error| {
        ImageError::Archive(strongroom_core::text::shown(&error.to_string(), 200))
    };
    let mut members = BTreeMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(BufReader::new(&mut *file));
    let entries = archive.entries_with_seek().map_err(wrong)?;
    // Raw, so that no long name is read into memory: members have short ones.
    for entry in entries.raw(true) {
        let entry = entry.map_err(wrong)?;
        if MEMBERS_MAX <= members.len() + links.len() {
            return Err(ImageError::Archive(format!(
                "it has more than {MEMBERS_MAX} members"
            )));
        }
        let name = lossy(&entry.path_bytes());
        let name = name.trim_start_matches("./").to_owned();
        match entry.header().entry_type() {
            EntryType::Regular => {
                let place = (entry.raw_file_position(), entry.size());
                members.insert(name, place);
            }
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().map(|raw| lossy(&raw));
                links.push((name, target.unwrap_or_default()));
            }
            _ => {}
        }
    }
    for (name, target) in links {
        // As `docker save` wrote them: `ID/layer.tar` to `../OTHER/layer.tar`.
        let target = target.trim_start_matches("../");
        if let Some(place) = members.get(target).copied() {
            members.insert(name, place);
        }
    }
    Ok(members)
}
