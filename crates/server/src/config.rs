//! What an operator decides: where the station listens and what it grants.
//!
//! Read once at start from `<home>/config.toml`. An unknown key is an error,
//! since a misspelt bound would be no bound. What the command line says comes
//! on top, by setting the fields.

mod backend;
mod index;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde::Deserialize;
use strongroom_core::limits::{Amount, Limits, LimitsAsked, LimitsError, MIB};
use strongroom_run::Tier;
use strongroom_store::Database;

pub use backend::{BackendKind, EngineConfig, UnknownBackend};

use crate::{
    dependencies::IndexConfig,
    gateway::{GatewayConfig, Opened},
};
use index::WrittenIndex;

/// The name of the file in a station's home.
pub const FILE_NAME: &str = "config.toml";

/// Guests that wait ahead of their runs, unless the operator says otherwise.
const POOL: u32 = 8;
/// Interpreters to copy, unless the operator says otherwise.
const ZYGOTES: u32 = 4;
/// The most that an operator can have.
const POOL_MAX: u32 = 1024;

/// Connections served at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1024;

/// Everything that an operator decides, complete.
#[derive(Debug, Clone)]
pub struct Config {
    pub home: PathBuf,
    pub listen: SocketAddr,
    pub database: Database,
    /// What any run is granted at most.
    pub limits_max: Limits,
    pub script: ScriptConfig,
    /// Runs executing at once; 0 serves without executing anything.
    pub workers: u32,
    /// How long a request waits for its owners before it expires.
    pub request_ttl_ms: i64,
    pub body: BodyLimits,
    /// Where runs happen.
    pub backend: BackendKind,
    pub engine: EngineConfig,
    pub jail: JailConfig,
    pub gateway: GatewayConfig,
    pub index: IndexConfig,
}

/// The script API's own bounds.
#[derive(Debug, Clone)]
pub struct ScriptConfig {
    pub upload_bytes_max: u64,
    pub limits: Limits,
    /// How long a blocking call blocks, queueing included.
    pub wait_ms_max: u64,
}

/// What a client may send, and how slowly.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    pub json_bytes_max: u64,
    /// For the list of a dataset's files.
    pub dataset_json_bytes_max: u64,
    /// For a function's files in JSON.
    pub function_json_bytes_max: u64,
    /// For a function's files, unpacked.
    pub function_bytes_max: u64,
    /// For one file of a dataset.
    pub blob_bytes_max: u64,
    /// The longest silence inside a body, and the longest wait for a reader.
    pub idle_ms_max: u64,
    /// The longest time that headers take.
    pub header_ms_max: u64,
    /// The longest time that a body takes which is read as a whole.
    pub whole_ms_max: u64,
}

/// Where the jail finds what it needs of the host.
#[derive(Debug, Clone, Default)]
pub struct JailConfig {
    /// What has to stand around guests; there is no other way to choose.
    pub tier: Tier,
    /// Where the private folders of the tier `reduced` lie; absent: `/tmp`.
    pub folder: Option<PathBuf>,
    /// What is re-executed as the warden; absent: this program.
    pub program: Option<PathBuf>,
    /// The first of the host's user ids that guests run as.
    pub uid_base: Option<u32>,
    /// Control groups that the station may write, where it does not own one.
    pub cgroup_dirs: Vec<PathBuf>,
    /// Guests that may wait ahead of their runs; 0 makes each when it is needed.
    pub pool: u32,
    /// Interpreters that are loaded once and copied for the runs of one caller;
    /// 0 makes none.
    pub zygotes: u32,
}

impl Config {
    /// The defaults for a station in `home`.
    pub fn new(home: PathBuf) -> Self {
        Self {
            home,
            listen: SocketAddr::from(([127, 0, 0, 1], 7878)),
            database: Database::Sqlite,
            limits_max: Limits::MAX,
            script: ScriptConfig::default(),
            workers: std::thread::available_parallelism().map_or(2, |n| n.get() as u32),
            request_ttl_ms: 30 * 24 * 3600 * 1000,
            body: BodyLimits::default(),
            backend: BackendKind::default(),
            engine: EngineConfig::default(),
            jail: JailConfig {
                pool: POOL,
                zygotes: ZYGOTES,
                ..JailConfig::default()
            },
            gateway: GatewayConfig::default(),
            index: IndexConfig::default(),
        }
    }

    /// The defaults with `file` over them, or `<home>/config.toml` if there is one.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the file and the line; the operator is at fault.
    pub fn load(home: PathBuf, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let named = file.is_some();
        let path = file.unwrap_or_else(|| home.join(FILE_NAME));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        let written: Written = toml::from_str(&text).map_err(|error| ConfigError::Toml {
            path: path.clone(),
            message: error.to_string(),
        })?;
        written
            .over(Self::new(home))
            .map_err(|source| ConfigError::Limits { path, source })
    }
}

