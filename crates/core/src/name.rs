//! Names of people and things.
//!
//! A name is checked once, when text becomes a [`Name`]; after that it is
//! right by construction. Names are for people: nothing is ever approved by
//! name, and no name is ever a path on the host.

use std::{fmt, str::FromStr};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name cannot be empty")]
    Empty,
    #[error("a name starts with a letter a-z, not `{}`", .0.escape_default())]
    Start(char),
    #[error("a name has letters a-z, digits and `-`, not `{}`", .0.escape_default())]
    Char(char),
    #[error("a name has at most {} characters, not {len}", Name::LEN_MAX)]
    TooLong { len: usize },
    #[error("`{}` is not of the form owner/name", crate::text::shown(.0, 80))]
    NotQualified(String),
}

/// The name of a user, a dataset, a function or an input: 1 to 63 of
/// `a-z 0-9 -`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The longest name, in characters.
    pub const LEN_MAX: usize = 63;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        let first = raw.chars().next().ok_or(NameError::Empty)?;
        if !first.is_ascii_lowercase() {
            return Err(NameError::Start(first));
        }
        if Self::LEN_MAX < raw.len() {
            return Err(NameError::TooLong { len: raw.len() });
        }
        match raw
            .chars()
            .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-'))
        {
            Some(c) => Err(NameError::Char(c)),
            None => Ok(Self(raw.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::text::serde_as_text!(Name);

/// The full name of a dataset or a function: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub owner: Name,
    pub name: Name,
}

impl FromStr for ObjectName {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        let (owner, name) = raw
            .split_once('/')
            .ok_or_else(|| NameError::NotQualified(raw.to_owned()))?;
        Ok(Self {
            owner: owner.parse()?,
            name: name.parse()?,
        })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

crate::text::serde_as_text!(ObjectName);

/// One version of a dataset or a function: `owner/name`, `owner/name@sha256:…`
/// or `owner/name~2` (the second before the newest).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub name: ObjectName,
    pub version: VersionChoice,
}

/// Which version of a thing is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionChoice {
    /// `0` is the newest, `1` the one before it.
    Back(u32),
    Exactly(crate::digest::Digest),
}

/// Why a text names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Digest(#[from] crate::digest::DigestError),
    #[error("`~` is followed by a number of versions to go back, not `{}`", crate::text::shown(.0, 40))]
    Back(String),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(raw: &str) -> Result<Self, ReferenceError> {
        if let Some((name, digest)) = raw.split_once('@') {
            let version = VersionChoice::Exactly(digest.parse()?);
            return Ok(Self {
                name: name.parse()?,
                version,
            });
        }
        if let Some((name, back)) = raw.split_once('~') {
            let back = back
                .parse()
                .map_err(|_| ReferenceError::Back(back.to_owned()))?;
            return Ok(Self {
                name: name.parse()?,
                version: VersionChoice::Back(back),
            });
        }
        Ok(Self {
            name: raw.parse()?,
            version: VersionChoice::Back(0),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            VersionChoice::Back(0) => write!(f, "{}", self.name),
            VersionChoice::Back(back) => write!(f, "{}~{back}", self.name),
            VersionChoice::Exactly(digest) => write!(f, "{}@{digest}", self.name),
        }
    }
}

crate::text::serde_as_text!(Reference);
