//! A tree of files: the content of a dataset or of a function.
//!
//! A tree is a list of paths with the digest and size of each file. It holds
//! regular files only: a link or a device has no place in it. Its paths are
//! safe to create below any folder on any file system, since whatever could
//! climb out, collide or deceive is refused when the tree is made.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, json, text};

/// The most files in one tree.
pub const FILES_MAX: usize = 100_000;
/// The longest path, in bytes.
pub const PATH_LEN_MAX: usize = 1024;
/// The longest part of a path, in bytes.
pub const PART_LEN_MAX: usize = 255;
/// The deepest path, in parts.
pub const DEPTH_MAX: usize = 32;

/// A path inside a tree: parts joined by `/`, none of them empty, `.` or `..`,
/// without control characters or direction marks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

/// Why files do not make a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("path `{}`: {why}", text::shown(.path, 120))]
    Path { path: String, why: &'static str },
    #[error("path `{}` is there twice", text::shown(.0, 120))]
    Twice(String),
    #[error("paths `{}` and `{}` differ only in case", text::shown(.0, 120), text::shown(.1, 120))]
    Case(String, String),
    #[error("`{}` is both a file and a folder", text::shown(.0, 120))]
    FileAndFolder(String),
    #[error("there are more than {FILES_MAX} files")]
    TooMany,
    #[error("there are no files")]
    Empty,
}

impl TreePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a path that may not be UTF-8, as archives have them.
    pub fn from_bytes(raw: &[u8]) -> Result<Self, TreeError> {
        match std::str::from_utf8(raw) {
            Ok(text) => text.parse(),
            Err(_) => Err(TreeError::Path {
                path: String::from_utf8_lossy(raw).into_owned(),
                why: "is not UTF-8",
            }),
        }
    }

    /// The part after the last `/`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

fn path_fault(raw: &str) -> Option<&'static str> {
    if raw.is_empty() {
        return Some("is empty");
    }
    if PATH_LEN_MAX < raw.len() {
        return Some("is longer than 1024 bytes");
    }
    if raw.starts_with('/') {
        return Some("is absolute");
    }
    if raw.contains('\\') {
        return Some("has a backslash");
    }
    if raw
        .chars()
        .any(|c| c.is_control() || text::turns_direction(c))
    {
        return Some("has a control or direction character");
    }
    if DEPTH_MAX < raw.split('/').count() {
        return Some("is deeper than 32 folders");
    }
    raw.split('/').find_map(part_fault)
}

fn part_fault(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("has an empty part"),
        "." => Some("has a part `.`"),
        ".." => Some("has a part `..`"),
        _ if PART_LEN_MAX < part.len() => Some("has a part longer than 255 bytes"),
        _ => None,
    }
}

impl FromStr for TreePath {
    type Err = TreeError;

    fn from_str(raw: &str) -> Result<Self, TreeError> {
        match path_fault(raw) {
            Some(why) => Err(TreeError::Path {
                path: raw.to_owned(),
                why,
            }),
            None => Ok(Self(raw.to_owned())),
        }
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::text::serde_as_text!(TreePath);

/// One file of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TreeFile {
    pub digest: Digest,
    pub size_bytes: u64,
}

/// A tree of at least one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, TreeFile>",
    into = "BTreeMap<String, TreeFile>"
)]
pub struct Tree(BTreeMap<TreePath, TreeFile>);

impl Tree {
    /// Makes a tree, refusing paths that collide.
    pub fn new(files: impl IntoIterator<Item = (TreePath, TreeFile)>) -> Result<Self, TreeError> {
        let mut tree = BTreeMap::new();
        let mut folded: BTreeMap<String, String> = BTreeMap::new();
        for (path, file) in files {
            if FILES_MAX <= tree.len() {
                return Err(TreeError::TooMany);
            }
            fold_in(&mut folded, &path)?;
            if tree.contains_key(&path) {
                return Err(TreeError::Twice(path.0));
            }
            tree.insert(path, file);
        }
        if tree.is_empty() {
            return Err(TreeError::Empty);
        }
        refuse_files_in_files(&tree)?;
        Ok(Self(tree))
    }

    /// The files in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&TreePath, &TreeFile)> {
        self.0.iter()
    }

    pub fn get(&self, path: &TreePath) -> Option<&TreeFile> {
        self.0.get(path)
    }

    /// The number of files.
    pub fn file_count(&self) -> usize {
        self.0.len()
    }

    /// The sum of the files' sizes.
    pub fn size_bytes(&self) -> u64 {
        self.0
            .values()
            .map(|file| file.size_bytes)
            .fold(0, u64::saturating_add)
    }

    /// The digest over all paths and contents.
    pub fn digest(&self) -> Digest {
        Digest::of(json::canonical_of(self).as_bytes())
    }
}

/// Refuses two spellings of one path or folder that differ in case only.
fn fold_in(folded: &mut BTreeMap<String, String>, path: &TreePath) -> Result<(), TreeError> {
    let raw = path.as_str();
    let ends = raw.match_indices('/').map(|(at, _)| at).chain([raw.len()]);
    for end in ends {
        let spelled = &raw[..end];
        match folded.entry(spelled.to_lowercase()) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(spelled.to_owned());
            }
            std::collections::btree_map::Entry::Occupied(seen) if seen.get() != spelled => {
                return Err(TreeError::Case(seen.get().clone(), spelled.to_owned()));
            }
            std::collections::btree_map::Entry::Occupied(_) => {}
        }
    }
    Ok(())
}

fn refuse_files_in_files(tree: &BTreeMap<TreePath, TreeFile>) -> Result<(), TreeError> {
    for path in tree.keys() {
        for (end, _) in path.0.match_indices('/') {
            if tree.contains_key(&TreePath(path.0[..end].to_owned())) {
                return Err(TreeError::FileAndFolder(path.0[..end].to_owned()));
            }
        }
    }
    Ok(())
}

impl TryFrom<BTreeMap<String, TreeFile>> for Tree {
    type Error = TreeError;

    fn try_from(raw: BTreeMap<String, TreeFile>) -> Result<Self, TreeError> {
        let mut files = Vec::with_capacity(raw.len());
        for (path, file) in raw {
            files.push((path.parse()?, file));
        }
        Self::new(files)
    }
}

impl From<Tree> for BTreeMap<String, TreeFile> {
    fn from(tree: Tree) -> Self {
        tree.0
            .into_iter()
            .map(|(path, file)| (path.0, file))
            .collect()
    }
}
