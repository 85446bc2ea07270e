//! One execution of a plan: its states, and why it ended.
//!
//! ```text
//! waiting -> queued -> starting -> running -> ended(reason)
//!    |          |          |
//!    +----------+----------+--> ended(cancelled | refused | host_error)
//! ```
//!
//! `starting` may fall back to `queued` when the station stopped before the
//! guest began; `running` never does, since a guest runs at most once.

use serde::{Deserialize, Serialize};

use crate::{name::Name, tree::TreePath};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RunState))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// For the owners' answer.
    Waiting,
    /// For a free worker.
    Queued,
    /// A worker is building the sandbox; nothing of the guest has run.
    Starting,
    /// The guest has begun.
    Running,
    /// It is over, and there is a [`Reason`].
    Ended,
}

impl State {
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Ended,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }

    /// Whether a run in this state may come to be in `next`.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Waiting, Self::Queued | Self::Ended)
                | (Self::Queued, Self::Starting | Self::Ended)
                | (Self::Starting, Self::Running | Self::Queued | Self::Ended)
                | (Self::Running, Self::Ended)
        )
    }
}

impl std::str::FromStr for State {
    type Err = UnknownState;

    fn from_str(raw: &str) -> Result<Self, UnknownState> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == raw);
        found.ok_or_else(|| UnknownState(raw.to_owned()))
    }
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no state `{}`", crate::text::shown(.0, 40))]
pub struct UnknownState(pub String);

/// Why a run ended, as data. Its `code` is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    Succeeded,
    /// The guest ended by itself, and not well.
    Failed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    TimedOut {
        limit_ms: u64,
    },
    OutOfMemory {
        limit_bytes: u64,
    },
    TooManyProcesses {
        limit: u32,
    },
    /// `/tmp` was full.
    DiskFull {
        limit_bytes: u64,
    },
    /// `/out` or the returned value was full.
    OutputTooLarge {
        limit_bytes: u64,
    },
    /// Something in `/out` is no regular file, or its name is none a tree may have.
    OutputRefused {
        path: String,
        why: String,
    },
    LogLimit {
        limit_bytes: u64,
    },
    Cancelled {
        by: Name,
    },
    /// Nothing of the guest has run.
    Refused {
        why: String,
    },
    BuildFailed {
        step: String,
    },
    /// The station is at fault, not the guest.
    HostError {
        what: String,
    },
}

impl Reason {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed_out",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::TooManyProcesses { .. } => "too_many_processes",
            Self::DiskFull { .. } => "disk_full",
            Self::OutputTooLarge { .. } => "output_too_large",
            Self::OutputRefused { .. } => "output_refused",
            Self::LogLimit { .. } => "log_limit",
            Self::Cancelled { .. } => "cancelled",
            Self::Refused { .. } => "refused",
            Self::BuildFailed { .. } => "build_failed",
            Self::HostError { .. } => "host_error",
        }
    }

    pub fn is_success(&self) -> bool {
        *self == Self::Succeeded
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code();
        let shown = |raw: &str| crate::text::shown(raw, 500);
        match self {
            Self::Succeeded => f.write_str(code),
            Self::Failed {
                exit_code: Some(exit),
                ..
            } => write!(f, "{code}(exit {exit})"),
            Self::Failed {
                signal: Some(signal),
                ..
            } => write!(f, "{code}(signal {signal})"),
            Self::Failed { .. } => f.write_str(code),
            Self::TimedOut { limit_ms } => write!(f, "{code}({})", millis_shown(*limit_ms)),
            Self::OutOfMemory { limit_bytes }
            | Self::DiskFull { limit_bytes }
            | Self::OutputTooLarge { limit_bytes }
            | Self::LogLimit { limit_bytes } => write!(f, "{code}({})", bytes_shown(*limit_bytes)),
            Self::TooManyProcesses { limit } => write!(f, "{code}({limit})"),
            Self::OutputRefused { path, why } => {
                write!(f, "{code}({}: {})", shown(path), shown(why))
            }
            Self::Cancelled { by } => write!(f, "{code}({by})"),
            Self::Refused { why } => write!(f, "{code}({})", shown(why)),
            Self::BuildFailed { step } => write!(f, "{code}({})", shown(step)),
            Self::HostError { what } => write!(f, "{code}({})", shown(what)),
        }
    }
}

/// A duration for people: `250 ms`, `30 s`, `1.5 s`.
pub fn millis_shown(millis: u64) -> String {
    match millis {
        0..=999 => format!("{millis} ms"),
        _ if millis.is_multiple_of(1000) => format!("{} s", millis / 1000),
        _ => format!("{:.1} s", millis as f64 / 1000.0),
    }
}

/// A size for people: `512 B`, `4 KiB`, `1.5 MiB`.
pub fn bytes_shown(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in units {
        if size <= bytes {
            return match bytes % size {
                0 => format!("{} {unit}", bytes / size),
                _ => format!("{:.1} {unit}", bytes as f64 / size as f64),
            };
        }
    }
    format!("{bytes} B")
}

/// What a run used, counted by the station and never by the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// From the guest's start to the death of its last process.
    pub wall_ms: u64,
    /// User and system time of all processes.
    pub cpu_ms: u64,
    pub memory_peak_bytes: u64,
    /// Files in `/out` and the returned value.
    pub out_bytes: u64,
}

/// One of the guest's voices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    Stdout,
    Stderr,
    /// What it tells of its steps, each line a [`StepEvent`](crate::step::StepEvent).
    Event,
}

impl Stream {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Event => "event",
        }
    }
}

/// One file that a run wrote to `/out`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutputFile {
    pub path: TreePath,
    pub digest: crate::digest::Digest,
    pub size_bytes: u64,
}

/// What was really enforced around a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enforced {
    /// `full`, or the name of a weaker tier.
    pub tier: String,
    pub walls: Vec<String>,
}
