//! What a version of a dataset says of itself, beside its files.
//!
//! All of it is under the version's digest: who makes another readme makes
//! another version. What is only found by reading the files (structure,
//! statistics) is not, since it follows from them. A version that says
//! nothing has no document at all, as every version before there were any.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    digest::Digest, id::RunId, json, name::ObjectName, plan::InputVersion,
    structure::StructureAsked,
};

/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 200;
/// The longest readme, in bytes.
pub const README_LEN_MAX: usize = 256 * 1024;
/// The longest meta, in bytes of canonical JSON.
pub const META_LEN_MAX: usize = 64 * 1024;
/// The most keywords, and the longest, in characters.
pub const KEYWORDS_MAX: usize = 100;
const KEYWORD_CHARS_MAX: usize = 100;
/// The most originals behind one version.
pub const ORIGINS_MAX: usize = 1024;

/// What people should know of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Meta {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// Whatever else: any key with any value.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What made a version, when nobody pushed it by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    pub run: RunId,
    /// The function as it was called; absent for code that has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<ObjectName>,
    pub function_version: Digest,
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// The title of this change, beside its message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    /// Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readme: Option<String>,
    /// As it was given; what was not given is found by reading the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<StructureAsked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeBy>,
    /// The original versions that this one was computed from, whatever came
    /// between. Empty for an original.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub derived_from: BTreeSet<InputVersion>,
    /// What nobody is told, in a version that was computed: so its digest does
    /// not let who knows all the rest find out what it holds by guessing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub salt: String,
}

/// What becomes of a part when a version follows another.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Change<T> {
    /// It stays as the version before has it.
    #[default]
    Keep,
    Drop,
    Set(T),
}

impl<T: Clone> Change<T> {
    /// The part after the change.
    fn over(self, before: Option<&T>) -> Option<T> {
        match self {
            Self::Keep => before.cloned(),
            Self::Drop => None,
            Self::Set(part) => Some(part),
        }
    }

    /// Whether something is taken over.
    fn keeps(&self, before: Option<&T>) -> bool {
        matches!(self, Self::Keep) && before.is_some()
    }
}

/// What a new version says, as far as it differs from the one before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub title: String,
    pub meta: Change<Meta>,
    pub readme: Change<String>,
    pub structure: Change<StructureAsked>,
    pub made_by: Option<MadeBy>,
    pub derived_from: BTreeSet<InputVersion>,
}

/// Why something cannot be said of a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaysError {
    #[error("title: {len} characters, more than {TITLE_CHARS_MAX}")]
    Title { len: usize },
    #[error("readme: {len} bytes, more than {README_LEN_MAX}")]
    Readme { len: usize },
    #[error("meta: {len} bytes of JSON, more than {META_LEN_MAX}")]
    Meta { len: usize },
    #[error("meta.keywords: at most {KEYWORDS_MAX} of {KEYWORD_CHARS_MAX} characters")]
    Keywords,
    #[error("it comes from {found} originals, more than {ORIGINS_MAX}")]
    Origins { found: usize },
    #[error(transparent)]
    Structure(#[from] crate::structure::StructureError),
}

impl Meta {
    fn check(&self) -> Result<(), SaysError> {
        let long = |keyword: &String| KEYWORD_CHARS_MAX < keyword.chars().count();
        if KEYWORDS_MAX < self.keywords.len() || self.keywords.iter().any(long) {
            return Err(SaysError::Keywords);
        }
        match json::canonical_of(self).len() {
            len if len <= META_LEN_MAX => Ok(()),
            len => Err(SaysError::Meta { len }),
        }
    }
}

impl Changes {
    /// Whether a part of `before` is taken over. Who may not see it then may
    /// not see what follows either.
    pub fn keeps(&self, before: &Says) -> bool {
        self.meta.keeps(before.meta.as_ref())
            || self.readme.keeps(before.readme.as_ref())
            || self.keeps_structure(before)
    }

    /// The same, of the structure alone.
    pub fn keeps_structure(&self, before: &Says) -> bool {
        self.structure.keeps(before.structure.as_ref())
    }

    /// What the version says that follows `before`.
    ///
    /// A part that is taken over from a derived version brings its originals
    /// along: it may have been computed from them.
    pub fn over(self, before: &Says) -> Says {
        let is_kept = self.keeps(before);
        let structure = self.structure.over(before.structure.as_ref());
        let (mut derived_from, mut salt) = (self.derived_from, String::new());
        if is_kept {
            derived_from.extend(before.derived_from.iter().cloned());
            salt.clone_from(&before.salt);
        }
        Says {
            title: self.title,
            meta: self.meta.over(before.meta.as_ref()),
            readme: self.readme.over(before.readme.as_ref()),
            structure: structure.filter(|structure| !structure.is_empty()),
            made_by: self.made_by,
            derived_from,
            salt,
        }
    }
}

impl Says {
    /// Refuses what is over a bound.
    pub fn checked(self) -> Result<Self, SaysError> {
        let title = self.title.chars().count();
        if TITLE_CHARS_MAX < title {
            return Err(SaysError::Title { len: title });
        }
        match &self.readme {
            Some(readme) if README_LEN_MAX < readme.len() => {
                return Err(SaysError::Readme { len: readme.len() });
            }
            _ => {}
        }
        self.meta.as_ref().map_or(Ok(()), Meta::check)?;
        if ORIGINS_MAX < self.derived_from.len() {
            let found = self.derived_from.len();
            return Err(SaysError::Origins { found });
        }
        let structure = self.structure.map(StructureAsked::checked).transpose()?;
        Ok(Self { structure, ..self })
    }

    /// The same with a salt of these random bytes, where it comes from other
    /// versions.
    pub fn salted(self, random: [u8; 10]) -> Self {
        let salt = match self.derived_from.is_empty() {
            true => self.salt,
            false => hex::encode(random),
        };
        Self { salt, ..self }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether both say the same of their files, whoever made them and of what.
    pub fn tells_the_same(&self, other: &Self) -> bool {
        (&self.meta, &self.readme, &self.structure)
            == (&other.meta, &other.readme, &other.structure)
    }

    /// Whether a version that says `other` of the same files is no other version.
    pub fn changes_nothing(&self, other: &Self) -> bool {
        self.tells_the_same(other) && self.derived_from == other.derived_from
    }
}
