//! A lock: every package that a function is run with, by the digests of its files.
//!
//! For Python it is a list of exact versions with hashes, as uv and pip write
//! it, behind comments that say what it is for; for Node it is npm's
//! `package-lock.json`. A lock is read strictly: what could come from anywhere
//! else than an index, or has no digest, is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Requirements;
use crate::{digest::Digest, text::shown};

/// The longest lock, in bytes.
pub const LOCK_LEN_MAX: usize = 8 << 20;
/// The most packages of one lock.
pub const PACKAGES_MAX: usize = 2000;

const REQUIREMENTS: &str = "# requirements: ";
const INTERPRETER: &str = "# interpreter: ";
const HASH: &str = "--hash=sha256:";

/// A lock that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// By name.
    pub packages: Vec<Package>,
    /// What it was made for; nothing in a lock that somebody wrote himself.
    pub requirements: Option<Digest>,
    /// For whom its files were chosen, as `cpython-311-x86_64-linux-gnu`.
    pub interpreter: Option<String>,
    hashes: BTreeMap<String, Vec<String>>,
    unplaced: Vec<Unplaced>,
    is_node: bool,
    digest: Digest,
}

/// One package of a lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// The digest over the digests of its files.
    pub files: Digest,
}

/// A package whose address does not say what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unplaced {
    pub name: String,
    pub version: String,
    pub integrity: String,
}

/// What became of one package from one lock to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PackageChange))]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub name: String,
    /// Its version before; absent when it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its version now; absent when it is gone. The same version means that
    /// its files are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Why a text is no lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    #[error("the lock is longer than 8 MiB, or has more than {PACKAGES_MAX} packages")]
    TooLong,
    #[error("the lock, line {line}: {why}")]
    Line { line: usize, why: &'static str },
    #[error("the lock: {0}")]
    Json(String),
    #[error("the lock: `{}` {why}", shown(.package, 120))]
    Package { package: String, why: &'static str },
}

impl Lock {
    /// Reads a lock of Python packages.
    pub fn python(text: &str) -> Result<Self, LockError> {
        if LOCK_LEN_MAX < text.len() {
            return Err(LockError::TooLong);
        }
        let said = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let mut packages = BTreeMap::new();
        let mut hashes = BTreeMap::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let mut whole = code(line).to_owned();
            while let Some(open) = whole.strip_suffix('\\') {
                let next = lines.next().map(|(_, line)| code(line)).unwrap_or_default();
                whole = format!("{open} {next}");
            }
            if whole.trim().is_empty() {
                continue;
            }
            let wrong = |why| LockError::Line {
                line: number + 1,
                why,
            };
            let (package, files) = pinned(&whole).map_err(wrong)?;
            hashes.insert(package.name.clone(), files);
            if packages.insert(package.name.clone(), package).is_some() {
                return Err(wrong("the package is there twice"));
            }
        }
        if PACKAGES_MAX < packages.len() {
            return Err(LockError::TooLong);
        }
        Ok(Self {
            packages: packages.into_values().collect(),
            requirements: said(REQUIREMENTS).and_then(|raw| raw.trim().parse().ok()),
            interpreter: said(INTERPRETER).map(|raw| raw.trim().to_owned()),
            hashes,
            unplaced: Vec::new(),
            is_node: false,
            digest: Digest::of(text.as_bytes()),
        })
    }

    /// The text of a lock that was just made.
    pub fn python_text(requirements: &Digest, interpreter: &str, pinned: &str) -> String {
        format!(
            "# Every package by the digests of its files. `function push --relock` resolves anew.\n\
             {REQUIREMENTS}{requirements}\n{INTERPRETER}{interpreter}\n{pinned}"
        )
    }

    /// Reads a `package-lock.json`.
    pub fn node(text: &str) -> Result<Self, LockError> {
        if LOCK_LEN_MAX < text.len() {
            return Err(LockError::TooLong);
        }
        let whole: Value =
            serde_json::from_str(text).map_err(|error| LockError::Json(error.to_string()))?;
        // Others mean something else by the same words, or have other words.
        if ![2, 3].map(Value::from).contains(&whole["lockfileVersion"]) {
            let why = "its `lockfileVersion` is neither 2 nor 3";
            return Err(LockError::Json(why.to_owned()));
        }
        let Some(entries) = whole["packages"].as_object() else {
            let why = "there is no `packages`; npm writes it from version 7 on";
            return Err(LockError::Json(why.to_owned()));
        };
        if PACKAGES_MAX < entries.len() {
            return Err(LockError::TooLong);
        }
        if !entries.contains_key("") {
            let why = "it does not say what it is for";
            return Err(LockError::Json(why.to_owned()));
        }
        let (mut packages, mut unplaced) = (Vec::new(), Vec::new());
        for (place, entry) in entries.iter().filter(|(place, _)| !place.is_empty()) {
            let (package, asks) = node_package(place, entry)?;
            packages.push(package);
            unplaced.extend(asks);
        }
        packages.sort();
        Ok(Self {
            packages,
            requirements: Some(Requirements::of_package(&entries[""]).digest()),
            interpreter: None,
            hashes: BTreeMap::new(),
            unplaced,
            is_node: true,
            digest: Digest::of(text.as_bytes()),
        })
    }

    /// The SHA-256 digests of a Python package's files, in hexadecimal.
    pub fn hashes(&self, package: &str) -> &[String] {
        self.hashes.get(package).map_or(&[], Vec::as_slice)
    }

    /// The packages of Node whose addresses do not say what they are. Only the
    /// index can tell whether a file with this digest is the one it has.
    pub fn unplaced(&self) -> &[Unplaced] {
        &self.unplaced
    }

    /// Whether it is npm's.
    pub fn is_node(&self) -> bool {
        self.is_node
    }

    /// What names the folder that it is installed in.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// What changed from one lock to another, by name.
pub fn changes(before: &[Package], after: &[Package]) -> Vec<Change> {
    let mut all: BTreeMap<&str, (Vec<&Package>, Vec<&Package>)> = BTreeMap::new();
    for package in before {
        all.entry(&package.name).or_default().0.push(package);
    }
    for package in after {
        all.entry(&package.name).or_default().1.push(package);
    }
    let listed = |packages: &[&Package]| {
        let versions: Vec<&str> = packages.iter().map(|one| one.version.as_str()).collect();
        (!versions.is_empty()).then(|| versions.join(", "))
    };
    let changed = all
        .into_iter()
        .filter(|(_, (before, after))| before != after);
    changed
        .map(|(name, (before, after))| Change {
            name: name.to_owned(),
            before: listed(&before),
            after: listed(&after),
        })
        .collect()
}

/// A line without its comment.
fn code(line: &str) -> &str {
    let line = line.trim_end();
    match line.trim_start().starts_with('#') {
        true => "",
        false => line.find(" #").map_or(line, |at| line[..at].trim_end()),
    }
}

fn pinned(line: &str) -> Result<(Package, Vec<String>), &'static str> {
    let mut words = line.split_whitespace();
    let pin = words.next().unwrap_or_default();
    let (name, version) = pin
        .split_once("==")
        .ok_or("every package has one exact version, as in `name==1.0`")?;
    let plain = |text: &str, also: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits)
    };
    if !plain(name, "._-") || !plain(version, "._-+!") || 100 < pin.len() {
        return Err("the name or the version is none that an index has");
    }
    let mut hashes = Vec::new();
    for word in words {
        let hash = word.strip_prefix(HASH);
        let hash = hash.ok_or("behind a version there is nothing but `--hash=sha256:…`")?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err("a hash has 64 hexadecimal digits");
        }
        hashes.push(hash.to_ascii_lowercase());
    }
    if hashes.is_empty() {
        return Err("a package without a hash could be any file");
    }
    hashes.sort();
    let package = Package {
        name: normal(name),
        version: version.to_owned(),
        files: Digest::of(hashes.join(" ").as_bytes()),
    };
    Ok((package, hashes))
}

