//! Which station we talk to, and with which token.
//!
//! Kept in one file that only its user can read. A stored token is sent to
//! the station that it was stored for, and to no other: naming another
//! station by `STRONGROOM_URL` needs its own `STRONGROOM_TOKEN`.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::home::config_folder;

const FILE_NAME: &str = "login.toml";
/// Where a station listens unless it is told otherwise.
pub const URL_DEFAULT: &str = "http://127.0.0.1:7878";

/// A station and a token for it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Without a slash at its end.
    pub url: String,
    pub token: String,
}

/// Why there is no station to talk to.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("you are not logged in")]
    None,
    #[error("you are not logged in to {url}; the stored token is for {stored}")]
    Other { url: String, stored: String },
    #[error("`{0}` is not the address of a station")]
    Url(String),
    #[error("a token is one line of letters, digits, `-` and `_`")]
    Token,
    #[error("could not find a home directory")]
    NoHome,
    #[error("could not read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not read {}: {message}", .path.display())]
    Unreadable { path: PathBuf, message: String },
    #[error("could not write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl LoginError {
    /// The next step, where we know one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::None => Some(
                "`strongroom login [URL]`, or set STRONGROOM_URL and STRONGROOM_TOKEN".to_owned(),
            ),
            Self::Other { url, .. } => {
                Some(format!("`strongroom login {url}`, or set STRONGROOM_TOKEN"))
            }
            Self::Url(_) => Some(format!("an address is written like {URL_DEFAULT}")),
            Self::Unreadable { .. } => Some("`strongroom login` writes it anew".to_owned()),
            Self::NoHome => Some("set HOME".to_owned()),
            _ => None,
        }
    }
}

impl Login {
    /// What the environment says, over what was stored.
    pub fn found() -> Result<Self, LoginError> {
        let (url, token) = (variable("STRONGROOM_URL"), variable("STRONGROOM_TOKEN"));
        if let (Some(url), Some(token)) = (&url, &token) {
            return Ok(Self {
                url: checked_url(url)?,
                token: checked_token(token)?,
            });
        }
        let stored = Self::stored()?;
        match (url, token, stored) {
            (Some(url), None, Some(stored)) => match checked_url(&url)? {
                url if url == stored.url => Ok(stored),
                url => Err(LoginError::Other {
                    url,
                    stored: stored.url,
                }),
            },
            (None, Some(token), Some(stored)) => Ok(Self {
                url: stored.url,
                token: checked_token(&token)?,
            }),
            (None, Some(token), None) => Ok(Self {
                url: URL_DEFAULT.to_owned(),
                token: checked_token(&token)?,
            }),
            (None, None, Some(stored)) => Ok(stored),
            (_, None, None) | (Some(_), Some(_), _) => Err(LoginError::None),
        }
    }

    /// What `login` stored, if it did.
    fn stored() -> Result<Option<Self>, LoginError> {
        let path = config_folder()?.join(FILE_NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LoginError::Read { path, source }),
        };
        match toml::from_str(&text) {
            Ok(login) => Ok(Some(login)),
            // The message of the parser could quote the secret.
            Err(_) => Err(LoginError::Unreadable {
                path,
                message: "it is damaged".to_owned(),
            }),
        }
    }

    /// Remembers it; returns where.
    pub fn store(&self) -> Result<PathBuf, LoginError> {
        let folder = config_folder()?;
        let path = folder.join(FILE_NAME);
        match self.write(&folder, &path) {
            Ok(()) => Ok(path),
            Err(source) => Err(LoginError::Write { path, source }),
        }
    }

    fn write(&self, folder: &Path, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let text = toml::to_string(self).map_err(io::Error::other)?;
        // Such a file is its user's alone from the first byte.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|raw| !raw.is_empty())
}

/// An address with a scheme and a host, and nothing after its path.
pub fn checked_url(raw: &str) -> Result<String, LoginError> {
    let wrong = || LoginError::Url(raw.to_owned());
    let trimmed = raw.trim_end_matches('/');
    let uri: Uri = trimmed.parse().map_err(|_| wrong())?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    let host = uri
        .authority()
        .is_some_and(|host| !host.as_str().contains('@'));
    if plain && host {
        Ok(trimmed.to_owned())
    } else {
        Err(wrong())
    }
}

/// A token without what a copy may have put around it.
pub fn checked_token(raw: &str) -> Result<String, LoginError> {
    let token = raw.trim();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !token.is_empty() && token.bytes().all(fits) {
        Ok(token.to_owned())
    } else {
        Err(LoginError::Token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_and_a_host() {
        assert_eq!(
            checked_url("http://a:1/").ok().as_deref(),
            Some("http://a:1")
        );
        assert_eq!(
            checked_url("https://a/b/").ok().as_deref(),
            Some("https://a/b")
        );
        for wrong in [
            "",
            "a:1",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a?b",
            "a b",
        ] {
            assert!(checked_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_cannot_carry_another_header() {
        assert_eq!(checked_token(" srt_a-b\n").ok().as_deref(), Some("srt_a-b"));
        for wrong in ["", "a b", "a\r\nX: y", "a\nb"] {
            assert!(checked_token(wrong).is_err(), "{wrong:?}");
        }
    }
}
