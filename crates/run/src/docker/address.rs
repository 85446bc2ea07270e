//! Where an engine is, and how it is reached.
//!
//! Whoever can speak to an engine owns its host, so words that cross a network
//! go over TLS, with a certificate on either side, as docker's own client has
//! them. Without it they go to this very host alone.

use std::{
    fs::File,
    net::IpAddr,
    path::{Path, PathBuf},
};

use bollard::API_DEFAULT_VERSION;

use super::EngineError;

/// The files of a folder of certificates, as docker's own client names them.
const CA: &str = "ca.pem";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// Where an engine is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket of this host.
    Socket(String),
    /// A port of this host, without TLS.
    Plain(String),
    /// A port, with TLS and the certificates of this folder.
    Tls(String, PathBuf),
}

impl Address {
    /// # Errors
    ///
    /// [`EngineError::Host`] for what is no address, [`EngineError::Plain`] for
    /// one that may not be spoken to without TLS.
    pub(super) fn new(host: &str, certificates: Option<&Path>) -> Result<Self, EngineError> {
        let wrong = || EngineError::Host(host.to_owned());
        if let Some(path) = host.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Self::Socket(path.to_owned())),
                false => Err(wrong()),
            };
        }
        let place = host.strip_prefix("tcp://").ok_or_else(wrong)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        let (name, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let strange = |one: char| !one.is_ascii_alphanumeric() && !"-._:[]".contains(one);
        if name.is_empty() || name.contains(strange) || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        match certificates {
            Some(folder) => Ok(Self::Tls(place.to_owned(), folder.to_owned())),
            None if is_this_host(name) => Ok(Self::Plain(place.to_owned())),
            None => Err(EngineError::Plain(host.to_owned())),
        }
    }

    /// Whether it is known that the engine is told of files in vain.
    pub(super) fn is_a_port(&self) -> bool {
        !matches!(self, Self::Socket(_))
    }

    pub(super) fn connect(&self, answer_s_max: u64) -> Result<bollard::Docker, EngineError> {
        let made = match self {
            Self::Socket(path) => {
                bollard::Docker::connect_with_unix(path, answer_s_max, API_DEFAULT_VERSION)
            }
            Self::Plain(place) => {
                bollard::Docker::connect_with_http(place, answer_s_max, API_DEFAULT_VERSION)
            }
            Self::Tls(place, folder) => {
                let [ca, certificate, key] = certificates(folder)?;
                bollard::Docker::connect_with_ssl(
                    place,
                    &key,
                    &certificate,
                    &ca,
                    answer_s_max,
                    API_DEFAULT_VERSION,
                )
            }
        };
        made.map_err(|source| EngineError::Reach {
            host: self.to_string(),
            source,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(to, "unix://{path}"),
            Self::Plain(place) | Self::Tls(place, _) => write!(to, "tcp://{place}"),
        }
    }
}

fn is_this_host(name: &str) -> bool {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address: Result<IpAddr, _> = bare.unwrap_or(name).parse();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The three files, if they can be read.
fn certificates(folder: &Path) -> Result<[PathBuf; 3], EngineError> {
    let paths = [CA, CERTIFICATE, KEY].map(|name| folder.join(name));
    for path in &paths {
        File::open(path).map_err(|source| EngineError::Certificates {
            path: path.clone(),
            source,
        })?;
    }
    Ok(paths)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_on_a_network_is_spoken_to_over_tls_alone() {
        for here in [
            "tcp://127.0.0.1:2375",
            "tcp://localhost:2375/",
            "tcp://[::1]:1",
        ] {
            assert!(
                matches!(Address::new(here, None), Ok(Address::Plain(_))),
                "{here}"
            );
        }
        for there in [
            "tcp://10.0.0.1:2375",
            "tcp://127.0.0.1.example.org:1",
            "tcp://[::2]:1",
        ] {
            assert!(
                matches!(Address::new(there, None), Err(EngineError::Plain(_))),
                "{there}"
            );
            let folder = Path::new("/certificates");
            let tls = Address::new(there, Some(folder)).unwrap();
            assert!(matches!(tls, Address::Tls(..)), "{there}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for raw in [
            "",
            "unix://relative",
            "ssh://host",
            "http://127.0.0.1:1",
            "tcp://127.0.0.1",
            "tcp://:2375",
            "tcp://me:secret@host:1",
            "tcp://host:1/path",
            "tcp://host:99999",
        ] {
            let found = Address::new(raw, None);
            assert!(
                matches!(found, Err(EngineError::Host(_))),
                "{raw}: {found:?}"
            );
        }
    }

    #[test]
    fn a_folder_without_a_certificate_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CA), "").unwrap();
        let address = Address::new("tcp://host:2376", Some(folder.path())).unwrap();
        match address.connect(1).err() {
            Some(EngineError::Certificates { path, .. }) => assert!(path.ends_with(CERTIFICATE)),
            other => panic!("{other:?}"),
        }
    }
}