/// The one spelling of a package's name.
pub fn normal(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.push(c.to_ascii_lowercase()),
        }
    }
    out
}

/// Whether these are a name and a version, and nothing else that npm knows.
fn is_plain(name: &str, version: &str) -> bool {
    let plain = |part: &str, also: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(fits)
    };
    let own = match name.strip_prefix('@').map(|name| name.split_once('/')) {
        None => Some(name),
        Some(Some((scope, own))) if plain(scope, "._-") => Some(own),
        Some(_) => None,
    };
    own.is_some_and(|own| plain(own, "._-"))
        && version.starts_with(|c: char| c.is_ascii_digit())
        && plain(version, ".+-")
}

/// Whether an index has at this address the file of a package that it is called
/// by: `…/NAME/-/NAME-VERSION.tgz`, without the scope in the second place.
fn is_file_of(address: &str, name: &str, version: &str) -> bool {
    let (_, own) = name.rsplit_once('/').unwrap_or(("", name));
    let mut spelled = ["/", "%2f", "%2F"]
        .map(|slash| name.replace('/', slash))
        .into_iter();
    !version.is_empty()
        && !address.contains(['?', '#', '\\'])
        && spelled.any(|name| address.ends_with(&format!("/{name}/-/{own}-{version}.tgz")))
}

/// One package, and what has to be asked of the index about it.
fn node_package(place: &str, entry: &Value) -> Result<(Package, Option<Unplaced>), LockError> {
    let wrong = |why| LockError::Package {
        package: place.to_owned(),
        why,
    };
    let Some((_, name)) = place.rsplit_once("node_modules/") else {
        return Err(wrong("is a folder of the function, and no package"));
    };
    let safe = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !place.split('/').all(safe) || place.contains('\\') {
        return Err(wrong("is no place for a package"));
    }
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let from = ["https://", "http://"].map(|scheme| text("resolved").strip_prefix(scheme));
    let Some(from) = from.into_iter().flatten().next() else {
        return Err(wrong("is not from an index"));
    };
    if entry["link"] == true {
        return Err(wrong("is not from an index"));
    }
    let (version, integrity) = (text("version"), text("integrity"));
    let is_placed = is_file_of(from, name, version);
    // What looks like the address of another package is not asked about.
    let may_be = !from.contains(['?', '#', '\\']) && !from.contains("/-/");
    if !(is_placed || may_be && is_plain(name, version))
        || entry["name"].as_str().is_some_and(|own| own != name)
    {
        return Err(wrong(
            "is another package, or another version, than it is called",
        ));
    }
    let strong = |hash: &str| hash.starts_with("sha512-") || hash.starts_with("sha384-");
    if !integrity.split(' ').all(strong) {
        return Err(wrong("has no `integrity` of sha512"));
    }
    let package = Package {
        name: name.to_owned(),
        version: version.to_owned(),
        files: Digest::of(integrity.as_bytes()),
    };
    let unplaced = (!is_placed).then(|| Unplaced {
        name: name.to_owned(),
        version: version.to_owned(),
        integrity: integrity.to_owned(),
    });
    Ok((package, unplaced))
}
