//! What a function needs of other people's packages.
//!
//! It says so itself: in `requirements.txt`, `pyproject.toml`, its inline
//! metadata or `package.json`; where it says nothing, its imports tell. What
//! it needs is resolved once into a [`Lock`], which is one of its files, so
//! that owners approve every package by the digests of its files. Here texts
//! are read and compared; nothing is resolved and nothing of a package is run.
//! Deliberately absent: options in requirements. Where packages come from is
//! the station's to say, and a path or an address would be no package at all.

pub mod imports;
mod lock;

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    inline, json,
    manifest::{Files, Manifest},
    text::shown,
    tree::TreePath,
};

pub use lock::{Change, LOCK_LEN_MAX, Lock, LockError, Package, Unplaced, changes, normal};

/// The file of a function that holds its lock.
pub const LOCK_FILE: &str = "strongroom.lock";
/// The same for Node, as npm calls it.
pub const NODE_LOCK_FILE: &str = "package-lock.json";
/// The longest requirements, in bytes.
pub const REQUIREMENTS_LEN_MAX: usize = 64 * 1024;
/// The most of them.
pub const REQUIREMENTS_MAX: usize = 500;

const REQUIREMENTS: &str = "requirements.txt";
const PYPROJECT: &str = "pyproject.toml";
const PACKAGE: &str = "package.json";

/// What a version of a function depends on; part of its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Dependencies {
    /// Where the function says what it needs.
    pub from: Origin,
    /// The digest of what it says.
    pub requirements: Digest,
    /// The digest of its lock.
    pub lock: Digest,
}

/// Where a function says what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DependencyOrigin))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Requirements,
    Pyproject,
    Inline,
    Imports,
    PackageJson,
    /// Nothing; its runtime brings what it is run with.
    Runtime,
}

impl Origin {
    /// As a sentence names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requirements => REQUIREMENTS,
            Self::Pyproject => PYPROJECT,
            Self::Inline => "its inline metadata",
            Self::Imports => "its imports",
            Self::PackageJson => PACKAGE,
            Self::Runtime => "its runtime",
        }
    }
}

/// The table `[dependencies]` of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Imports tell what it needs, where it says nothing.
    #[serde(default = "yes")]
    pub infer: bool,
}

fn yes() -> bool {
    true
}

impl Default for Wishes {
    fn default() -> Self {
        Self { infer: true }
    }
}

/// What a function says that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    Python(Requirements),
    /// It says nothing, and imports what the interpreter may not bring.
    Imports,
    Node(Requirements),
}

/// What is to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements {
    pub from: Origin,
    /// One in a line, or a whole `package.json`.
    pub text: String,
}

/// Why it cannot be told what a function needs; the developer is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    #[error("{file}: {why}")]
    File { file: &'static str, why: String },
    #[error("{file}: `{}`: {why}", shown(.line, 120))]
    Line {
        file: &'static str,
        line: String,
        why: &'static str,
    },
    #[error("both {} and {} say what it needs; keep one of them", .0.as_str(), .1.as_str())]
    Two(Origin, Origin),
}

impl Asked {
    /// What the function in `files` needs.
    ///
    /// # Errors
    ///
    /// [`DependencyError`] says which file and line.
    pub fn of_files(
        files: &Files,
        manifest: &Manifest,
        wishes: Wishes,
    ) -> Result<Self, DependencyError> {
        let entry = manifest.entry.file_name();
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| entry.ends_with(suffix));
        if ends(&[".js", ".mjs", ".cjs", ".ts"]) {
            return node(files);
        }
        if !ends(&[".py"]) {
            return Ok(Self::Nothing);
        }
        let said = [
            of_requirements(files)?,
            of_pyproject(files)?,
            of_inline(files, &manifest.entry)?,
        ];
        let mut said = said.into_iter().flatten();
        match (said.next(), said.next()) {
            (Some(one), Some(two)) => Err(DependencyError::Two(one.from, two.from)),
            (Some(only), None) if only.text.is_empty() => Ok(Self::Nothing),
            (Some(only), None) => Ok(Self::Python(only)),
            (None, _) if wishes.infer && imports::may_need_more(files) => Ok(Self::Imports),
            (None, _) => Ok(Self::Nothing),
        }
    }
}

impl Requirements {
    /// Those that the imports of a function stand for.
    pub fn of_imports<'a>(modules: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<String> = modules.into_iter().map(imports::distribution_of).collect();
        names.sort();
        names.dedup();
        Self {
            from: Origin::Imports,
            text: names.join("\n"),
        }
    }

    /// Those of a `package.json`: only what decides what is installed.
    fn of_package(whole: &serde_json::Value) -> Self {
        let kept = ["dependencies", "optionalDependencies"];
        let kept: serde_json::Map<_, _> = kept
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), whole.get(key)?.clone())))
            .collect();
        Self {
            from: Origin::PackageJson,
            text: json::canonical(&serde_json::Value::Object(kept)),
        }
    }

    pub fn is_node(&self) -> bool {
        self.from == Origin::PackageJson
    }

    /// The same with what a runtime brings, and this locks all of it together.
    pub fn with(self, brought: &str) -> Self {
        let text = format!("{}\n{}", brought.trim_end(), self.text);
        Self { text, ..self }
    }

    /// What tells whether a lock is for them still.
    pub fn digest(&self) -> Digest {
        let parts = serde_json::json!({ "node": self.is_node(), "requirements": self.text });
        Digest::of(json::canonical(&parts).as_bytes())
    }
}

