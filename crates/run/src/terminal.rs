//! A person at the guest's place: a shell where a function would run.
//!
//! For trials only. What the shell sees, and what holds it, is what the
//! function would have; its input is a terminal in place of the arguments,
//! which lie in a file.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where the arguments lie for the guest.
pub const ARGUMENTS: &str = "/arguments.json";
/// The longest name of a kind of terminal, in bytes.
const KIND_LEN_MAX: usize = 64;
/// What a kind that cannot be told is.
const PLAIN: &str = "dumb";
/// What shells are asked for in turn, and the words that make them ask back.
const SHELLS: [(&str, &[&str]); 2] = [
    ("/bin/bash", &["--noprofile", "--norc", "-i"]),
    ("/bin/sh", &["-i"]),
];

/// A terminal for one guest.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// The guest's side of a pair.
    side: Arc<OwnedFd>,
    /// What its programs may send to it.
    kind: String,
}

impl Terminal {
    /// The guest's side of a pair, and the kind as in the variable `TERM`.
    pub fn new(side: OwnedFd, kind: &str) -> Self {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
        let is_kind = !kind.is_empty() && kind.len() <= KIND_LEN_MAX && kind.bytes().all(is_part);
        Self {
            side: Arc::new(side),
            kind: if is_kind { kind } else { PLAIN }.to_owned(),
        }
    }

    pub(crate) fn side(&self) -> std::io::Result<OwnedFd> {
        self.side.try_clone()
    }

    /// What a shell has in its environment besides that of a function.
    pub(crate) fn environment(&self) -> [(&str, &str); 2] {
        [("TERM", &self.kind), ("PS1", "strongroom:$PWD$ ")]
    }
}

/// The command of the first shell that is found, by its path for the guest.
pub(crate) fn shell(find: impl Fn(&Path) -> Option<PathBuf>) -> Option<Vec<String>> {
    let (path, words) = SHELLS
        .iter()
        .find_map(|(path, words)| Some((find(Path::new(path))?, words)))?;
    let words = words.iter().map(|word| (*word).to_owned());
    let program = std::iter::once(path.display().to_string());
    Some(program.chain(words).collect())
}