impl Default for ScriptConfig {
    fn default() -> Self {
        let limits = Limits {
            memory_bytes: 60 * MIB,
            time_ms: 20_000,
            ..Limits::DEFAULT
        };
        Self {
            upload_bytes_max: 16 * MIB,
            limits,
            wait_ms_max: 300_000,
        }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            json_bytes_max: 2 * MIB,
            dataset_json_bytes_max: 32 * MIB,
            function_json_bytes_max: 24 * MIB,
            function_bytes_max: 16 * MIB,
            blob_bytes_max: u64::MAX,
            idle_ms_max: 30_000,
            header_ms_max: 15_000,
            whole_ms_max: 120_000,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("could not read {}", .path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {message}", .path.display())]
    Toml { path: PathBuf, message: String },
    #[error("{}", .path.display())]
    Limits { path: PathBuf, source: LimitsError },
}

/// The file as written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Written {
    listen: Option<SocketAddr>,
    /// `sqlite`, or a `postgres://` address.
    database: Option<String>,
    workers: Option<u32>,
    request_ttl: Option<Amount>,
    #[serde(default)]
    limits_max: LimitsAsked,
    #[serde(default)]
    script: WrittenScript,
    #[serde(default)]
    backend: BackendKind,
    #[serde(default)]
    docker: EngineConfig,
    #[serde(default)]
    jail: WrittenJail,
    #[serde(default)]
    gateway: WrittenGateway,
    #[serde(default)]
    index: WrittenIndex,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WrittenScript {
    upload: Option<Amount>,
    wait: Option<Amount>,
    #[serde(default)]
    limits: LimitsAsked,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WrittenJail {
    #[serde(default)]
    tier: Tier,
    folder: Option<PathBuf>,
    uid_base: Option<u32>,
    #[serde(default)]
    cgroup_dirs: Vec<PathBuf>,
    pool: Option<u32>,
    zygotes: Option<u32>,
}

/// What stages that download may reach, and how much of it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WrittenGateway {
    #[serde(default, deserialize_with = "opened")]
    allow_private: Vec<Opened>,
    #[serde(default)]
    refuse: Vec<IpAddr>,
    trust: Option<PathBuf>,
    requests: Option<u32>,
    answer: Option<Amount>,
    received: Option<Amount>,
    sent: Option<Amount>,
}

fn opened<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Opened>, D::Error> {
    let raw = Vec::<String>::deserialize(from)?;
    let wrong = |raw: &str| serde::de::Error::custom(format!("`{raw}` is no ADDRESS[:PORT]"));
    raw.iter()
        .map(|raw| raw.parse().map_err(|_| wrong(raw)))
        .collect()
}

impl WrittenGateway {
    fn over(self, mut config: GatewayConfig) -> Result<GatewayConfig, LimitsError> {
        let bounds = &mut config.bounds;
        bounds.requests_max = self.requests.unwrap_or(bounds.requests_max);
        for (asked, bound) in [
            (&self.answer, &mut bounds.answer_bytes_max),
            (&self.received, &mut bounds.received_bytes_max),
            (&self.sent, &mut bounds.sent_bytes_max),
        ] {
            if let Some(bytes) = asked {
                *bound = size_bytes(bytes)?;
            }
        }
        config.allow_private = self.allow_private;
        config.refuse = self.refuse;
        config.trust = self.trust;
        Ok(config)
    }
}

impl Written {
    fn over(self, mut config: Config) -> Result<Config, LimitsError> {
        config.listen = self.listen.unwrap_or(config.listen);
        if let Some(raw) = self.database {
            config.database = database(&raw);
        }
        config.workers = self.workers.unwrap_or(config.workers);
        if let Some(time) = self.request_ttl {
            config.request_ttl_ms = i64::try_from(time_ms(&time)?).unwrap_or(i64::MAX);
        }
        config.limits_max = self
            .limits_max
            .over(config.limits_max)?
            .checked(Limits::MAX)?;
        config.script.limits = self
            .script
            .limits
            .over(config.script.limits)?
            .checked(config.limits_max)?;
        if let Some(bytes) = self.script.upload {
            config.script.upload_bytes_max = size_bytes(&bytes)?;
        }
        if let Some(time) = self.script.wait {
            config.script.wait_ms_max = time_ms(&time)?;
        }
        config.gateway = self.gateway.over(config.gateway)?;
        config.backend = self.backend;
        config.engine = self.docker;
        config.index = self.index.over(config.index)?;
        config.jail.tier = self.jail.tier;
        config.jail.folder = self.jail.folder;
        config.jail.uid_base = self.jail.uid_base;
        config.jail.cgroup_dirs = self.jail.cgroup_dirs;
        config.jail.pool = self.jail.pool.unwrap_or(config.jail.pool).min(POOL_MAX);
        config.jail.zygotes = self
            .jail
            .zygotes
            .unwrap_or(config.jail.zygotes)
            .min(POOL_MAX);
        Ok(config)
    }
}

/// `sqlite`, or the address of a PostgreSQL database.
pub fn database(raw: &str) -> Database {
    match raw {
        "sqlite" => Database::Sqlite,
        address => Database::Postgres(address.to_owned()),
    }
}

/// Reads a duration as the limit `time` is read, with the same units.
fn time_ms(amount: &Amount) -> Result<u64, LimitsError> {
    let asked = LimitsAsked {
        time: Some(amount.clone()),
        ..LimitsAsked::default()
    };
    Ok(asked.over(Limits::DEFAULT)?.time_ms)
}

/// Reads a size as the limit `memory` is read, with the same units.
fn size_bytes(amount: &Amount) -> Result<u64, LimitsError> {
    let asked = LimitsAsked {
        memory: Some(amount.clone()),
        ..LimitsAsked::default()
    };
    Ok(asked.over(Limits::DEFAULT)?.memory_bytes)
}
