//! Promises about news of runs.
#![allow(clippy::unwrap_used)]

use futures::FutureExt as _;

use super::*;

fn run(n: u8) -> RunId {
    RunId::new(1, [n; 10])
}

#[tokio::test]
async fn what_changes_after_listening_began_is_heard_even_when_nobody_waits_yet() {
    let watch = Watch::default();
    let mut ear = watch.listen(&run(1));
    watch.went_on(&run(1));
    ear.news().await;
    assert!(ear.news().now_or_never().is_none());
}

#[tokio::test]
async fn news_of_one_run_does_not_wake_the_listeners_of_another() {
    let watch = Watch::default();
    let mut other = watch.listen(&run(2));
    watch.went_on(&run(1));
    assert!(other.news().now_or_never().is_none());
    watch.all_changed();
    other.news().await;
}

#[test]
fn nothing_is_kept_of_a_run_that_nobody_listens_to() {
    let watch = Watch::default();
    let (first, second) = (watch.listen(&run(1)), watch.listen(&run(1)));
    drop(first);
    assert_eq!(watch.with(|runs| runs.len()), 1);
    drop(second);
    assert_eq!(watch.with(|runs| runs.len()), 0);
}

#[test]
fn one_user_has_a_bounded_number_of_places_to_wait_in_and_another_has_his_own() {
    let watch = Watch::default();
    let (guest, lab): (Name, Name) = ("guest".parse().unwrap(), "lab".parse().unwrap());
    let places: Vec<_> = (0..PLACES_MAX)
        .map(|_| watch.place(&guest).unwrap())
        .collect();
    assert!(watch.place(&guest).is_none());
    assert!(watch.place(&lab).is_some());
    drop(places);
    assert!(watch.taken.lock().unwrap().is_empty());
    assert!(watch.place(&guest).is_some());
}

#[tokio::test]
async fn who_waits_for_the_end_is_not_woken_by_what_only_goes_on() {
    let watch = Watch::default();
    let mut ear = watch.listen(&run(1));
    watch.went_on(&run(1));
    assert!(ear.turn().now_or_never().is_none());
    watch.may_be_over(&run(1));
    ear.turn().await;
    watch.all_changed();
    ear.turn().await;
    assert!(ear.turn().now_or_never().is_none());
}