fn file<'a>(files: &'a Files, name: &'static str) -> Result<Option<&'a str>, DependencyError> {
    let path: TreePath = name.parse().expect("a constant, plain name");
    let Some(bytes) = files.get(&path) else {
        return Ok(None);
    };
    let wrong = |why: &str| DependencyError::File {
        file: name,
        why: why.to_owned(),
    };
    match std::str::from_utf8(bytes) {
        _ if REQUIREMENTS_LEN_MAX < bytes.len() => Err(wrong("it is longer than 64 KiB")),
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(wrong("it is not UTF-8")),
    }
}

fn of_requirements(files: &Files) -> Result<Option<Requirements>, DependencyError> {
    let Some(text) = file(files, REQUIREMENTS)? else {
        return Ok(None);
    };
    let text = text.replace("\\\r\n", " ").replace("\\\n", " ");
    requirements(Origin::Requirements, text.lines()).map(Some)
}

fn of_pyproject(files: &Files) -> Result<Option<Requirements>, DependencyError> {
    let Some(text) = file(files, PYPROJECT)? else {
        return Ok(None);
    };
    #[derive(Deserialize)]
    struct Whole {
        project: Option<Project>,
    }
    #[derive(Deserialize)]
    struct Project {
        dependencies: Option<Vec<String>>,
        #[serde(default)]
        dynamic: Vec<String>,
    }
    let wrong = |why: String| DependencyError::File {
        file: PYPROJECT,
        why,
    };
    let whole: Whole = toml::from_str(text)
        .map_err(|error| wrong(crate::manifest::toml_fault(text, 0, &error)))?;
    let Some(project) = whole.project else {
        return Ok(None);
    };
    if project.dynamic.iter().any(|field| field == "dependencies") {
        let why = "its dependencies are dynamic, so only running code would tell them";
        return Err(wrong(why.to_owned()));
    }
    let said = project.dependencies.as_ref();
    said.map(|lines| requirements(Origin::Pyproject, lines.iter().map(String::as_str)))
        .transpose()
}

fn of_inline(files: &Files, entry: &TreePath) -> Result<Option<Requirements>, DependencyError> {
    #[derive(Deserialize)]
    struct Block {
        dependencies: Option<Vec<String>>,
    }
    let source = files.get(entry).map(Vec::as_slice).unwrap_or_default();
    let Ok(Some((text, lines_before))) = inline::block(&String::from_utf8_lossy(source)) else {
        return Ok(None);
    };
    let block: Block = toml::from_str(&text).map_err(|error| DependencyError::File {
        file: "inline metadata",
        why: crate::manifest::toml_fault(&text, lines_before, &error),
    })?;
    let said = block.dependencies.as_ref();
    said.map(|lines| requirements(Origin::Inline, lines.iter().map(String::as_str)))
        .transpose()
}

/// Lines without comments, each one package.
fn requirements<'a>(
    from: Origin,
    lines: impl Iterator<Item = &'a str>,
) -> Result<Requirements, DependencyError> {
    let mut kept = Vec::new();
    for line in lines {
        let line = match line.find(" #") {
            Some(comment) => &line[..comment],
            None => line,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(why) = fault(line) {
            return Err(DependencyError::Line {
                file: from.as_str(),
                line: line.to_owned(),
                why,
            });
        }
        kept.push(line.to_owned());
    }
    let text = kept.join("\n");
    if REQUIREMENTS_MAX < kept.len() || REQUIREMENTS_LEN_MAX < text.len() {
        return Err(DependencyError::File {
            file: from.as_str(),
            why: format!("more than {REQUIREMENTS_MAX} packages, or more than 64 KiB"),
        });
    }
    Ok(Requirements { from, text })
}

/// Why a line is no requirement that a station takes.
fn fault(line: &str) -> Option<&'static str> {
    let first = line.chars().next()?;
    if first == '-' {
        return Some("options are the station's to set; name packages only");
    }
    // What is for some platforms alone says so behind a `;`, in texts of its own.
    let before_marker = line.split(';').next().unwrap_or_default();
    if line.contains("://") || before_marker.contains('@') || line.contains('\\') {
        return Some("a package is named, not fetched from an address or a path");
    }
    if !first.is_ascii_alphanumeric() {
        return Some("the name of a package begins with a letter or a digit");
    }
    let name_len = line.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    let rest = line[name_len.unwrap_or(line.len())..].trim_start();
    let follows =
        rest.is_empty() || rest.starts_with(['[', '=', '<', '>', '!', '~', ';', '(', '-']);
    let plain = line.chars().all(|c| ('\x20'..='\x7e').contains(&c));
    (!follows || !plain).then_some("this is no name of a package with versions behind it")
}

fn node(files: &Files) -> Result<Asked, DependencyError> {
    let Some(text) = file(files, PACKAGE)? else {
        return Ok(Asked::Nothing);
    };
    let wrong = |why: String| DependencyError::File { file: PACKAGE, why };
    let whole: serde_json::Value =
        serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let needs = |key: &str| {
        whole[key]
            .as_object()
            .is_some_and(|packages| !packages.is_empty())
    };
    if !needs("dependencies") && !needs("optionalDependencies") {
        return Ok(Asked::Nothing);
    }
    for key in ["overrides", "workspaces", "bundleDependencies"] {
        if whole.get(key).is_some() {
            return Err(wrong(format!("`{key}` is not taken here")));
        }
    }
    Ok(Asked::Node(Requirements::of_package(&whole)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
