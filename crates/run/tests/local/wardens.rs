//! The warden's death, and what many runs leave behind: nothing.

use std::fs;

use strongroom_core::run::Reason;
use tokio::sync::{mpsc, oneshot};

use crate::house::{House, Task, until};

/// The processes below this one, by their parent's id.
pub fn children() -> Vec<i32> {
    let this = std::process::id().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat
                .rsplit_once(") ")
                .map(|(_, rest)| rest.to_owned())
                .unwrap_or_default();
            after_name.split(' ').nth(1) == Some(this.as_str()) && !after_name.starts_with('Z')
        })
        .collect()
}

pub fn kill_warden() {
    let wardens = children();
    assert!(!wardens.is_empty(), "there is no warden");
    for pid in wardens {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn a_killed_warden_ends_its_runs_as_the_stations_fault_and_the_next_run_works() {
    let house = House::new();
    for _ in 0..3 {
        let prepared = house
            .prepare(&Task::sh("echo began; sleep 1000"))
            .await
            .unwrap();
        let (sender, mut lines) = mpsc::channel(10);
        let (_keep, cancelled) = oneshot::channel();
        let run = tokio::spawn(prepared.run(sender, cancelled));
        assert_eq!(lines.recv().await.unwrap().text, "began");
        kill_warden();
        let ended = run.await.unwrap();
        assert!(
            matches!(ended.reason, Reason::HostError { .. }),
            "{ended:?}"
        );
        house.until_empty(2).await;
        house.run(Task::sh("echo again")).await.succeeded();
    }
}

#[tokio::test]
async fn a_guest_that_was_prepared_when_the_warden_died_never_runs() {
    let house = House::new();
    let prepared = house.prepare(&Task::sh("echo never")).await.unwrap();
    kill_warden();
    house.until_empty(2).await;
    let (sender, mut lines) = mpsc::channel(10);
    let (_keep, cancelled) = oneshot::channel();
    let ended = prepared.run(sender, cancelled).await;
    assert!(
        matches!(ended.reason, Reason::HostError { .. }),
        "{ended:?}"
    );
    assert_eq!(lines.recv().await, None);
}

#[tokio::test]
async fn dropping_the_backend_ends_its_guests_and_its_warden() {
    let house = House::new();
    let prepared = house.prepare(&Task::sh("sleep 1000")).await.unwrap();
    let (sender, _lines) = mpsc::channel(10);
    let (_keep, cancelled) = oneshot::channel();
    let run = tokio::spawn(prepared.run(sender, cancelled));
    drop(house);
    let ended = run.await.unwrap();
    assert!(
        matches!(ended.reason, Reason::HostError { .. }),
        "{ended:?}"
    );
    until("the warden is gone", || children().is_empty()).await;
}

#[test]
fn a_backend_can_be_started_before_its_runtime_and_used_by_another_one_later() {
    let house = House::new();
    for _ in 0..2 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime
            .block_on(house.run(Task::sh("echo once")))
            .succeeded();
    }
}

#[tokio::test]
async fn more_runs_than_places_all_end_well() {
    let house = House::with_slots(2);
    let runs = (0..6).map(|n| {
        let house = &house;
        async move {
            house
                .run(Task::sh(&format!("echo {n}")))
                .await
                .succeeded()
                .stdout()
        }
    });
    let mut runs: Vec<_> = runs.map(Box::pin).collect();
    let (a, b, c, d) = {
        let mut next = || runs.pop().unwrap();
        tokio::join!(next(), next(), next(), next())
    };
    assert_eq!([a, b, c, d], ["5", "4", "3", "2"]);
}

#[tokio::test]
async fn fifty_runs_leave_no_descriptor_and_no_process_behind() {
    let house = House::new();
    house.run(Task::sh("echo warm")).await.succeeded();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, processes) = (descriptors(), children().len());
    for n in 0..50 {
        let task = match n % 4 {
            0 => Task::python("def transform(data, ctx): return 1"),
            1 => Task::sh("exit 1"),
            2 => Task::sh("while :; do echo flood; done").limits(|limits| limits.log_bytes = 100),
            _ => Task::sh("sleep 1000 & echo x > /out/x"),
        };
        house.run(task).await;
    }
    house.until_empty(2).await;
    assert_eq!(descriptors(), before);
    assert_eq!(children().len(), processes);
}
