//! What a container says was used, as far as it can be true.

use std::time::Duration;

use strongroom_core::limits::Limits;
use strongroom_jail::Exit;

/// The numbers of an end, as far as they can be true.
pub(super) fn believed(exit: Exit, limits: &Limits, elapsed: Duration) -> Exit {
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    // Its first process begins earlier than its guest and runs on one processor.
    let processors = u64::from(limits.cpu_milli / 1000) + 2;
    let cpu_ms_max = elapsed_ms.saturating_add(1000).saturating_mul(processors);
    Exit {
        wall_ms: exit.wall_ms.min(elapsed_ms.saturating_add(1)),
        cpu_ms: exit.cpu_ms.min(cpu_ms_max),
        memory_peak_bytes: exit.memory_peak_bytes.min(limits.memory_bytes),
        ..exit
    }
}

#[cfg(test)]
mod tests {
    use strongroom_jail::{Cause, Status};

    use super::*;

    #[test]
    fn no_more_is_believed_to_have_been_used_than_can_have_been() {
        let told = Exit {
            status: Status::Exited(0),
            cause: Cause::Own,
            out_of_memory: false,
            processes_refused: false,
            out_full: false,
            tmp_full: false,
            exec_failed: None,
            wall_ms: u64::MAX,
            cpu_ms: u64::MAX,
            memory_peak_bytes: u64::MAX,
        };
        let exit = believed(told, &Limits::DEFAULT, Duration::from_secs(2));
        assert!(exit.wall_ms < 3000 && exit.cpu_ms < 10_000, "{exit:?}");
        assert_eq!(exit.memory_peak_bytes, Limits::DEFAULT.memory_bytes);
    }
}
