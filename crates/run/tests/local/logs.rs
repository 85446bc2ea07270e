//! The log: live, bounded, and never in the way of the clock.

use std::time::Instant;

use strongroom_core::run::{Reason, Stream};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::house::{House, PATIENCE, Task, name};

#[tokio::test]
async fn a_line_arrives_while_the_guest_still_runs() {
    let house = House::new();
    let prepared = house
        .prepare(&Task::python(
            "print('first')\nimport time\ntime.sleep(1000)",
        ))
        .await
        .unwrap();
    let (sender, mut lines) = mpsc::channel(10);
    let (cancel, cancelled) = oneshot::channel();
    let run = tokio::spawn(prepared.run(sender, cancelled));
    let line = timeout(PATIENCE, lines.recv()).await.unwrap().unwrap();
    assert_eq!((line.stream, line.text.as_str()), (Stream::Stdout, "first"));
    assert!(!run.is_finished());
    cancel.send(name("ada")).unwrap();
    assert_eq!(
        run.await.unwrap().reason,
        Reason::Cancelled { by: name("ada") }
    );
}

#[tokio::test]
async fn both_streams_come_with_their_names_and_the_last_line_needs_no_end() {
    let outcome = House::new()
        .run(Task::sh("echo out; printf err >&2; printf last"))
        .await
        .succeeded();
    assert_eq!(
        (outcome.stdout().as_str(), outcome.stderr().as_str()),
        ("out\nlast", "err")
    );
}

#[tokio::test]
async fn a_log_over_its_bound_ends_the_run_and_keeps_just_the_bound() {
    let task =
        Task::sh("while :; do echo 0123456789; done").limits(|limits| limits.log_bytes = 1000);
    let outcome = House::new().run(task).await;
    assert_eq!(*outcome.reason(), Reason::LogLimit { limit_bytes: 1000 });
    let kept: usize = outcome.lines.iter().map(|line| line.text.len() + 1).sum();
    // The last line has no end of its own.
    assert_eq!(kept, 1001);
}

#[tokio::test]
async fn a_log_of_just_its_bound_is_no_fault() {
    let task = Task::sh("printf 0123456789").limits(|limits| limits.log_bytes = 10);
    let outcome = House::new().run(task).await.succeeded();
    assert_eq!(outcome.stdout(), "0123456789");
}

#[tokio::test]
async fn what_a_guest_wrote_right_before_its_end_is_not_lost() {
    let code =
        "import os\nos.write(1, b'x' * 60000 + b'\\n')\nos.write(2, b'y' * 60000)\nos._exit(0)";
    let outcome = House::new().run(Task::python(code)).await.succeeded();
    assert_eq!(
        (outcome.stdout().len(), outcome.stderr().len()),
        (60000, 60000)
    );
}

#[tokio::test]
async fn a_reader_that_takes_nothing_stops_neither_the_clock_nor_a_cancel() {
    let house = House::new();
    let flood = Task::sh("while :; do echo flood; done").limits(|limits| limits.time_ms = 500);
    let prepared = house.prepare(&flood).await.unwrap();
    let (sender, mut lines) = mpsc::channel(1);
    let (_keep, cancelled) = oneshot::channel();
    let began = Instant::now();
    let run = tokio::spawn(prepared.run(sender, cancelled));
    // The place becomes free when the guest is dead, though nothing is taken.
    house.until_empty(2).await;
    assert!(began.elapsed() < PATIENCE);
    assert!(!run.is_finished());
    while lines.recv().await.is_some() {}
    assert_eq!(
        run.await.unwrap().reason,
        Reason::TimedOut { limit_ms: 500 }
    );

    let prepared = house
        .prepare(&Task::sh("while :; do echo flood; done"))
        .await
        .unwrap();
    let (sender, mut lines) = mpsc::channel(1);
    let (cancel, cancelled) = oneshot::channel();
    let run = tokio::spawn(prepared.run(sender, cancelled));
    timeout(PATIENCE, lines.recv()).await.unwrap().unwrap();
    cancel.send(name("ada")).unwrap();
    house.until_empty(2).await;
    while lines.recv().await.is_some() {}
    assert_eq!(
        run.await.unwrap().reason,
        Reason::Cancelled { by: name("ada") }
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_are_replaced() {
    let outcome = House::new()
        .run(Task::sh("printf 'a\\377b\\000c\\n'"))
        .await
        .succeeded();
    assert_eq!(outcome.stdout(), "a\u{fffd}bc");
}
