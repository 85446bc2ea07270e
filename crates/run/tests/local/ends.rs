//! Every way to end, by its own reason.

use std::time::Instant;

use strongroom_core::{id::RunId, limits::MIB, permit::Permit, run::Reason};
use strongroom_run::PrepareError;
use tokio::sync::{mpsc, oneshot};

use crate::house::{House, PATIENCE, Task, name, run_id};

#[tokio::test]
async fn an_exit_code_and_a_signal_are_told() {
    let house = House::new();
    let outcome = house.run(Task::sh("exit 7")).await;
    assert_eq!(
        *outcome.reason(),
        Reason::Failed {
            exit_code: Some(7),
            signal: None
        }
    );
    let outcome = house.run(Task::sh("kill -TERM $$")).await;
    assert_eq!(
        *outcome.reason(),
        Reason::Failed {
            exit_code: None,
            signal: Some(15)
        }
    );
    let outcome = house.run(Task::python("exit(3)")).await;
    assert_eq!(
        *outcome.reason(),
        Reason::Failed {
            exit_code: Some(3),
            signal: None
        }
    );
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended_with_its_children() {
    let task = Task::sh("sleep 1000 & sleep 1000").limits(|limits| limits.time_ms = 300);
    let began = Instant::now();
    let outcome = House::new().run(task).await;
    assert_eq!(*outcome.reason(), Reason::TimedOut { limit_ms: 300 });
    assert!(began.elapsed() < PATIENCE);
    assert!(300 <= outcome.ended.usage.wall_ms);
}

#[tokio::test]
async fn memory_over_its_bound_is_told_as_such() {
    let task = Task::python("held = [bytearray(1 << 20) for _ in range(1000)]")
        .limits(|limits| limits.memory_bytes = 64 * MIB);
    let outcome = House::new().run(task).await;
    assert_eq!(
        *outcome.reason(),
        Reason::OutOfMemory {
            limit_bytes: 64 * MIB
        }
    );
}

#[tokio::test]
async fn a_fork_bomb_ends_as_too_many_processes() {
    let code = "import os, time\nfor _ in range(1000):\n    if os.fork() == 0: time.sleep(1000)";
    let task = Task::python(code).limits(|limits| limits.processes = 16);
    let outcome = House::new().run(task).await;
    assert_eq!(*outcome.reason(), Reason::TooManyProcesses { limit: 16 });
}

#[tokio::test]
async fn a_full_tmp_and_a_full_out_have_different_names() {
    let house = House::new();
    let fill = |place: &str| {
        Task::sh(&format!("set -e; head -c 8388608 /dev/zero > {place}/x")).limits(|limits| {
            limits.tmp_bytes = MIB;
            limits.out_bytes = MIB;
        })
    };
    let outcome = house.run(fill("/tmp")).await;
    assert_eq!(*outcome.reason(), Reason::DiskFull { limit_bytes: MIB });
    let outcome = house.run(fill("/out")).await;
    assert_eq!(
        *outcome.reason(),
        Reason::OutputTooLarge { limit_bytes: MIB }
    );
}

#[tokio::test]
async fn usage_is_counted_by_the_station() {
    let outcome = House::new()
        .run(Task::python(
            "held = bytearray(50 << 20)\nfor n in range(3000000): pass",
        ))
        .await
        .succeeded();
    let usage = outcome.ended.usage;
    assert!(
        50 * MIB < usage.memory_peak_bytes && usage.memory_peak_bytes < 256 * MIB,
        "{usage:?}"
    );
    assert!(10 < usage.cpu_ms && 0 < usage.wall_ms, "{usage:?}");
}

#[tokio::test]
async fn a_cancel_before_the_start_means_that_nothing_ran() {
    let house = House::new();
    let prepared = house.prepare(&Task::sh("echo ran")).await.unwrap();
    let (sender, mut lines) = mpsc::channel(10);
    let (cancel, cancelled) = oneshot::channel();
    cancel.send(name("ada")).unwrap();
    let ended = prepared.run(sender, cancelled).await;
    assert_eq!(ended.reason, Reason::Cancelled { by: name("ada") });
    assert_eq!(lines.recv().await, None);
    house.until_empty(2).await;
}

#[tokio::test]
async fn a_run_that_nobody_can_cancel_any_more_runs_on() {
    let house = House::new();
    let prepared = house
        .prepare(&Task::sh("sleep 0.1; echo ran"))
        .await
        .unwrap();
    let (sender, mut lines) = mpsc::channel(10);
    let (cancel, cancelled) = oneshot::channel();
    drop(cancel);
    assert_eq!(
        prepared.run(sender, cancelled).await.reason,
        Reason::Succeeded
    );
    assert_eq!(lines.recv().await.unwrap().text, "ran");
}

#[tokio::test]
async fn a_dropped_guest_is_killed_and_its_place_is_free_again() {
    let house = House::with_slots(1);
    drop(house.prepare(&Task::sh("echo never")).await.unwrap());
    let prepared = house
        .prepare(&Task::sh("echo began; sleep 1000"))
        .await
        .unwrap();
    let (sender, mut lines) = mpsc::channel(10);
    let (_keep, cancelled) = oneshot::channel();
    let run = tokio::spawn(prepared.run(sender, cancelled));
    assert_eq!(lines.recv().await.unwrap().text, "began");
    run.abort();
    house.until_empty(1).await;
    house.run(Task::sh("echo after")).await.succeeded();
}

#[tokio::test]
async fn a_permit_for_another_plan_opens_nothing() {
    let house = House::new();
    let (one, other) = (
        house.job(&Task::sh("echo one")),
        house.job(&Task::sh("echo other")),
    );
    let refused = house
        .local
        .prepare(Permit::trial(run_id(), &one.plan), other)
        .await;
    assert!(matches!(refused, Err(PrepareError::NotPermitted)));
}

#[tokio::test]
async fn inputs_in_other_places_than_the_plan_says_open_nothing() {
    let house = House::new();
    let mut job = house.job(&Task::sh("echo one"));
    job.inputs = strongroom_core::plan::Inputs::Only("/etc".into());
    let refused = house
        .local
        .prepare(Permit::trial(run_id(), &job.plan), job)
        .await;
    assert!(matches!(refused, Err(PrepareError::Inputs)));
}

#[tokio::test]
async fn another_runtime_than_the_plans_opens_nothing() {
    let house = House::new();
    let mut job = house.job(&Task::sh("echo one"));
    job.plan.runtime.digest = strongroom_core::digest::Digest::of(b"an older shell");
    let refused = house
        .local
        .prepare(Permit::trial(run_id(), &job.plan), job)
        .await;
    assert!(matches!(refused, Err(PrepareError::RuntimeChanged)));
}

#[tokio::test]
async fn the_run_is_told_apart_by_the_permit() {
    let house = House::new();
    let job = house.job(&Task::sh("echo $STRONGROOM_RUN_ID"));
    let run = RunId::new(7, [7; 10]);
    let prepared = house
        .local
        .prepare(Permit::trial(run.clone(), &job.plan), job)
        .await
        .unwrap();
    assert!(!prepared.enforced().walls.is_empty());
    assert_eq!(prepared.enforced().tier, "full");
    let (sender, mut lines) = mpsc::channel(10);
    let (_keep, cancelled) = oneshot::channel();
    prepared.run(sender, cancelled).await;
    assert_eq!(lines.recv().await.unwrap().text, run.to_string());
}
