//! Which file of a function is run, and on what.
//!
//! What the manifest says comes first; then the only file; then the file that
//! a runtime calls `main`, and only then one that it calls a handler. Where two
//! runtimes would each have an entry nobody guesses.

use super::{FILE_NAME, Files, ManifestError};
use crate::{
    runtime::{Kind, Kinds, RuntimeName, executable},
    tree::TreePath,
};

/// The runtime and the entry of `files`, as far as they are not named.
pub(super) fn runtime_and_entry(
    runtime: &Option<String>,
    entry: &Option<String>,
    files: &Files,
    kinds: &Kinds,
) -> Result<(RuntimeName, TreePath), ManifestError> {
    let named = match runtime {
        None => None,
        Some(raw) => Some(kinds.named(raw).ok_or_else(|| ManifestError::Runtime {
            raw: raw.clone(),
            have: kinds.listed(),
        })?),
    };
    let entry = match entry {
        Some(raw) => raw.parse().map_err(ManifestError::Entry)?,
        None => default_entry(named, files, kinds)?,
    };
    let Some(content) = files.get(&entry) else {
        return Err(ManifestError::EntryMissing(entry));
    };
    let Some(kind) = named.or_else(|| kinds.of_file(&entry, content)) else {
        let suffixes = kinds.suffixes();
        return Err(ManifestError::NoRuntime { entry, suffixes });
    };
    match executable::check(content) {
        Err(source) if kind.files.is_program => Err(ManifestError::Executable { entry, source }),
        _ => Ok((kind.runtime.clone(), entry)),
    }
}

/// The only file, or the main file of a folder without a manifest, if it is a
/// text, which alone can say something of itself.
pub(super) fn single_file<'a>(
    files: &'a Files,
    kinds: &Kinds,
) -> Option<(&'a TreePath, &'a Vec<u8>)> {
    let found = match files.len() {
        1 => files.iter().next(),
        // Which of two it is, is told when the entry is looked for.
        _ => files.get_key_value(candidates(kinds.implied(), files).ok()??),
    };
    found.filter(|(_, content)| !executable::begins_so(content))
}

fn default_entry(
    named: Option<&Kind>,
    files: &Files,
    kinds: &Kinds,
) -> Result<TreePath, ManifestError> {
    let mut code = files.keys().filter(|path| path.as_str() != FILE_NAME);
    if let (Some(only), None) = (code.next(), code.next()) {
        return Ok(only.clone());
    }
    let found = match named {
        Some(kind) => candidates([kind].into_iter(), files)?,
        None => candidates(kinds.implied(), files)?,
    };
    found.cloned().ok_or_else(|| {
        let wanted: Vec<&str> = match named {
            Some(kind) => vec![kind.files.main.as_str()],
            None => kinds
                .implied()
                .map(|kind| kind.files.main.as_str())
                .collect(),
        };
        ManifestError::NoEntry(wanted.join("` or `"))
    })
}

/// The entry that these runtimes would look for, if there is just one.
fn candidates<'a, 'k>(
    kinds: impl Iterator<Item = &'k Kind> + Clone,
    files: &'a Files,
) -> Result<Option<&'a TreePath>, ManifestError> {
    let mains = kinds.clone().map(|kind| (kind, Some(&kind.files.main)));
    let handlers = kinds.map(|kind| (kind, kind.files.handler.as_ref()));
    match only(mains, files)? {
        None => only(handlers, files),
        main => Ok(main),
    }
}

fn only<'a, 'k>(
    wanted: impl Iterator<Item = (&'k Kind, Option<&'k TreePath>)>,
    files: &'a Files,
) -> Result<Option<&'a TreePath>, ManifestError> {
    let mut found = wanted.filter_map(|(kind, path)| {
        let (path, content) = files.get_key_value(path?)?;
        // Many things are called `main`; a program is one that begins so.
        let is_one = !kind.files.is_program || executable::begins_so(content);
        is_one.then_some(path)
    });
    let first = found.next();
    match (first, found.find(|other| Some(*other) != first)) {
        (Some(one), Some(other)) => Err(ManifestError::TwoEntries {
            one: one.clone(),
            other: other.clone(),
        }),
        (first, _) => Ok(first),
    }
}
