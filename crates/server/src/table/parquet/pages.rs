//! The pages of one column, none of which unfolds to more than it may.
//!
//! Every byte that the decoder gets comes through here. A page's header is
//! judged before the page is unpacked, and what is open of all columns
//! together has one bound.

use std::{
    fs::File,
    io::{Cursor, Read as _},
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ::parquet::{
    basic::Compression,
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};
use bytes::Bytes;

use super::{
    super::TableError,
    damaged,
    thrift::{self, Seen},
};

/// The longest page, in bytes, packed and unpacked.
const PAGE_BYTES_MAX: u64 = 32 << 20;
/// What the pages of all columns take, in bytes of memory.
const HELD_BYTES_MAX: u64 = 128 << 20;
/// The longest header of a page; it may hold a smallest and a largest value.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// What one entry of a dictionary takes beside its bytes.
const ENTRY_BYTES: u64 = 48;
/// Kinds of pages.
const DICTIONARY: i64 = 2;
/// Encodings that say of themselves how much they unfold to.
const UNBOUNDED: [i64; 2] = [6, 7];

pub struct Chunks {
    file: Arc<File>,
    length: u64,
    gzip: bool,
    /// What is open of all columns, and of this one.
    held: Arc<AtomicU64>,
    dictionary: AtomicU64,
    page: AtomicU64,
}

/// What a page's header declares.
#[derive(Default)]
struct Declared {
    kind: i64,
    bytes: i64,
    entries: i64,
    unbounded: bool,
}

impl Chunks {
    pub fn new(
        file: &Arc<File>,
        held: &Arc<AtomicU64>,
        compression: Compression,
    ) -> std::result::Result<Self, TableError> {
        let gzip = match compression {
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => false,
            Compression::GZIP(_) => true,
            other => {
                return Err(damaged(format!(
                    "it is packed with {other:?}; write it with SNAPPY, GZIP or ZSTD"
                )));
            }
        };
        Ok(Self {
            length: file.metadata()?.len(),
            file: Arc::clone(file),
            gzip,
            held: Arc::clone(held),
            dictionary: AtomicU64::new(0),
            page: AtomicU64::new(0),
        })
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }

    fn judge(&self, header: &[u8]) -> Result<()> {
        let mut declared = Declared::default();
        thrift::walk(header, &mut |path, seen| declared.see(path, seen))
            .map_err(|error| refused(format!("a page's header: {error}")))?;
        if declared.unbounded {
            let why = "a page has a DELTA encoding of byte arrays; write it PLAIN or by dictionary";
            return Err(refused(why));
        }
        let Ok(bytes) = u64::try_from(declared.bytes) else {
            return Err(refused("a page has fewer bytes than none"));
        };
        if PAGE_BYTES_MAX < bytes {
            let most = PAGE_BYTES_MAX >> 20;
            return Err(refused(format!("a page unfolds to more than {most} MiB")));
        }
        let entries = u64::try_from(declared.entries).unwrap_or(u64::MAX);
        if bytes < entries {
            return Err(refused("a dictionary has more entries than bytes"));
        }
        let (slot, takes) = match declared.kind {
            DICTIONARY => (&self.dictionary, bytes + entries * ENTRY_BYTES),
            _ => (&self.page, bytes),
        };
        self.hold(slot, takes)
    }

    fn hold(&self, slot: &AtomicU64, takes: u64) -> Result<()> {
        let before = slot.swap(takes, Ordering::Relaxed);
        self.held.fetch_sub(before, Ordering::Relaxed);
        let all = self.held.fetch_add(takes, Ordering::Relaxed) + takes;
        if HELD_BYTES_MAX < all {
            let most = HELD_BYTES_MAX >> 20;
            let why = format!("its rows take more than {most} MiB of pages at once");
            return Err(refused(why));
        }
        Ok(())
    }

    /// Gzip does not say how long it is, so it is unpacked once into nothing.
    fn weigh(&self, packed: &[u8]) -> Result<()> {
        let unpacked = flate2::read::MultiGzDecoder::new(packed);
        let mut limited = unpacked.take(PAGE_BYTES_MAX + 1);
        let count = std::io::copy(&mut limited, &mut std::io::sink())?;
        match count <= PAGE_BYTES_MAX.min(self.page_or_dictionary()) {
            true => Ok(()),
            false => Err(refused("a page unfolds to more than it declares")),
        }
    }

    fn page_or_dictionary(&self) -> u64 {
        let page = self.page.load(Ordering::Relaxed);
        page.max(self.dictionary.load(Ordering::Relaxed))
    }
}

impl Declared {
    /// Where a field is there twice, the larger value is what counts.
    fn see(&mut self, path: &[i16], seen: Seen) {
        let Seen::Number(number) = seen else { return };
        match path {
            [1] => self.kind = self.kind.max(number),
            [2] if number < 0 => self.bytes = i64::MIN,
            [2] if 0 <= self.bytes => self.bytes = self.bytes.max(number),
            [7, 1] => self.entries = self.entries.max(number),
            [5, 2] | [8, 4] | [7, 2] => self.unbounded |= UNBOUNDED.contains(&number),
            _ => {}
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        let own = self.page.load(Ordering::Relaxed) + self.dictionary.load(Ordering::Relaxed);
        self.held.fetch_sub(own, Ordering::Relaxed);
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = Cursor<Vec<u8>>;

    /// A page's header, which begins at `start`.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let left = self.length.saturating_sub(start);
        let length = usize::try_from(left).unwrap_or(usize::MAX);
        let header = self.read(start, length.min(HEADER_BYTES_MAX))?;
        self.judge(&header)?;
        Ok(Cursor::new(header))
    }

    /// A page's body.
    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if PAGE_BYTES_MAX < length as u64 {
            let most = PAGE_BYTES_MAX >> 20;
            return Err(refused(format!("a page is longer than {most} MiB")));
        }
        let bytes = self.read(start, length)?;
        if self.gzip {
            self.weigh(&bytes)?;
        }
        Ok(bytes.into())
    }
}

fn refused(why: impl Into<String>) -> ParquetError {
    ParquetError::General(why.into())
}
