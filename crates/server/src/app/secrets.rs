//! Users' secrets: set, listed by name, and unsealed for a stage of a run.
//!
//! A secret goes in and never comes back out over any door. It is sealed with
//! a key that lies beside the database and not in it, for its owner and its
//! name alone, so a row that is moved to another opens for nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use strongroom_core::{
    name::Name,
    secret::{SecretName, VALUE_LEN_MAX},
};

use super::{Actor, App, AppError, clock::random, show};
use crate::api;

/// The file in a station's home with the key.
pub const KEY_FILE_NAME: &str = "secrets.key";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Why there is no key, or a secret does not open.
#[derive(Debug, thiserror::Error)]
pub enum SafeError {
    #[error("could not read or make {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} may be read by others; `chmod 600` it", .path.display())]
    Open { path: PathBuf },
    #[error("{} holds no key", .path.display())]
    NoKey { path: PathBuf },
    #[error("the secret was sealed with another key, or changed since")]
    Sealed,
}

/// The key, read or made when it is first needed.
#[derive(Default)]
pub struct Safe {
    cipher: OnceLock<XChaCha20Poly1305>,
}

impl Safe {
    fn cipher(&self, home: &Path) -> Result<&XChaCha20Poly1305, SafeError> {
        if let Some(cipher) = self.cipher.get() {
            return Ok(cipher);
        }
        let key = key(&home.join(KEY_FILE_NAME))?;
        Ok(self
            .cipher
            .get_or_init(|| XChaCha20Poly1305::new(&key.into())))
    }

    fn seal(&self, home: &Path, whose: &str, value: &str) -> Result<String, SafeError> {
        let nonce = random::<NONCE_BYTES>();
        let sealed = self.cipher(home)?.encrypt(
            &XNonce::from(nonce),
            Payload {
                msg: value.as_bytes(),
                aad: whose.as_bytes(),
            },
        );
        let sealed = sealed.map_err(|_| SafeError::Sealed)?;
        Ok(BASE64.encode([&nonce[..], &sealed].concat()))
    }

    fn unseal(&self, home: &Path, whose: &str, sealed: &str) -> Result<String, SafeError> {
        let bytes = BASE64.decode(sealed).map_err(|_| SafeError::Sealed)?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SafeError::Sealed)?;
        let value = self.cipher(home)?.decrypt(
            &XNonce::from(*nonce),
            Payload {
                msg: sealed,
                aad: whose.as_bytes(),
            },
        );
        let value = value.map_err(|_| SafeError::Sealed)?;
        String::from_utf8(value).map_err(|_| SafeError::Sealed)
    }
}

/// The key in the file, which is made if it is not there.
fn key(path: &Path) -> Result<[u8; KEY_BYTES], SafeError> {
    let failed = |source| SafeError::File {
        path: path.to_owned(),
        source,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(SafeError::Open {
            path: path.to_owned(),
        });
    }
    let bytes = BASE64.decode(text.trim()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| SafeError::NoKey {
            path: path.to_owned(),
        })
}

/// Draws a key; whoever drew one at the same time may have been first.
fn make(path: &Path) -> io::Result<String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".key-")
        .tempfile_in(folder)?;
    writeln!(file, "{}", BASE64.encode(random::<KEY_BYTES>()))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => File::open(folder)?.sync_all()?,
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.error),
    }
    fs::read_to_string(path)
}

/// What a secret is sealed for.
fn whose(owner: &Name, name: &SecretName) -> String {
    format!("{owner}/{name}")
}

impl App {
    /// Sets one of the user's secrets.
    pub async fn secret_set(
        &self,
        actor: &Actor,
        name: &SecretName,
        new: api::NewSecret,
    ) -> Result<api::Secret, AppError> {
        let len = new.value.len();
        if len == 0 || VALUE_LEN_MAX < len {
            return Err(AppError::Invalid {
                code: "bad_secret",
                detail: format!("a secret has 1 to {VALUE_LEN_MAX} bytes, not {len}"),
            });
        }
        let whose = whose(&actor.user, name);
        let sealed = self.safe.seal(&self.config.home, &whose, &new.value);
        let sealed = sealed.map_err(AppError::internal("seal a secret"))?;
        let now_ms = self.now_ms();
        self.store
            .secret_put(&actor.user, name, &sealed, now_ms)
            .await?;
        Ok(api::Secret {
            name: name.clone(),
            at_ms: now_ms,
        })
    }

