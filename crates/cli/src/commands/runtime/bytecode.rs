//! Whether Python will believe the bytecode in a folder of packages.
//!
//! Bytecode usually holds the time of its source, and a station keeps the
//! content of files and not their times; so Python would compile every module
//! anew in every run. Bytecode that was compiled to be believed holds none.

use std::io::Read as _;

use crate::files::{FilesError, LocalFile};

/// The command that compiles a folder so.
pub const COMMAND: &str = "/usr/bin/python3 -m compileall -q -f --invalidation-mode unchecked-hash";

/// The magic number and the flags, with which bytecode begins.
const HEADER_LEN: u64 = 8;

/// Whether there are modules, and bytecode that is believed is not beside them.
pub fn is_missing(files: &[LocalFile]) -> Result<bool, FilesError> {
    let ends = |suffix| move |file: &&LocalFile| file.path.as_str().ends_with(suffix);
    if !files.iter().any(|file| ends(".py")(&file)) {
        return Ok(false);
    }
    // One stands for all: they come from one compiler.
    let Some(compiled) = files.iter().find(ends(".pyc")) else {
        return Ok(true);
    };
    let mut header = Vec::new();
    let read = compiled.open()?.take(HEADER_LEN).read_to_end(&mut header);
    read.map_err(|source| FilesError::Read {
        path: compiled.host.clone(),
        source,
    })?;
    let flags = header.get(4..8);
    Ok(flags.is_none_or(|flags| flags == [0, 0, 0, 0]))
}
