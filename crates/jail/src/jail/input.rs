//! A guest's input: bytes in sealed memory, never a file of the host.
//!
//! A descriptor can be opened anew through `/proc`, with other rights; sealed
//! memory has none to give.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

/// Bytes of a guest's input.
const STDIN_BYTES_MAX: u64 = 64 << 20;

/// A memfd with these bytes that nobody can change, opened for reading.
pub(crate) fn sealed_memory(from: Option<OwnedFd>) -> io::Result<OwnedFd> {
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let is_sealed =
        |file: &OwnedFd| rustix::fs::fcntl_get_seals(file).is_ok_and(|has| has.contains(all));
    let memory = match from {
        // Any file of a tmpfs answers to seals, but only a memfd takes them.
        Some(file) if is_sealed(&file) || rustix::fs::fcntl_add_seals(&file, all).is_ok() => file,
        other => {
            let copy = copied(other)?;
            rustix::fs::fcntl_add_seals(&copy, all)?;
            copy
        }
    };
    read_only(&memory)
}

fn copied(from: Option<OwnedFd>) -> io::Result<OwnedFd> {
    use io::Read as _;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("input", flags)?;
    if let Some(file) = from {
        let mut source = std::fs::File::from(file).take(STDIN_BYTES_MAX + 1);
        let mut target = std::fs::File::from(memory.try_clone()?);
        if STDIN_BYTES_MAX < io::copy(&mut source, &mut target)? {
            return Err(io::Error::other(format!(
                "more than {STDIN_BYTES_MAX} bytes"
            )));
        }
    }
    Ok(memory)
}

/// The same file opened anew: read-only, at its beginning.
pub(crate) fn read_only(file: impl AsFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}
