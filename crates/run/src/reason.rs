//! Why a run ended, from what the station saw.
//!
//! What the station did itself (a cancel, a limit it watches) comes before
//! what the jail reports, and that before what the guest says of itself. A
//! full disk or a refused process counts only when the guest then failed:
//! a program that coped with it succeeded. Nothing that the guest wrote is
//! looked at here.

use strongroom_core::{limits::Limits, name::Name, run::Reason};
use strongroom_jail::{Cause, Exit, Status};

/// What made the station end a guest early.
#[derive(Debug, Default)]
pub(crate) struct Stopped {
    pub(crate) cancelled: Option<Name>,
    pub(crate) log_over: bool,
    /// The bound that the returned value went over, in bytes.
    pub(crate) value_over: Option<u64>,
}

/// The reason of a run whose guest is dead.
pub(crate) fn of(stopped: &Stopped, exit: &Exit, limits: &Limits) -> Reason {
    if let Some(by) = &stopped.cancelled {
        return Reason::Cancelled { by: by.clone() };
    }
    if stopped.log_over {
        return Reason::LogLimit {
            limit_bytes: limits.log_bytes,
        };
    }
    if let Some(limit_bytes) = stopped.value_over {
        return Reason::OutputTooLarge { limit_bytes };
    }
    if let Some(what) = &exit.exec_failed {
        return Reason::Refused {
            why: format!("could not start the interpreter: {what}"),
        };
    }
    match exit.cause {
        Cause::Timeout => Reason::TimedOut {
            limit_ms: limits.time_ms,
        },
        _ if exit.out_of_memory => Reason::OutOfMemory {
            limit_bytes: limits.memory_bytes,
        },
        Cause::Killed => Reason::HostError {
            what: "the guest was killed by the station".to_owned(),
        },
        Cause::Lost => Reason::HostError {
            what: "something on the host ended the sandbox".to_owned(),
        },
        Cause::Own => of_own_end(exit, limits),
    }
}

fn of_own_end(exit: &Exit, limits: &Limits) -> Reason {
    let failed = match exit.status {
        Status::Exited(0) => return Reason::Succeeded,
        Status::Exited(code) => Reason::Failed {
            exit_code: Some(code),
            signal: None,
        },
        Status::Signaled(signal) => Reason::Failed {
            exit_code: None,
            signal: Some(signal),
        },
    };
    if exit.processes_refused {
        Reason::TooManyProcesses {
            limit: limits.processes,
        }
    } else if exit.out_full {
        Reason::OutputTooLarge {
            limit_bytes: limits.out_bytes,
        }
    } else if exit.tmp_full {
        Reason::DiskFull {
            limit_bytes: limits.tmp_bytes,
        }
    } else {
        failed
    }
}

#[cfg(test)]
mod tests;
