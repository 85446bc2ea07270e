//! A function's files: read before they are pushed, written out for readers.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use strongroom_core::{limits::MIB, manifest::Files, run::bytes_shown, text::line_shown};
use strongroom_server::api::Source;

use crate::files::{self, FilesError};

/// The largest function, in bytes of all its files.
pub const FUNCTION_BYTES_MAX: u64 = 16 * MIB;

/// Reads the function at `path`, a file or a folder.
pub fn read(path: &Path) -> Result<Files, FilesError> {
    let mut left = FUNCTION_BYTES_MAX;
    let mut read = Files::new();
    for file in files::find(path)? {
        let too_large = |_| FilesError::TooLarge {
            path: path.to_owned(),
            max_bytes: FUNCTION_BYTES_MAX,
        };
        let bytes = match file.read(left) {
            Err(FilesError::TooLarge { .. }) => return Err(too_large(())),
            other => other?,
        };
        left -= bytes.len() as u64;
        read.insert(file.path, bytes);
    }
    Ok(read)
}

/// The files as they travel: text where they are text.
pub fn packed(files: Files) -> BTreeMap<String, Source> {
    let pack = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => Source::Text(text),
        Err(error) => Source::Bytes {
            base64: BASE64.encode(error.as_bytes()),
        },
    };
    let files = files.into_iter();
    files
        .map(|(path, bytes)| (path.to_string(), pack(bytes)))
        .collect()
}

/// The files for a reader, each line numbered, with nothing in them that
/// could deceive him.
pub fn shown(files: &BTreeMap<String, Source>) -> String {
    let mut out = String::new();
    for (path, source) in files {
        let _ = writeln!(out, "--- {}", line_shown(path));
        match source {
            Source::Text(text) => {
                for (index, line) in text.lines().enumerate() {
                    let line = format!("{:>5}  {}", index + 1, line_shown(line));
                    let _ = writeln!(out, "{}", line.trim_end());
                }
            }
            Source::Bytes { base64 } => {
                let size_bytes = base64.len() as u64 / 4 * 3;
                let _ = writeln!(out, "       (not text, about {})", bytes_shown(size_bytes));
            }
        }
    }
    out
}

/// A unified diff for a reader.
pub fn diff_shown(diff: &str) -> String {
    let lines = diff.lines();
    lines
        .map(|line| format!("{}\n", line_shown(line)))
        .collect()
}
