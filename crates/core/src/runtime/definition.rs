//! What a runtime says of itself: `runtime.toml`.
//!
//! Either it has a `base`, a runtime that is shipped, and adds to it; or it
//! says whole how a function is started. An unknown key is an error. Nothing
//! here can show a guest more of the host than the folders of [`FOLDERS`],
//! since a runtime may come from somebody who has no account on that host.

mod checked;
mod error;

use std::collections::BTreeMap;

use checked::{count, has_files_below, length, variables};
use serde::Deserialize;

use super::{FunctionFiles, RuntimeName};
use crate::{
    dependency::{LOCK_LEN_MAX, LockError},
    digest::Digest,
    manifest::toml_fault,
    tree::{Tree, TreePath},
};

pub use error::DefinitionError;

/// The folders of the host that a runtime may show.
pub const FOLDERS: [&str; 8] = [
    "usr",
    "bin",
    "sbin",
    "lib",
    "lib64",
    "lib32",
    "libx32",
    "etc/alternatives",
];
/// The longest `runtime.toml`, in bytes.
pub const TOML_LEN_MAX: usize = 64 * 1024;
/// The longest main program, in bytes: it may travel as one word of a command.
pub const MAIN_PROGRAM_LEN_MAX: usize = 64 * 1024;
/// The most modules that are preloaded.
pub const PRELOAD_MAX: usize = 64;
/// The most variables that a runtime adds.
pub const ENVIRONMENT_MAX: usize = 64;
/// The longest value, command word, description or module name, in bytes.
pub const WORD_LEN_MAX: usize = 1000;
/// The most words of a command.
pub const WORDS_MAX: usize = 32;

/// What the station says itself, and no runtime may.
const STATION_VARIABLES: [&str; 4] = ["TZ", "LANG", "PATH", "HOME"];
const STATION_PREFIX: &str = "STRONGROOM_";
/// Stands for the text of the main program.
const MAIN_PROGRAM: &str = "{main_program}";
/// Stands for the entry, as a path below the function's folder.
const ENTRY: &str = "{entry}";
/// Stands for the entry as the program that runs.
const EXECUTABLE: &str = "{executable}";

/// What a runtime says of itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub description: String,
    pub start: Start,
    /// The file of the folder that runs an entry.
    pub main_program: Option<TreePath>,
    /// The folder below the folder whose packages functions can import.
    pub packages: Option<TreePath>,
    /// The file that says which packages its functions are run with, and the
    /// one that locks them.
    pub locked: Option<(TreePath, TreePath)>,
    /// Modules that are imported before there is a job.
    pub preload: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// The image that is the guest's root, in place of the host's folders.
    pub image: Option<Digest>,
    /// Where the process of a template of OpenFaaS looks for the function,
    /// among the template's own files.
    pub handler_folder: Option<TreePath>,
}

/// How a function is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// As on this runtime, which is shipped.
    Base(RuntimeName),
    Own(Way),
}

/// A way to start functions, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    command: Vec<String>,
    /// Folders of the host's root, each one of [`FOLDERS`].
    pub folders: Vec<String>,
    pub files: FunctionFiles,
    /// The Debian package that brings the interpreter.
    pub debian_package: Option<String>,
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    description: String,
    base: Option<String>,
    command: Option<Vec<String>>,
    folders: Option<Vec<String>>,
    function: Option<FunctionFiles>,
    debian_package: Option<String>,
    main_program: Option<String>,
    packages: Option<String>,
    requirements: Option<String>,
    lock: Option<String>,
    #[serde(default)]
    preload: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    image: Option<String>,
}

