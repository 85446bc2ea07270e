//! Where an image lies in a registry: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.

use std::{fmt, str::FromStr};

use strongroom_core::digest::Digest;

use super::RegistryError;

const LEN_MAX: usize = 255;
const TAG_LEN_MAX: usize = 128;
/// Whose images have no host in their names, and who answers for it.
const DOCKER: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// An image of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryReference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl RegistryReference {
    /// As the files with credentials call the registry.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The tag or the digest by which it is asked for.
    pub(super) fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Where the registry's API begins.
    pub(super) fn base(&self) -> String {
        let scheme = if self.is_here() { "http" } else { "https" };
        let host = match self.host.as_str() {
            host if host == DOCKER.0 => DOCKER.1,
            host => host,
        };
        format!("{scheme}://{host}")
    }

    /// Whether it is a registry of this very machine, which needs no TLS.
    pub(super) fn is_here(&self) -> bool {
        is_here(&self.host)
    }
}

/// Whether `HOST[:PORT]` is this machine.
pub(super) fn is_here(authority: &str) -> bool {
    let host = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((inside, rest)) if rest.is_empty() || rest.starts_with(':') => inside,
        Some(_) => return false,
        None => authority.split(':').next().unwrap_or_default(),
    };
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl FromStr for RegistryReference {
    type Err = RegistryError;

    fn from_str(raw: &str) -> Result<Self, RegistryError> {
        let wrong = |why| RegistryError::Reference {
            raw: raw.to_owned(),
            why,
        };
        if LEN_MAX < raw.len() {
            return Err(wrong("it is longer than 255 bytes"));
        }
        let (rest, digest) = match raw.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (raw, None),
        };
        let digest = digest.map(str::parse).transpose();
        let digest = digest.map_err(|_| wrong("after the `@` stands no digest"))?;
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("its tag is not made of letters, digits and `._-`"));
        }
        let (host, repository) = match path.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
                (host.to_owned(), rest.to_owned())
            }
            Some(_) => (DOCKER.0.to_owned(), path.to_owned()),
            None => (DOCKER.0.to_owned(), format!("library/{path}")),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        let begins = |first: char| first.is_ascii_alphanumeric() || first == '[';
        if !host.bytes().all(plain) || !host.starts_with(begins) {
            return Err(wrong("its host has characters that no host has"));
        }
        if !repository.split('/').all(is_part) {
            return Err(wrong(
                "its repository is not made of lower-case letters, digits and `._-`",
            ));
        }
        Ok(Self {
            host,
            repository,
            tag,
            digest,
        })
    }
}

fn is_tag(tag: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !tag.is_empty()
        && tag.len() <= TAG_LEN_MAX
        && tag.bytes().all(plain)
        && !tag.starts_with(['.', '-'])
}

fn is_part(part: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = part.as_bytes();
    part.bytes().all(plain) && ends(bytes.first()) && ends(bytes.last())
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}
