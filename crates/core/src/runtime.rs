//! What runs a kind of function, by name.
//!
//! A runtime's name is for people and for manifests; a plan holds its digest
//! beside it. Which runtimes there are is a fact about a station, so whoever
//! reads a manifest brings them as [`Kinds`]. What a runtime says of itself is
//! a [`Definition`]. Absent on purpose: any list of runtimes.

mod definition;
pub mod dockerfile;
pub mod executable;
mod files;
mod folder;
pub mod openfaas;

use std::{fmt, str::FromStr};

pub use definition::{
    Definition, DefinitionError, MAIN_PROGRAM_LEN_MAX, Start, TOML_LEN_MAX, Way, main_program_text,
};
pub use files::{Answer, FunctionFiles};
pub use folder::described_by;

use crate::{
    name::{Name, NameError},
    tree::TreePath,
};

/// The file that says what a runtime is.
pub const FILE_NAME: &str = "runtime.toml";

/// The name of a runtime, such as `python3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeName(Name);

impl RuntimeName {
    /// The runtime of Python scripts, which every station has.
    pub fn python3() -> Self {
        "python3".parse().expect("a constant, plain name")
    }

    /// The runtime of shell scripts, which every station has.
    pub fn sh() -> Self {
        "sh".parse().expect("a constant, plain name")
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for RuntimeName {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        raw.parse().map(Self)
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

crate::text::serde_as_text!(RuntimeName);

/// What a manifest has to know of one runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    pub runtime: RuntimeName,
    pub files: FunctionFiles,
    /// Whether a file's name alone chooses it. A runtime that somebody added
    /// is chosen by its name only: adding one must not change what a function
    /// means that names none.
    pub implied: bool,
}

/// The runtimes that somebody has, the first one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds(Vec<Kind>);

impl Kinds {
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self(kinds.into_iter().collect())
    }

    pub(crate) fn named(&self, raw: &str) -> Option<&Kind> {
        self.0.iter().find(|kind| kind.runtime.as_str() == raw)
    }

    /// The runtime that a file alone chooses.
    pub(crate) fn of_file(&self, path: &TreePath, content: &[u8]) -> Option<&Kind> {
        self.implied().find(|kind| kind.files.takes(path, content))
    }

    pub(crate) fn implied(&self) -> impl Iterator<Item = &Kind> + Clone {
        self.0.iter().filter(|kind| kind.implied)
    }

    /// `a, b and c`, as a sentence lists them.
    pub(crate) fn listed(&self) -> String {
        sentence(self.0.iter().map(|kind| kind.runtime.as_str()), "and")
    }

    /// `.a, .b and .c`, as a sentence lists them.
    pub(crate) fn suffixes(&self) -> String {
        sentence(self.implied().flat_map(|kind| kind.files.marks()), "and")
    }
}

fn sentence<'a>(words: impl Iterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}