    /// The names of the user's secrets.
    pub async fn secret_list(&self, actor: &Actor) -> Result<api::Page<api::Secret>, AppError> {
        let rows = self.store.secret_list(&actor.user).await?;
        let items = rows.into_iter().map(|row| api::Secret {
            name: row.name,
            at_ms: row.at_ms,
        });
        Ok(api::Page {
            items: items.collect(),
            next: None,
        })
    }

    /// Removes one of the user's secrets.
    pub async fn secret_remove(&self, actor: &Actor, name: &SecretName) -> Result<(), AppError> {
        let removed = self.store.secret_remove(&actor.user, name, self.now_ms());
        removed
            .await
            .map_err(|error| show::missing(error, "secret"))
    }

    /// The secrets of these names, unsealed; for the worker alone. The first
    /// name that is not there is an error.
    pub(crate) async fn secrets_unsealed(
        &self,
        owner: &Name,
        names: &BTreeSet<SecretName>,
    ) -> Result<BTreeMap<String, String>, UnsealError> {
        let mut found = BTreeMap::new();
        for name in names {
            let sealed = self.store.secret_get(owner, name).await?;
            let sealed = sealed.ok_or_else(|| UnsealError::Missing(name.clone()))?;
            let value = self
                .safe
                .unseal(&self.config.home, &whose(owner, name), &sealed)?;
            found.insert(name.to_string(), value);
        }
        Ok(found)
    }
}

/// Why a stage does not get its secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnsealError {
    #[error("the secret {0} is not there; set it by `strongroom secret set {0}`")]
    Missing(SecretName),
    #[error("could not unseal a secret")]
    Safe(#[from] SafeError),
    #[error("could not look for a secret")]
    Store(#[from] strongroom_store::StoreError),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_owner_and_name_alone() {
        let (home, safe) = (tempfile::tempdir().unwrap(), Safe::default());
        let sealed = safe.seal(home.path(), "lab/key", "s3cr3t").unwrap();
        assert!(!sealed.contains("s3cr3t"));
        assert_eq!(
            safe.unseal(home.path(), "lab/key", &sealed).unwrap(),
            "s3cr3t"
        );
        for other in ["lab/kez", "eve/key", ""] {
            assert!(safe.unseal(home.path(), other, &sealed).is_err(), "{other}");
        }
        let again = safe.seal(home.path(), "lab/key", "s3cr3t").unwrap();
        assert_ne!(sealed, again, "a nonce was used twice");
    }

    #[test]
    fn a_sealed_secret_that_was_changed_does_not_open() {
        let (home, safe) = (tempfile::tempdir().unwrap(), Safe::default());
        let sealed = safe.seal(home.path(), "lab/key", "s3cr3t").unwrap();
        let bytes = BASE64.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = BASE64.encode(changed);
            assert!(
                safe.unseal(home.path(), "lab/key", &changed).is_err(),
                "{at}"
            );
        }
        for raw in ["", "!", "AAAA"] {
            assert!(safe.unseal(home.path(), "lab/key", raw).is_err());
        }
    }

    #[test]
    fn the_key_is_made_once_and_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let sealed = Safe::default().seal(home.path(), "a/b", "value").unwrap();
        let path = home.path().join(KEY_FILE_NAME);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            Safe::default().unseal(home.path(), "a/b", &sealed).unwrap(),
            "value"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let open = Safe::default()
            .unseal(home.path(), "a/b", &sealed)
            .unwrap_err();
        assert!(matches!(open, SafeError::Open { .. }), "{open}");
        fs::remove_file(&path).unwrap();
        let other = Safe::default()
            .unseal(home.path(), "a/b", &sealed)
            .unwrap_err();
        assert!(matches!(other, SafeError::Sealed), "{other}");
        fs::write(&path, "short\n").unwrap();
        let none = Safe::default()
            .seal(home.path(), "a/b", "value")
            .unwrap_err();
        assert!(matches!(none, SafeError::NoKey { .. }), "{none}");
    }
}
