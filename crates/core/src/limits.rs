//! The bounds of one run, and how people write them.
//!
//! A run has every bound, always; what nobody named has its default. The
//! bounds are part of the plan that an owner approves.

use serde::{Deserialize, Serialize};

/// The bounds of one run, for the sum of all its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Thousandths of one processor.
    pub cpu_milli: u32,
    /// Memory, with what is written to `/tmp`, `/dev/shm` and an `/out` of up
    /// to 64 MiB, in bytes. A larger one lies on a disk.
    pub memory_bytes: u64,
    /// Wall-clock time from the guest's start, in milliseconds.
    pub time_ms: u64,
    /// Processes and threads alive at once.
    pub processes: u32,
    /// What `/out` holds, in bytes.
    pub out_bytes: u64,
    /// Files and folders in `/out`.
    pub out_files: u32,
    /// What is kept of stdout and stderr together, in bytes.
    pub log_bytes: u64,
    /// What `/tmp` and `/dev/shm` hold together, in bytes.
    pub tmp_bytes: u64,
}

/// 1 MiB.
pub const MIB: u64 = 1 << 20;

impl Limits {
    /// What a plan has when nobody asked for anything else.
    pub const DEFAULT: Self = Self {
        cpu_milli: 1000,
        memory_bytes: 256 * MIB,
        time_ms: 30_000,
        processes: 64,
        out_bytes: 64 * MIB,
        out_files: 1000,
        log_bytes: MIB,
        tmp_bytes: 64 * MIB,
    };

    /// The least that an interpreter starts with; below it a run could only fail.
    pub const MIN: Self = Self {
        cpu_milli: 10,
        memory_bytes: 16 * MIB,
        time_ms: 100,
        processes: 1,
        out_bytes: 4096,
        out_files: 1,
        log_bytes: 1,
        tmp_bytes: 4096,
    };

    /// The most that a station grants unless its operator says otherwise.
    pub const MAX: Self = Self {
        cpu_milli: 64_000,
        memory_bytes: 64 * 1024 * MIB,
        time_ms: 24 * 3600 * 1000,
        processes: 4096,
        out_bytes: 16 * 1024 * MIB,
        out_files: 100_000,
        log_bytes: 64 * MIB,
        tmp_bytes: 16 * 1024 * MIB,
    };

    /// The smaller of each bound.
    pub fn smaller(self, other: Self) -> Self {
        self.pairwise(other, u64::min)
    }

    fn larger(self, other: Self) -> Self {
        self.pairwise(other, u64::max)
    }

    /// Whether no bound is larger than `other`'s.
    pub fn is_within(self, other: Self) -> bool {
        self.smaller(other) == self
    }

    /// Itself, if every bound lies in `MIN..=most`.
    ///
    /// # Errors
    ///
    /// Names the first bound that does not.
    pub fn checked(self, most: Self) -> Result<Self, LimitsError> {
        let low = self.larger(Self::MIN);
        let high = self.smaller(most);
        let rows = self.rows().into_iter().zip(low.rows()).zip(high.rows());
        for ((is, low), high) in rows {
            if is.1 < low.1 {
                return Err(LimitsError::TooSmall {
                    what: is.0,
                    value: is.1,
                    min: low.1,
                });
            }
            if high.1 < is.1 {
                return Err(LimitsError::TooLarge {
                    what: is.0,
                    value: is.1,
                    max: high.1,
                });
            }
        }
        Ok(self)
    }

    /// The bounds by name, each in the unit that its name ends with.
    pub fn rows(&self) -> [(&'static str, u64); 8] {
        [
            ("cpu_milli", u64::from(self.cpu_milli)),
            ("memory_bytes", self.memory_bytes),
            ("time_ms", self.time_ms),
            ("processes", u64::from(self.processes)),
            ("out_bytes", self.out_bytes),
            ("out_files", u64::from(self.out_files)),
            ("log_bytes", self.log_bytes),
            ("tmp_bytes", self.tmp_bytes),
        ]
    }

    fn pairwise(self, other: Self, pick: fn(u64, u64) -> u64) -> Self {
        let narrow = |a: u32, b: u32| {
            u32::try_from(pick(u64::from(a), u64::from(b))).expect("one of two u32 is a u32")
        };
        Self {
            cpu_milli: narrow(self.cpu_milli, other.cpu_milli),
            memory_bytes: pick(self.memory_bytes, other.memory_bytes),
            time_ms: pick(self.time_ms, other.time_ms),
            processes: narrow(self.processes, other.processes),
            out_bytes: pick(self.out_bytes, other.out_bytes),
            out_files: narrow(self.out_files, other.out_files),
            log_bytes: pick(self.log_bytes, other.log_bytes),
            tmp_bytes: pick(self.tmp_bytes, other.tmp_bytes),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Some bounds, as people write them; what is absent stays as it was.
///
/// In `strongroom.toml`: `cpu = 0.5`, `memory = "256 MiB"`, `time = "30s"`,
/// `processes = 64`, `out = "64 MiB"`, `out_files = 1000`, `log = "1 MiB"`,
/// `tmp = "64 MiB"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitsAsked {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_files: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp: Option<Amount>,
}

/// A number of bytes or milliseconds, or a text with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Amount {
    Number(u64),
    Text(String),
}

/// Why bounds cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    #[error("limit {what} is {value}, less than the {min} that a run needs")]
    TooSmall {
        what: &'static str,
        value: u64,
        min: u64,
    },
    #[error("limit {what} is {value}, more than the {max} that is granted here")]
    TooLarge {
        what: &'static str,
        value: u64,
        max: u64,
    },
    #[error("limit {what} is `{}`: {expected}", crate::text::shown(.raw, 40))]
    Unreadable {
        what: &'static str,
        raw: String,
        expected: &'static str,
    },
    #[error("there is no limit `{}`; there are cpu, memory, time, processes, out, out_files, log and tmp", crate::text::shown(.0, 40))]
    Unknown(String),
}

impl LimitsAsked {
    /// These bounds, and `base` where none was asked for.
    pub fn over(&self, base: Limits) -> Result<Limits, LimitsError> {
        let mut limits = base;
        if let Some(cpu) = self.cpu {
            limits.cpu_milli = cpu_milli(cpu)?;
        }
        set_bytes(&mut limits.memory_bytes, "memory", self.memory.as_ref())?;
        set_bytes(&mut limits.out_bytes, "out", self.out.as_ref())?;
        set_bytes(&mut limits.log_bytes, "log", self.log.as_ref())?;
        set_bytes(&mut limits.tmp_bytes, "tmp", self.tmp.as_ref())?;
        if let Some(time) = &self.time {
            limits.time_ms = time.millis("time")?;
        }
        limits.processes = self.processes.unwrap_or(limits.processes);
        limits.out_files = self.out_files.unwrap_or(limits.out_files);
        Ok(limits)
    }

