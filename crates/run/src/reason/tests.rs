//! Every way to end, and which of two counts.
#![allow(clippy::unwrap_used)]

use super::*;

const LIMITS: Limits = Limits::DEFAULT;

fn exit(status: Status) -> Exit {
    Exit {
        status,
        cause: Cause::Own,
        out_of_memory: false,
        processes_refused: false,
        out_full: false,
        tmp_full: false,
        wall_ms: 1,
        cpu_ms: 1,
        memory_peak_bytes: 1,
        exec_failed: None,
    }
}

/// An end at which everything went wrong at once.
fn all_wrong() -> Exit {
    Exit {
        cause: Cause::Timeout,
        out_of_memory: true,
        processes_refused: true,
        out_full: true,
        tmp_full: true,
        ..exit(Status::Exited(1))
    }
}

#[track_caller]
fn ends(stopped: Stopped, exit: &Exit, reason: Reason) {
    assert_eq!(of(&stopped, exit, &LIMITS), reason);
}

#[test]
fn a_guest_that_exits_with_zero_succeeded_and_any_other_failed() {
    ends(
        Stopped::default(),
        &exit(Status::Exited(0)),
        Reason::Succeeded,
    );
    let failed = Reason::Failed {
        exit_code: Some(3),
        signal: None,
    };
    ends(Stopped::default(), &exit(Status::Exited(3)), failed);
    let failed = Reason::Failed {
        exit_code: None,
        signal: Some(11),
    };
    ends(Stopped::default(), &exit(Status::Signaled(11)), failed);
}

#[test]
fn what_the_station_did_comes_before_what_the_jail_saw() {
    let by: Name = "ada".parse().unwrap();
    let cancelled = || Stopped {
        cancelled: Some(by.clone()),
        log_over: true,
        value_over: Some(9),
    };
    ends(
        cancelled(),
        &all_wrong(),
        Reason::Cancelled { by: by.clone() },
    );
    let log = Stopped {
        cancelled: None,
        ..cancelled()
    };
    ends(
        log,
        &all_wrong(),
        Reason::LogLimit {
            limit_bytes: LIMITS.log_bytes,
        },
    );
    let value = Stopped {
        cancelled: None,
        log_over: false,
        ..cancelled()
    };
    ends(
        value,
        &all_wrong(),
        Reason::OutputTooLarge { limit_bytes: 9 },
    );
}

#[test]
fn the_first_of_many_faults_counts() {
    let mut end = all_wrong();
    ends(
        Stopped::default(),
        &end,
        Reason::TimedOut {
            limit_ms: LIMITS.time_ms,
        },
    );
    end.cause = Cause::Own;
    ends(
        Stopped::default(),
        &end,
        Reason::OutOfMemory {
            limit_bytes: LIMITS.memory_bytes,
        },
    );
    end.out_of_memory = false;
    ends(
        Stopped::default(),
        &end,
        Reason::TooManyProcesses {
            limit: LIMITS.processes,
        },
    );
    end.processes_refused = false;
    ends(
        Stopped::default(),
        &end,
        Reason::OutputTooLarge {
            limit_bytes: LIMITS.out_bytes,
        },
    );
    end.out_full = false;
    ends(
        Stopped::default(),
        &end,
        Reason::DiskFull {
            limit_bytes: LIMITS.tmp_bytes,
        },
    );
}

#[test]
fn a_guest_that_coped_with_a_full_disk_succeeded() {
    let end = Exit {
        processes_refused: true,
        out_full: true,
        tmp_full: true,
        ..exit(Status::Exited(0))
    };
    ends(Stopped::default(), &end, Reason::Succeeded);
}

#[test]
fn a_guest_that_was_killed_without_a_wish_of_ours_is_the_stations_fault() {
    for cause in [Cause::Killed, Cause::Lost] {
        let end = Exit {
            cause,
            ..exit(Status::Signaled(9))
        };
        assert!(matches!(
            of(&Stopped::default(), &end, &LIMITS),
            Reason::HostError { .. }
        ));
    }
}

#[test]
fn an_interpreter_that_cannot_start_is_a_refusal() {
    let end = Exit {
        exec_failed: Some("no such file".to_owned()),
        ..exit(Status::Exited(127))
    };
    assert!(matches!(
        of(&Stopped::default(), &end, &LIMITS),
        Reason::Refused { .. }
    ));
}