impl Definition {
    /// Reads a `runtime.toml`.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] says which key and, where it can, which line.
    pub fn parse(text: &str) -> Result<Self, DefinitionError> {
        length("the file", text, TOML_LEN_MAX)?;
        let written: Written = toml::from_str(text)
            .map_err(|error| DefinitionError::Toml(toml_fault(text, 0, &error)))?;
        length("the description", &written.description, WORD_LEN_MAX)?;
        let path = |what, raw: Option<String>| {
            let parsed = raw.map(|raw| raw.parse()).transpose();
            parsed.map_err(|source| DefinitionError::Path { what, source })
        };
        let has_main_program = written.main_program.is_some();
        let has_base = written.base.is_some();
        if written.image.is_some() && written.folders.is_some() {
            return Err(DefinitionError::ImageAndFolders);
        }
        let image = written.image.map(|raw| raw.parse()).transpose();
        let definition = Self {
            start: start(
                written.base,
                written.command,
                written.folders,
                written.function,
                written.debian_package,
                has_main_program,
            )?,
            main_program: path("main_program", written.main_program)?,
            packages: path("packages", written.packages)?,
            locked: match (
                path("requirements", written.requirements)?,
                path("lock", written.lock)?,
            ) {
                (Some(requirements), Some(lock)) => Some((requirements, lock)),
                (None, None) => None,
                _ => return Err(DefinitionError::Locked),
            },
            preload: modules(written.preload)?,
            environment: variables(written.environment)?,
            image: image.map_err(DefinitionError::Image)?,
            description: written.description,
            handler_folder: None,
        };
        let uses_main_program = definition.packages.is_some()
            || definition.locked.is_some()
            || !definition.preload.is_empty();
        if uses_main_program && !has_base && !has_main_program {
            return Err(DefinitionError::Nobody);
        }
        Ok(definition)
    }

    /// One that is started so, and brings nothing else.
    pub(super) fn own(way: Way) -> Self {
        Self {
            description: String::new(),
            start: Start::Own(way),
            main_program: None,
            packages: None,
            locked: None,
            preload: Vec::new(),
            environment: BTreeMap::new(),
            image: None,
            handler_folder: None,
        }
    }

    /// The runtime that this one adds to.
    pub fn base(&self) -> Option<&RuntimeName> {
        match &self.start {
            Start::Base(base) => Some(base),
            Start::Own(_) => None,
        }
    }

