//! Names of secrets. What a secret is never comes here.

use std::{fmt, str::FromStr};

use crate::text;

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
