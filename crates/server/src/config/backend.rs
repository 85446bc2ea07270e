//! Where runs happen, as an operator names it.
//!
//! One word, and what the place needs to be found. There is no third choice
//! that means "whichever works".

use std::path::PathBuf;

use serde::Deserialize;

/// Where runs happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// In the jail of this host.
    #[default]
    Local,
    /// In containers of a Docker Engine.
    Docker,
}

impl BackendKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Docker => "docker",
        }
    }
}

/// A word that names no backend.
#[derive(Debug, thiserror::Error)]
#[error("there is no backend `{}`; there are `local` and `docker`", strongroom_core::text::shown(.0, 40))]
pub struct UnknownBackend(String);

impl std::str::FromStr for BackendKind {
    type Err = UnknownBackend;

    fn from_str(raw: &str) -> Result<Self, UnknownBackend> {
        let all = [Self::Local, Self::Docker];
        let found = all.into_iter().find(|kind| kind.as_str() == raw);
        found.ok_or_else(|| UnknownBackend(raw.to_owned()))
    }
}

/// The engine of the backend `docker`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Where it listens, as `unix:///PATH` or `tcp://HOST:PORT`; absent: what
    /// DOCKER_HOST says, or else the usual place.
    pub host: Option<String>,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`; absent: where
    /// DOCKER_TLS_VERIFY is set, what DOCKER_CERT_PATH says, or else `~/.docker`.
    pub certificates: Option<PathBuf>,
    /// Its socket is here, and this host's files are not where it is.
    #[serde(default)]
    pub elsewhere: bool,
}

impl EngineConfig {
    /// Where the certificates lie, if it is spoken to over TLS.
    pub fn certificates(&self) -> Option<PathBuf> {
        let said = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let usual = || {
            said("DOCKER_TLS_VERIFY")?;
            let folder = said("DOCKER_CERT_PATH").map(PathBuf::from);
            folder.or_else(|| Some(PathBuf::from(said("HOME")?).join(".docker")))
        };
        self.certificates.clone().or_else(usual)
    }

    /// Where the engine listens.
    pub fn host(&self) -> String {
        let said = || std::env::var("DOCKER_HOST").ok();
        let host = self.host.clone().or_else(said);
        host.filter(|host| !host.is_empty())
            .unwrap_or_else(|| strongroom_run::docker::HOST.to_owned())
    }
}