    /// Checks that a folder holds what is spoken of.
    pub fn fits(&self, folder: &Tree) -> Result<(), DefinitionError> {
        if let Some(path) = &self.main_program {
            let file = folder.get(path);
            let file = file.ok_or_else(|| DefinitionError::NoFile(path.clone()))?;
            if (MAIN_PROGRAM_LEN_MAX as u64) < file.size_bytes {
                return Err(DefinitionError::MainProgramTooLong { path: path.clone() });
            }
        }
        for path in self.locked.iter().flat_map(|(one, two)| [one, two]) {
            let file = folder.get(path);
            let file = file.ok_or_else(|| DefinitionError::NoFile(path.clone()))?;
            if LOCK_LEN_MAX < file.size_bytes as usize {
                let source = LockError::TooLong;
                let path = path.clone();
                return Err(DefinitionError::Lock { path, source });
            }
        }
        match &self.packages {
            Some(packages) if !has_files_below(folder, packages) => {
                Err(DefinitionError::NoPackages(packages.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// The text of a main program, from the bytes of its file.
pub fn main_program_text(bytes: Vec<u8>) -> Result<String, DefinitionError> {
    let text = String::from_utf8(bytes).ok();
    let text = text.filter(|text| !text.contains('\0') && text.len() <= MAIN_PROGRAM_LEN_MAX);
    text.ok_or(DefinitionError::MainProgramNoText)
}

impl Way {
    /// A command that is always the same, on all folders of the host.
    pub(super) fn plain(command: Vec<String>, files: FunctionFiles) -> Self {
        Self {
            command,
            folders: FOLDERS.map(str::to_owned).to_vec(),
            files,
            debian_package: None,
        }
    }

    /// The program that runs, by its path for the guest.
    pub fn program(&self) -> &str {
        &self.command[0]
    }

    /// The whole command, with `program` in place of the first word.
    pub fn command(&self, program: &str, main_program: &str, entry: &TreePath) -> Vec<String> {
        let words = self.command[1..].iter().map(|word| match word.as_str() {
            // Alone, so that nothing in its text is taken for a placeholder.
            MAIN_PROGRAM => main_program.to_owned(),
            word => word.replace(ENTRY, entry.as_str()),
        });
        std::iter::once(program.to_owned()).chain(words).collect()
    }

    /// The command of a main program that hears of its entry later.
    pub fn command_ahead(&self, program: &str, main_program: &str) -> Vec<String> {
        let words = self.command[1..]
            .iter()
            .filter(|word| !word.contains(ENTRY));
        let words = words.map(|word| match word.as_str() {
            MAIN_PROGRAM => main_program.to_owned(),
            word => word.to_owned(),
        });
        std::iter::once(program.to_owned()).chain(words).collect()
    }
}

fn start(
    base: Option<String>,
    command: Option<Vec<String>>,
    folders: Option<Vec<String>>,
    files: Option<FunctionFiles>,
    debian_package: Option<String>,
    has_main_program: bool,
) -> Result<Start, DefinitionError> {
    match (base, command, files) {
        (Some(base), None, None) if folders.is_none() && debian_package.is_none() => {
            Ok(Start::Base(base.parse().map_err(DefinitionError::Base)?))
        }
        (None, Some(command), Some(mut files)) => {
            let command = checked_command(command, has_main_program)?;
            files.is_program = command[0] == EXECUTABLE;
            Ok(Start::Own(Way {
                command,
                folders: checked_folders(folders)?,
                files: checked_files(files)?,
                debian_package,
            }))
        }
        _ => Err(DefinitionError::Start),
    }
}

fn checked_command(words: Vec<String>, has_main: bool) -> Result<Vec<String>, DefinitionError> {
    count("words in the command", words.len(), WORDS_MAX)?;
    for word in &words {
        length("a word of the command", word, WORD_LEN_MAX)?;
    }
    let wrong = |why| Err(DefinitionError::Command(why));
    let (mut entries, mut mains) = (0, 0);
    let runs_itself = words.first().is_some_and(|word| word == EXECUTABLE);
    for word in words.iter().skip(usize::from(runs_itself)) {
        let rest = word.replace(ENTRY, "");
        entries += usize::from(rest.len() < word.len());
        mains += usize::from(word == MAIN_PROGRAM);
        if word.contains('\0') || (word != MAIN_PROGRAM && rest.contains(['{', '}'])) {
            return wrong(
                "has a word with a zero byte or with braces other than {entry} and {main_program}",
            );
        }
    }
    match words.first() {
        Some(program) if program.starts_with('/') && !program.contains('{') => {}
        _ if runs_itself => {}
        _ => {
            return wrong(
                "does not begin with the absolute path of a program or with {executable}",
            );
        }
    }
    if entries == 0 && !runs_itself {
        return wrong("never says {entry}");
    }
    if mains != usize::from(has_main) {
        return wrong(
            "says {main_program} just once if there is a `main_program`, and never if not",
        );
    }
    Ok(words)
}

fn checked_folders(raw: Option<Vec<String>>) -> Result<Vec<String>, DefinitionError> {
    let Some(mut folders) = raw else {
        return Ok(FOLDERS.map(str::to_owned).to_vec());
    };
    let unknown = |folder: &&String| !FOLDERS.contains(&folder.as_str());
    if let Some(unknown) = folders.iter().find(unknown) {
        return Err(DefinitionError::Folder(unknown.clone()));
    }
    folders.sort();
    folders.dedup();
    Ok(folders)
}

fn checked_files(files: FunctionFiles) -> Result<FunctionFiles, DefinitionError> {
    match files.fault() {
        Some(suffix) => Err(DefinitionError::Suffix(suffix.to_owned())),
        None => Ok(files),
    }
}

fn modules(names: Vec<String>) -> Result<Vec<String>, DefinitionError> {
    count("modules to preload", names.len(), PRELOAD_MAX)?;
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|first: char| first.is_ascii_digit())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match names
        .iter()
        .find(|name| WORD_LEN_MAX < name.len() || !name.split('.').all(is_part))
    {
        Some(wrong) => Err(DefinitionError::Module(wrong.clone())),
        None => Ok(names),
    }
}
