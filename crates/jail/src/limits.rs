//! What one guest may use, as the sum of all its processes.
//!
//! Every field is bounded below (a kernel default lurks at zero) and above.
//! Deliberately absent: rates, and anything that differs between guests of
//! one slot.

use serde::{Deserialize, Serialize};

/// The bounds of one run. All of them hold for the whole process tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time per wall time, in thousandths: 1000 is one processor.
    pub cpu_milli: u32,
    /// Memory of all processes and of the memory-backed directories.
    pub memory_bytes: u64,
    /// From the start of the guest to its end.
    pub wall_ms: u64,
    /// Processes and threads alive at the same time.
    pub processes: u32,
    /// What `/out` holds.
    pub out_bytes: u64,
    /// Files and directories in `/out`.
    pub out_files: u64,
    /// What `/tmp` and `/dev/shm` hold together.
    pub tmp_bytes: u64,
}

/// A limit outside its bounds.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit {name} is {found}; it must lie between {least} and {most}")]
pub struct LimitError {
    pub name: &'static str,
    pub found: u64,
    pub least: u64,
    pub most: u64,
}

const MIB: u64 = 1 << 20;

impl Limits {
    /// What a guest may use while it waits for work, and how long it waits.
    pub const WAITING: Self = Self {
        cpu_milli: 1000,
        memory_bytes: 48 * MIB,
        wall_ms: 3_600_000,
        processes: 8,
        out_bytes: 4096,
        out_files: 1,
        tmp_bytes: 4096,
    };
}

/// The bounds of each limit: name, least, most. Below 10 thousandths of a
/// processor the kernel refuses the quota; below 8 MiB no interpreter starts.
const BOUNDS: [(&str, u64, u64); 7] = [
    ("cpu_milli", 10, 1_000_000),
    ("memory_bytes", 8 * MIB, 1 << 50),
    ("wall_ms", 1, 31 * 24 * 3_600_000),
    ("processes", 1, 100_000),
    ("out_bytes", 4096, 1 << 50),
    ("out_files", 1, 10_000_000),
    ("tmp_bytes", 4096, 1 << 50),
];

impl Limits {
    /// Checks every limit against its bounds and names the first outside.
    pub(crate) fn check(&self) -> Result<(), LimitError> {
        let values = [
            u64::from(self.cpu_milli),
            self.memory_bytes,
            self.wall_ms,
            u64::from(self.processes),
            self.out_bytes,
            self.out_files,
            self.tmp_bytes,
        ];
        for ((name, least, most), found) in BOUNDS.into_iter().zip(values) {
            if found < least || most < found {
                return Err(LimitError {
                    name,
                    found,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }
}