    /// Adds one `key=value` of a command line.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), LimitsError> {
        let amount = || Some(Amount::Text(value.to_owned()));
        let number = |what, expected| {
            value.parse().map_err(|_| LimitsError::Unreadable {
                what,
                raw: value.to_owned(),
                expected,
            })
        };
        match key {
            "cpu" => {
                let raw = || value.to_owned();
                self.cpu = Some(value.parse().map_err(|_| LimitsError::Unreadable {
                    what: "cpu",
                    raw: raw(),
                    expected: CPU,
                })?);
            }
            "memory" => self.memory = amount(),
            "time" => self.time = amount(),
            "processes" => self.processes = Some(number("processes", COUNT)?),
            "out" => self.out = amount(),
            "out_files" => self.out_files = Some(number("out_files", COUNT)?),
            "log" => self.log = amount(),
            "tmp" => self.tmp = amount(),
            unknown => return Err(LimitsError::Unknown(unknown.to_owned())),
        }
        Ok(())
    }
}

const CPU: &str = "a number of processors such as 0.5 is expected";
const COUNT: &str = "a whole number is expected";
const BYTES: &str = "a size such as 64 MiB, 500 kB or 4096 is expected";
const TIME: &str = "a time such as 30s, 500ms, 5m or 1h is expected";

fn cpu_milli(cpu: f64) -> Result<u32, LimitsError> {
    let milli = (cpu * 1000.0).round();
    if (0.0..=1e9).contains(&milli) {
        // The range check above makes the cast exact.
        return Ok(milli as u32);
    }
    Err(LimitsError::Unreadable {
        what: "cpu",
        raw: cpu.to_string(),
        expected: CPU,
    })
}

fn set_bytes(to: &mut u64, what: &'static str, asked: Option<&Amount>) -> Result<(), LimitsError> {
    if let Some(amount) = asked {
        *to = amount.bytes(what)?;
    }
    Ok(())
}

impl Amount {
    fn bytes(&self, what: &'static str) -> Result<u64, LimitsError> {
        let factor = |unit: &str| match unit.to_ascii_lowercase().as_str() {
            "" | "b" => Some(1),
            "k" | "kib" => Some(1 << 10),
            "kb" => Some(1000),
            "m" | "mib" => Some(1 << 20),
            "mb" => Some(1_000_000),
            "g" | "gib" => Some(1 << 30),
            "gb" => Some(1_000_000_000),
            _ => None,
        };
        self.scaled(what, BYTES, factor)
    }

    fn millis(&self, what: &'static str) -> Result<u64, LimitsError> {
        let factor = |unit: &str| match unit {
            "" | "s" => Some(1000),
            "ms" => Some(1),
            "m" | "min" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        match self {
            // A bare number in a manifest counts seconds, as people expect.
            Self::Number(seconds) => seconds.checked_mul(1000).ok_or(LimitsError::Unreadable {
                what,
                raw: seconds.to_string(),
                expected: TIME,
            }),
            Self::Text(_) => self.scaled(what, TIME, factor),
        }
    }

    fn scaled(
        &self,
        what: &'static str,
        expected: &'static str,
        factor: impl Fn(&str) -> Option<u64>,
    ) -> Result<u64, LimitsError> {
        let raw = match self {
            Self::Number(number) => return Ok(*number),
            Self::Text(raw) => raw,
        };
        let wrong = || LimitsError::Unreadable {
            what,
            raw: raw.clone(),
            expected,
        };
        let text = raw.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let factor = factor(text[digits..].trim()).ok_or_else(wrong)?;
        number.checked_mul(factor).ok_or_else(wrong)
    }
}
