//! The gateway: the one way from a stage that downloads to the world.
//!
//! It listens inside the guest's network and dials from the host's. A request
//! in absolute form is read here, checked against the plan, made anew by the
//! gateway itself, TLS included, and its answer passed on; so all of it is
//! seen and noted. Whole connections (`CONNECT`) hide what is asked for, and
//! are had only where the plan allows every method and says so.
//!
//! The rules: what the plan does not name is refused. A name is resolved once,
//! and the address that was checked is the one that is dialled. Every request
//! stands alone: no redirect is followed, no connection is used twice, nothing
//! is cached. Every loop, wait and body here has a bound in [`Bounds`].
//! Deliberately absent: trust in either side, and HTTP of any other version.

mod body;
mod dial;
mod exchange;
mod headers;
mod mask;
mod meter;
mod note;
mod replay;
mod sent;
mod session;
mod target;
mod tunnel;
mod verdict;

use std::{net::IpAddr, sync::Arc, sync::OnceLock, time::Duration};

use tokio::sync::Semaphore;
use tokio_rustls::rustls;

pub use dial::Names;
pub use mask::Mask;
pub use note::Told;
pub use replay::Answers;
pub use session::{Mode, Order, Session};

/// The most requests of one download that are noted, and answered.
pub const REQUESTS_MAX: u32 = 1000;
/// Connections of one guest that are served at once.
const CONNECTIONS_MAX: usize = 16;
/// Names that are looked up at once for all guests; each holds a thread.
const LOOKUPS_MAX: usize = 32;
/// Those of one guest among them, so that its slow names keep nobody waiting.
const LOOKUPS_OF_ONE_MAX: usize = 4;
/// The longest head of a request or an answer, and the most fields in it.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 100;

/// How much and how long; the operator's to set.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub requests_max: u32,
    /// What one answer may come to, as its body.
    pub answer_bytes_max: u64,
    /// What all answers to one guest may come to, with heads and TLS.
    pub received_bytes_max: u64,
    /// The same of what it sends.
    pub sent_bytes_max: u64,
    pub lookup_ms_max: u64,
    /// To connect, and once more for TLS.
    pub connect_ms_max: u64,
    /// From the request to the answer's head.
    pub head_ms_max: u64,
    /// The longest silence inside a body.
    pub idle_ms_max: u64,
    /// One request from its beginning to its end.
    pub whole_ms_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            requests_max: REQUESTS_MAX,
            answer_bytes_max: 1 << 30,
            received_bytes_max: 4 << 30,
            sent_bytes_max: 256 << 20,
            lookup_ms_max: 10_000,
            connect_ms_max: 10_000,
            head_ms_max: 60_000,
            idle_ms_max: 30_000,
            whole_ms_max: 600_000,
        }
    }
}

/// An address that the operator opens though it is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub address: IpAddr,
    /// Any, if absent.
    pub port: Option<u16>,
}

impl std::str::FromStr for Opened {
    type Err = std::net::AddrParseError;

    /// Reads `10.0.0.7`, `10.0.0.7:8080`, `fd00::7` or `[fd00::7]:8080`.
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        match raw.parse::<std::net::SocketAddr>() {
            Ok(found) => Ok(Self {
                address: found.ip(),
                port: Some(found.port()),
            }),
            Err(_) => raw.parse().map(|address| Self {
                address,
                port: None,
            }),
        }
    }
}

/// What the operator says of the gateway.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    pub bounds: Bounds,
    /// Addresses that may be dialled though they are not public.
    pub allow_private: Vec<Opened>,
    /// Addresses that may not be dialled though they are public: those by
    /// which others know this host, where it does not know itself by them.
    pub refuse: Vec<IpAddr>,
    /// Certificates in PEM that are trusted besides those that browsers trust.
    pub trust: Option<std::path::PathBuf>,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("could not read the certificates in {}", .path.display())]
    Trust {
        path: std::path::PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("a certificate in {} cannot be trusted", .path.display())]
    Root {
        path: std::path::PathBuf,
        source: rustls::Error,
    },
    #[error("could not set up TLS")]
    Tls(#[source] rustls::Error),
}

/// The gateway of one station, which every session shares.
pub struct Gateway {
    config: GatewayConfig,
    tls: Arc<rustls::ClientConfig>,
    lookups: Arc<Semaphore>,
    names: Names,
    /// Where the station itself listens.
    own_port: OnceLock<u16>,
}

impl Gateway {
    /// Reads the certificates. Nothing is dialled before there is a session.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; the operator's file is at fault.
    pub fn new(config: GatewayConfig) -> Result<Self, GatewayError> {
        Self::with_names(config, dial::of_host())
    }

    /// The same with names that are looked up elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Gateway::new`].
    pub fn with_names(config: GatewayConfig, names: Names) -> Result<Self, GatewayError> {
        let tls = dial::tls(config.trust.as_deref())?;
        Ok(Self {
            config,
            tls: Arc::new(tls),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            names,
            own_port: OnceLock::new(),
        })
    }

    /// Says where the station listens, which no guest may reach from outside.
    pub fn keep_from(&self, port: u16) {
        let _ = self.own_port.set(port);
    }

    fn bounds(&self) -> &Bounds {
        &self.config.bounds
    }
}

fn ms(time_ms: u64) -> Duration {
    Duration::from_millis(time_ms)
}
