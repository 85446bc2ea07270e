//! Names of secrets, and which stages are told them. What a secret is never
//! comes here.
//!
//! A secret is its caller's. The rule: no stage is told one that also sees data
//! of somebody else, and a function that is another's is told one only when the
//! caller says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use crate::{name::Name, stage::Stage, text};

/// The most secrets of one stage.
pub const SECRETS_MAX: usize = 16;
/// The longest secret, in bytes.
pub const VALUE_LEN_MAX: usize = 8192;

/// Why a text is not the name of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretNameError {
    #[error(
        "a secret's name is 1 to {} letters, digits, `_`, `-` and `.`, the first a letter; not `{}`",
        SecretName::LEN_MAX, text::shown(.0, 80)
    )]
    NotAName(String),
}

/// The secrets of each stage that is told some.
pub type Secrets = BTreeMap<Stage, BTreeSet<SecretName>>;

/// Why secrets cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    #[error("the function has no stage `{}` to be told secrets", .0.as_str())]
    NoStage(Stage),
    #[error("a stage is told 1 to {SECRETS_MAX} secrets, not {0}")]
    Count(usize),
}

/// Checks what a function asks for.
pub(crate) fn check(secrets: &Secrets, stages: &[Stage]) -> Result<(), SecretsError> {
    for (stage, names) in secrets {
        if !stages.contains(stage) {
            return Err(SecretsError::NoStage(*stage));
        }
        if !(1..=SECRETS_MAX).contains(&names.len()) {
            return Err(SecretsError::Count(names.len()));
        }
    }
    Ok(())
}

/// The stage that would be told a secret of `caller` and see data of another.
pub fn meets_data_of_others<'a>(
    secrets: &Secrets,
    stages: &[Stage],
    caller: &Name,
    owners: impl IntoIterator<Item = &'a Name>,
) -> Option<Stage> {
    let exposes = stages.contains(&Stage::Expose);
    let sees = |stage: &Stage| stage.sees_data() || exposes;
    match owners.into_iter().all(|owner| owner == caller) {
        true => None,
        false => secrets.keys().copied().find(sees),
    }
}

/// A secret's name: 1 to 64 of `a-z A-Z 0-9 _ - .`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// The longest name, in characters.
    pub const LEN_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(raw: &str) -> Result<Self, SecretNameError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let good = raw.len() <= Self::LEN_MAX
            && raw.starts_with(|c: char| c.is_ascii_alphabetic())
            && raw.chars().all(plain);
        match good {
            true => Ok(Self(raw.to_owned())),
            false => Err(SecretNameError::NotAName(raw.to_owned())),
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text::serde_as_text!(SecretName);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::SecretName;

    #[test]
    fn a_secret_has_a_plain_name() {
        for raw in ["a", "API_TOKEN", "api-key.v2"] {
            assert_eq!(raw.parse::<SecretName>().unwrap().as_str(), raw);
        }
        let long = "a".repeat(65);
        for raw in [
            "",
            "1a",
            "_a",
            "a b",
            "a=b",
            "a\n",
            "ä",
            "a\0",
            long.as_str(),
        ] {
            assert!(raw.parse::<SecretName>().is_err(), "{raw:?}");
        }
    }
}
