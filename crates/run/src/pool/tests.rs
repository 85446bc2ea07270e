//! The demand for guests that wait, over time that is an argument.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::time::Instant;

use super::demand::{Demand, IDLE_MS_MAX, Next};

const MAX: usize = 4;

fn later(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

#[test]
fn more_wait_after_runs_that_found_nobody_and_fewer_after_quiet_times() {
    let start = Instant::now();
    let mut demand = Demand::new(start);
    assert_ne!(demand.next(0, start), Next::Make);
    for _ in 0..2 * MAX {
        demand.missed(MAX, start);
    }
    assert_eq!(demand.next(MAX - 1, start), Next::Make);
    assert_ne!(demand.next(MAX, start), Next::Make);
    // Ten seconds in which all were needed, and ten in which one was.
    assert_eq!(demand.kept(MAX, later(start, 10_000)), MAX);
    demand.taken(MAX - 1, later(start, 15_000));
    assert_eq!(demand.kept(MAX, later(start, 19_000)), MAX);
    assert_eq!(demand.kept(MAX, later(start, 20_000)), 2);
    assert_ne!(demand.next(2, later(start, 20_000)), Next::Make);
    assert_eq!(demand.next(1, later(start, 20_000)), Next::Make);
}

#[test]
fn a_shelf_that_nobody_uses_is_cleared() {
    let start = Instant::now();
    let mut demand = Demand::new(start);
    demand.missed(MAX, start);
    let end = later(start, IDLE_MS_MAX);
    assert_eq!(demand.next(1, start), Next::Rest(end));
    assert_eq!(demand.next(1, end), Next::End);
    demand.taken(0, later(start, 1));
    assert_ne!(demand.next(1, end), Next::End);
}

#[test]
fn failures_are_followed_by_longer_and_longer_rests() {
    let start = Instant::now();
    let mut demand = Demand::new(start);
    demand.missed(MAX, start);
    let rests: Vec<u64> = (0..40).map(|_| demand.failed(start)).collect();
    assert_eq!(rests[..4], [100, 200, 400, 800]);
    assert_eq!(rests.iter().max(), rests.last());
    assert_eq!(*rests.last().unwrap(), 60_000);
    assert_eq!(demand.next(0, start), Next::Rest(later(start, 60_000)));
    assert_eq!(demand.next(0, later(start, 60_000)), Next::Make);
    demand.made();
    assert_eq!(demand.failed(start), 100);
}

#[test]
fn a_shelf_without_room_does_not_try_again_before_it_is_used() {
    let start = Instant::now();
    let mut demand = Demand::new(start);
    demand.missed(MAX, start);
    demand.settle_for(0);
    assert_ne!(demand.next(0, start), Next::Make);
    demand.missed(MAX, start);
    assert_eq!(demand.next(0, start), Next::Make);
}
