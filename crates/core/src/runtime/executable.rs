//! Functions that are programs: what an ELF file has to be to run in an empty root.
//!
//! It must be for this processor, and ask for no loader, since there is none
//! beside it. This reads the head of the file and nothing else; what it says
//! is for people, who would otherwise read the kernel's "no such file". It is
//! no wall: what runs is held by the sandbox whatever its head says.

/// The ELF machine number of the processor that runs this.
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

const MAGIC: &[u8] = b"\x7fELF";
/// 64 bits, least byte first, the current version.
const KIND: &[u8] = &[2, 1, 1];
const EXECUTABLE: u16 = 2;
/// Also a program that can lie anywhere.
const SHARED: u16 = 3;
const HEADER_LEN: usize = 64;
const SEGMENT_LEN: usize = 56;
const LOADER: u32 = 3;
const LOADED: u32 = 1;

/// Why a file is no program for an empty root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutableError {
    #[error("it is no ELF file of 64 bits")]
    NoElf,
    #[error("it is for another processor")]
    Processor,
    #[error("it is an object or a dump, and no program")]
    Kind,
    #[error("its headers are cut off or contradict each other")]
    Headers,
    #[error("it asks for a loader and shared libraries; link it statically (`cc -static`)")]
    Dynamic,
}

/// Whether a file says that it is one.
pub fn begins_so(content: &[u8]) -> bool {
    content.starts_with(MAGIC)
}

/// Checks that it could run with nothing beside it.
pub fn check(content: &[u8]) -> Result<(), ExecutableError> {
    if !begins_so(content) || content.get(4..7) != Some(KIND) {
        return Err(ExecutableError::NoElf);
    }
    if content.len() < HEADER_LEN {
        return Err(ExecutableError::Headers);
    }
    if number16(content, 18)? != MACHINE {
        return Err(ExecutableError::Processor);
    }
    if ![EXECUTABLE, SHARED].contains(&number16(content, 16)?) {
        return Err(ExecutableError::Kind);
    }
    let first = usize::try_from(number64(content, 32)?).map_err(|_| ExecutableError::Headers)?;
    let count = usize::from(number16(content, 56)?);
    if usize::from(number16(content, 54)?) != SEGMENT_LEN {
        return Err(ExecutableError::Headers);
    }
    let mut is_loaded = false;
    for index in 0..count {
        let at = first.checked_add(index * SEGMENT_LEN);
        match number32(content, at.ok_or(ExecutableError::Headers)?)? {
            LOADER => return Err(ExecutableError::Dynamic),
            kind => is_loaded |= kind == LOADED,
        }
    }
    match is_loaded {
        true => Ok(()),
        false => Err(ExecutableError::Kind),
    }
}

fn bytes<const N: usize>(content: &[u8], at: usize) -> Result<[u8; N], ExecutableError> {
    let found = content.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(ExecutableError::Headers)
}

fn number16(content: &[u8], at: usize) -> Result<u16, ExecutableError> {
    bytes(content, at).map(u16::from_le_bytes)
}

fn number32(content: &[u8], at: usize) -> Result<u32, ExecutableError> {
    bytes(content, at).map(u32::from_le_bytes)
}

fn number64(content: &[u8], at: usize) -> Result<u64, ExecutableError> {
    bytes(content, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with segments of these kinds.
    fn head(kinds: &[u32]) -> Vec<u8> {
        let mut head = vec![0; HEADER_LEN];
        head[..4].copy_from_slice(MAGIC);
        head[4..7].copy_from_slice(KIND);
        head[16..18].copy_from_slice(&EXECUTABLE.to_le_bytes());
        head[18..20].copy_from_slice(&MACHINE.to_le_bytes());
        head[32..40].copy_from_slice(&(HEADER_LEN as u64).to_le_bytes());
        head[54..56].copy_from_slice(&(SEGMENT_LEN as u16).to_le_bytes());
        head[56..58].copy_from_slice(&u16::try_from(kinds.len()).unwrap_or(0).to_le_bytes());
        for kind in kinds {
            head.extend(kind.to_le_bytes());
            head.resize(head.len() + SEGMENT_LEN - 4, 0);
        }
        head
    }

    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut head = head(&[LOADED]);
        head[at..at + bytes.len()].copy_from_slice(bytes);
        head
    }

    #[test]
    fn a_program_is_taken_and_what_cannot_run_says_why() {
        assert_eq!(check(&head(&[LOADED, 2])), Ok(()));
        for (content, why) in [
            (b"#!/bin/sh\n".to_vec(), ExecutableError::NoElf),
            (with(4, &[1]), ExecutableError::NoElf),
            (with(18, &[40, 0]), ExecutableError::Processor),
            (with(16, &[1, 0]), ExecutableError::Kind),
            (head(&[]), ExecutableError::Kind),
            (head(&[LOADED, LOADER]), ExecutableError::Dynamic),
            (with(32, &[0xff; 8]), ExecutableError::Headers),
            (with(54, &[1, 0]), ExecutableError::Headers),
            (
                head(&[LOADED])[..HEADER_LEN + 2].to_vec(),
                ExecutableError::Headers,
            ),
            (MAGIC.to_vec(), ExecutableError::NoElf),
        ] {
            assert_eq!(check(&content), Err(why));
        }
    }

    #[test]
    fn no_head_that_is_cut_off_or_wrong_anywhere_is_more_than_an_error() {
        let whole = head(&[2, LOADED]);
        for len in 0..whole.len() {
            let _ = check(&whole[..len]);
        }
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let mut wrong = whole.clone();
                wrong[at] = byte;
                let _ = check(&wrong);
            }
        }
    }
}
