//! Free places: who gets one, and what is written in the same commit.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;
use strongroom_core::{
    approval::Scope,
    run::{Enforced, Reason, State, Stream},
};
use strongroom_store::{CancelEffect, ClaimedRun, Finish, LogLine, NewRun, StoreError, Submitted};

use crate::fixture::{
    World, approval, dataset, each_store, function, is_conflict, name, new_run, now,
};

async fn submit_and_claim(world: &World, new: NewRun) -> Submitted {
    let submitted = world
        .store
        .run_submit_and_claim(new, "boot", None, now())
        .await;
    submitted.unwrap()
}

async fn finish_and_claim(world: &World, claimed: &ClaimedRun) -> Option<ClaimedRun> {
    let finish = Finish::because(Reason::Succeeded);
    let done = world
        .store
        .run_finish_and_claim(&claimed.run, finish, "boot", now())
        .await;
    done.unwrap().1
}

#[tokio::test]
async fn a_run_takes_a_free_place_as_it_is_submitted_unless_somebody_waits() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let first = submit_and_claim(world, new_run("guest", &mean, &[], json!({}))).await;
        let claimed = first.claimed.unwrap();
        assert_eq!(
            (first.run.state, &claimed.run),
            (State::Starting, &first.run.id)
        );
        assert_eq!(world.run(&first.run).await, first.run);
        assert!(world.claim().await.is_none());
        // Who is not allowed to run takes no place.
        let waiting = submit_and_claim(world, new_run("guest", &mean, &[&data], json!({}))).await;
        assert_eq!(waiting.run.state, State::Waiting);
        assert!(waiting.claimed.is_none());
        // Nor does who comes after others.
        let queued = world.ask(&mean, &[], 1).await;
        let late = submit_and_claim(world, new_run("eve", &mean, &[], json!({}))).await;
        assert_eq!(late.run.state, State::Queued);
        assert!(late.claimed.is_none());
        // The station is killed before the guest begins.
        let recovered = world.store.run_recover(now()).await.unwrap();
        assert_eq!(recovered.requeued, [first.run.id]);
        assert!(recovered.interrupted.is_empty());
        let claims = [
            world.claim().await,
            world.claim().await,
            world.claim().await,
        ];
        let runs: BTreeSet<_> = claims.map(|claim| claim.unwrap().run).into();
        assert_eq!(runs, [claimed.run, queued.id, late.run.id].into());
    })
    .await;
}

#[tokio::test]
async fn where_a_guest_waits_one_commit_takes_the_place_and_says_that_the_run_begins() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let enforced = Enforced {
            tier: "full".to_owned(),
            walls: vec!["seccomp".to_owned()],
        };
        let ask = async |new: NewRun| {
            let begins = Some(enforced.clone());
            let store = &world.store;
            let submitted = store.run_submit_and_claim(new, "boot", begins, now()).await;
            submitted.unwrap()
        };
        // Who is not allowed to run does not begin.
        let waiting = ask(new_run("guest", &mean, &[&data], json!({}))).await;
        assert!(waiting.claimed.is_none());
        assert_eq!(
            (waiting.run.state, waiting.run.started_ms),
            (State::Waiting, None)
        );
        let first = ask(new_run("guest", &mean, &[], json!({}))).await;
        assert!(first.claimed.unwrap().begun);
        assert_eq!(first.run.state, State::Running);
        assert_eq!(first.run.enforced.as_ref(), Some(&enforced));
        assert_eq!(world.run(&first.run).await, first.run);
        // It was told once already that it begins.
        let again = world.store.run_start(&first.run.id, &enforced, now()).await;
        assert!(!again.unwrap());
        // Who ends it now ends a run whose guest may have begun.
        let second = ask(new_run("guest", &mean, &[], json!({}))).await.run;
        let by = name("guest");
        let effect = world.store.run_cancel(&second.id, &by, now()).await;
        assert_eq!(effect.unwrap(), CancelEffect::Kill);
        // So a station that was killed does not begin it again.
        let recovered = world.store.run_recover(now()).await.unwrap();
        assert_eq!(recovered.interrupted, [first.run.id, second.id]);
        assert!(recovered.requeued.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_caller_with_one_run_waits_for_one_turn_of_each_other_caller() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let ask = async |caller: &str| {
            let new = new_run(caller, &mean, &[], json!({}));
            world.submit(new).await.id
        };
        let mut guests = Vec::new();
        for _ in 0..20 {
            guests.push(ask("guest").await);
        }
        let mut place = world.claim().await.unwrap();
        assert_eq!(place.run, guests[0]);
        let (eve, zoo) = (ask("eve").await, ask("zoo").await);
        let mut order = Vec::new();
        while let Some(next) = finish_and_claim(world, &place).await {
            order.push(next.run.clone());
            place = next;
        }
        assert_eq!(order[..3], [eve, zoo, guests[1].clone()]);
        assert_eq!(order[3..], guests[2..]);
    })
    .await;
}

#[tokio::test]
async fn the_last_lines_are_stored_with_the_end() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[], 1).await;
        world.start_next().await;
        let line = |seq| LogLine {
            seq,
            at_ms: 7,
            stream: Stream::Stdout,
            text: format!("line {seq}"),
        };
        world.store.log_append(&run.id, &[line(1)]).await.unwrap();
        let finish = |log| Finish {
            log,
            ..Finish::because(Reason::Succeeded)
        };
        let gap = world
            .store
            .run_finish(&run.id, finish(vec![line(3)]), now());
        is_conflict(gap.await, "the next is not 3");
        assert_eq!(world.state(&run).await, State::Running);
        let last = finish(vec![line(2), line(3)]);
        let ended = world.store.run_finish(&run.id, last, now()).await.unwrap();
        assert_eq!(world.run(&run).await, ended);
        let log = world.store.log_page(&run.id, 0, 10).await.unwrap();
        assert_eq!(log, [line(1), line(2), line(3)]);
    })
    .await;
}

#[tokio::test]
async fn a_run_whose_guest_could_not_begin_gives_its_use_back_though_its_start_was_noted() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        let two = approval(Scope::Plan { plan: run.plan }, Some(2));
        world.approve_with("lab", &run, two).await.unwrap();
        world.start_next().await;
        assert_eq!(world.uses_left("lab").await, Some(1));
        let why = "no seccomp".to_owned();
        let finish = Finish {
            never_began: true,
            ..Finish::because(Reason::Refused { why })
        };
        let ended = world
            .store
            .run_finish(&run.id, finish, now())
            .await
            .unwrap();
        assert_eq!((ended.started_ms, &ended), (None, &world.run(&run).await));
        assert_eq!(world.uses_left("lab").await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn changes_that_share_a_commit_are_each_whole_and_refused_alone() {
    each_store(async |world| {
        const USERS: usize = 50;
        // Each name twice: one of the two is refused in the middle of others.
        let adding = (0..2 * USERS).map(|n| {
            let store = world.store.clone();
            let user = name(&format!("user-{}", n / 2));
            tokio::spawn(async move { store.user_add(&name("admin"), &user, false, now()).await })
        });
        let mut added = 0;
        for outcome in join_all(adding).await {
            match outcome.unwrap() {
                Ok(_) => added += 1,
                Err(StoreError::Conflict { what }) => assert!(what.contains("already"), "{what}"),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(added, USERS);
        // Five users were there before; a refused change has no event.
        assert_eq!(world.store.audit_verify().await.unwrap(), USERS as u64 + 5);
    })
    .await;
}
