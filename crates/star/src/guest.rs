//! What a run gives its guest: the same for Starlark as for every language.
//!
//! Paths are fixed by the contract with guests; `STRONGROOM_ROOT` stands before
//! them where the sandbox has no root of its own.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{failure::Failure, host::Stage};

/// The longest text of arguments, and of a value of another stage, in bytes.
const JSON_BYTES_MAX: u64 = 64 << 20;

/// One guest.
#[derive(Clone, Debug, Default)]
pub struct Guest {
    /// Before every path; empty where the sandbox has its own root.
    pub root: PathBuf,
    pub stage: Stage,
    pub run_id: String,
    /// The arguments, as one JSON document.
    pub arguments: Vec<u8>,
    /// Absent where the plan gives this stage none.
    pub config: Option<Map<String, Value>>,
    pub secrets: Option<Map<String, Value>>,
    pub limits: Limits,
}

/// The share of the run's memory that values may take, in hundredths: the
/// interpreter, its stack and what is read ahead need some.
const HEAP_SHARE: usize = 80;

/// Limits inside of the sandbox's own; each gives a clearer reason than it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls and turns of loops.
    pub ticks: u64,
    pub heap_bytes: usize,
    /// Calls inside each other.
    pub calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ticks: 20_000_000_000,
            heap_bytes: 4 << 30,
            calls: 1000,
        }
    }
}

impl Limits {
    /// The limits of a run with so much memory; whatever else stands there is
    /// none, and the sandbox's own limit comes first.
    fn within(memory_bytes: &str) -> Self {
        let limits = Self::default();
        let share = memory_bytes
            .parse::<usize>()
            .map(|bytes| bytes / 100 * HEAP_SHARE);
        Self {
            heap_bytes: share
                .unwrap_or(limits.heap_bytes)
                .clamp(1, limits.heap_bytes),
            ..limits
        }
    }
}

impl Guest {
    /// The guest that this process is, by its environment and its stdin.
    ///
    /// # Errors
    ///
    /// When the environment is not what a station sets.
    pub fn of_process() -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let raw = variable("STRONGROOM_STAGE");
        let stage = Stage::parse(&raw)
            .ok_or_else(|| Failure::plain(format!("there is no stage {raw:?}")))?;
        let arguments = bounded(&mut io::stdin().lock());
        let arguments = arguments
            .map_err(|error| Failure::plain(format!("could not read the arguments: {error}")))?;
        Ok(Self {
            root: PathBuf::from(variable("STRONGROOM_ROOT")),
            stage,
            run_id: variable("STRONGROOM_RUN_ID"),
            arguments,
            config: object("STRONGROOM_CONFIG", &variable("STRONGROOM_CONFIG"))?,
            secrets: object("STRONGROOM_SECRETS", &variable("STRONGROOM_SECRETS"))?,
            limits: Limits::within(&variable("STRONGROOM_MEMORY_BYTES")),
        })
    }

    /// A path of the contract, such as `/data`.
    pub fn path(&self, of_contract: &str) -> PathBuf {
        match self.root.as_os_str().is_empty() {
            true => PathBuf::from(of_contract),
            false => self.root.join(of_contract.trim_start_matches('/')),
        }
    }

    /// What an earlier stage returned, as JSON; `None` when none is given.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub fn value_of(&self, stage: Stage) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path("/stage").join(format!("{}.json", stage.name()));
        read_if_there(&path)
    }
}

/// A file's bytes, or `None` when there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let read = File::open(path).and_then(|mut file| bounded(&mut file));
    match read {
        Ok(raw) => Ok(Some(raw)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let shown = path.display();
            Err(Failure::plain(format!("could not read {shown}: {error}")))
        }
    }
}

fn bounded(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    from.take(JSON_BYTES_MAX + 1).read_to_end(&mut raw)?;
    match JSON_BYTES_MAX < raw.len() as u64 {
        true => Err(io::Error::other(format!(
            "more than {JSON_BYTES_MAX} bytes"
        ))),
        false => Ok(raw),
    }
}

fn object(name: &str, raw: &str) -> Result<Option<Map<String, Value>>, Failure> {
    if raw.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_str(raw);
    read.map(Some)
        .map_err(|error| Failure::plain(format!("{name} is no JSON object: {error}")))
}
