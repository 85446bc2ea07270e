//! The container's own control group, as it is seen from inside: its bounds
//! and what was used.
//!
//! Both versions are read; what is not there is `None`, and whoever needs it
//! refuses then.

use std::fs;
use std::path::Path;

/// Files of one control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    V1,
    V2,
}

const V2_ROOT: &str = "/sys/fs/cgroup/cgroup.controllers";

impl Group {
    pub(super) fn here() -> Self {
        match Path::new(V2_ROOT).exists() {
            true => Self::V2,
            false => Self::V1,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    pub(super) fn memory_bytes_max(self) -> Option<u64> {
        self.number("memory/memory.limit_in_bytes", "memory.max")
    }

    pub(super) fn processes_max(self) -> Option<u64> {
        self.number("pids/pids.max", "pids.max")
    }

    /// Thousandths of a processor.
    pub(super) fn cpu_milli_max(self) -> Option<u64> {
        let (quota, period) = match self {
            Self::V1 => (
                read("cpu/cpu.cfs_quota_us")?.parse().ok()?,
                read("cpu/cpu.cfs_period_us")?.parse().ok()?,
            ),
            Self::V2 => {
                let line = read("cpu.max")?;
                let (quota, period) = line.split_once(' ')?;
                (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?)
            }
        };
        (quota * 1000).checked_div(period)
    }

    pub(super) fn memory_peak_bytes(self) -> u64 {
        self.number("memory/memory.max_usage_in_bytes", "memory.peak")
            .or_else(|| self.number("memory/memory.usage_in_bytes", "memory.current"))
            .unwrap_or(0)
    }

    pub(super) fn cpu_ms(self) -> u64 {
        let used = match self {
            Self::V1 => self
                .number("cpuacct/cpuacct.usage", "")
                .map(|ns| ns / 1_000_000),
            Self::V2 => keyed("cpu.stat", "usage_usec").map(|us| us / 1000),
        };
        used.unwrap_or(0)
    }

    /// The kernel ended a process because of the bound on memory.
    pub(super) fn out_of_memory(self) -> bool {
        let killed = match self {
            Self::V1 => keyed("memory/memory.oom_control", "oom_kill"),
            Self::V2 => keyed("memory.events", "oom_kill"),
        };
        killed.is_some_and(|count| 0 < count)
    }

    /// A process was refused because of the bound on processes.
    pub(super) fn processes_refused(self) -> bool {
        let refused = match self {
            Self::V1 => keyed("pids/pids.events", "max"),
            Self::V2 => keyed("pids.events", "max"),
        };
        refused.is_some_and(|count| 0 < count)
    }

    fn number(self, v1: &str, v2: &str) -> Option<u64> {
        let name = match self {
            Self::V1 => v1,
            Self::V2 => v2,
        };
        read(name)?.parse().ok()
    }
}

fn read(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// The number after `key` in a file of lines.
fn keyed(name: &str, key: &str) -> Option<u64> {
    let text = read(name)?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = pairs.find(|(found, _)| *found == key)?;
    value.trim().parse().ok()
}
