//! The queue, and how runs end.

use futures::future::join_all;
use serde_json::json;
use strongroom_core::{
    approval::Scope,
    digest::Digest,
    request::State as RequestState,
    run::{OutputFile, Reason, State, Stream, Usage},
};
use strongroom_store::{CancelEffect, Finish, LogLine, Page, RunRow, StoreError};

use crate::fixture::{
    World, approval, dataset, each_store, enforced, function, is_conflict, is_not_found, name,
    new_run, now, sql,
};

fn result() -> Finish {
    Finish {
        reason: Reason::Failed {
            exit_code: Some(3),
            signal: None,
        },
        usage: Some(Usage {
            wall_ms: 1,
            cpu_ms: 2,
            memory_peak_bytes: 3,
            out_bytes: 4,
        }),
        value: Some(json!({ "mean": 0.1 })),
        files: vec![OutputFile {
            path: "plot.svg".parse().unwrap(),
            digest: Digest::of(b"plot"),
            size_bytes: 4,
        }],
        enforced: None,
        log: Vec::new(),
        stage: None,
        never_began: false,
    }
}

#[tokio::test]
async fn every_run_is_claimed_once_however_many_claim() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        for n in 0..6 {
            world.ask(&mean, &[], n).await;
        }
        let claims = join_all((0..10).map(|_| {
            let store = world.store.clone();
            tokio::spawn(async move { store.run_claim("boot", now()).await.unwrap() })
        }))
        .await;
        let mut ids: Vec<_> = claims
            .into_iter()
            .filter_map(|claim| claim.unwrap().map(|claimed| claimed.run))
            .collect();
        assert_eq!(ids.len(), 6);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_cannot_be_read_holds_up_no_other() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let (first, second) = (
            world.ask(&mean, &[], 1).await,
            world.ask(&mean, &[], 2).await,
        );
        let broken = format!(
            "UPDATE plan SET content = '{{}}' WHERE digest = '{}'",
            first.plan
        );
        sql(&world.url, &broken).await;
        assert_eq!(world.claim().await.unwrap().run, second.id);
        let found = world.store.run_find(&name("guest"), &first.id).await;
        let reason = found.unwrap().unwrap().reason;
        assert!(
            matches!(reason, Some(Reason::HostError { .. })),
            "{reason:?}"
        );
        assert!(world.claim().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn the_queue_is_fair_between_callers_and_oldest_first_for_each() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let ask = async |caller: &str| {
            let new = new_run(caller, &mean, &[], json!({}));
            world.submit(new).await.id
        };
        let (g1, g2, g3) = (ask("guest").await, ask("guest").await, ask("guest").await);
        let (e1, e2) = (ask("eve").await, ask("eve").await);
        let mut order = Vec::new();
        for _ in 0..4 {
            order.push(world.claim().await.unwrap().run);
        }
        assert_eq!(order, [g1.clone(), e1, g2.clone(), e2]);
        // What has ended counts no more.
        for id in [&g1, &g2] {
            world.store.run_finish(id, result(), now()).await.unwrap();
        }
        assert_eq!(world.claim().await.unwrap().run, g3);
        assert!(world.claim().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_run_is_written_down_as_it_goes_and_its_end_is_final() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[], 1).await;
        assert!(!world.start(&run.id).await);
        world.claim().await.unwrap();
        assert!(world.start(&run.id).await);
        assert!(!world.start(&run.id).await);
        let finish = result();
        let ended = world
            .store
            .run_finish(&run.id, finish.clone(), now())
            .await
            .unwrap();
        assert_eq!(
            (ended.state, &ended.reason),
            (State::Ended, &Some(finish.reason))
        );
        assert_eq!((&ended.usage, &ended.value), (&finish.usage, &finish.value));
        assert_eq!(
            (&ended.files, &ended.enforced),
            (&finish.files, &Some(enforced()))
        );
        assert!(ended.at_ms < ended.started_ms.unwrap());
        assert!(ended.started_ms < ended.ended_ms);
        let other = Finish::because(Reason::Succeeded);
        let again = world.store.run_finish(&run.id, other, now()).await.unwrap();
        assert_eq!(again, ended);
        assert_eq!(world.run(&run).await, ended);
    })
    .await;
}

#[tokio::test]
async fn an_owner_of_an_input_sees_how_a_run_ended_and_not_what_it_found() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        world.approve("lab", &run).await.unwrap();
        world.start_next().await;
        world
            .store
            .run_finish(&run.id, result(), now())
            .await
            .unwrap();
        let seen = world
            .store
            .run_find(&name("lab"), &run.id)
            .await
            .unwrap()
            .unwrap();
        assert!(!seen.viewer_is_caller);
        assert_eq!(
            (seen.value, seen.files.len(), seen.usage),
            (None, 0, result().usage)
        );
        let bare = Reason::Failed {
            exit_code: None,
            signal: None,
        };
        assert_eq!(seen.reason, Some(bare));
        assert!(
            world
                .store
                .run_find(&name("devs"), &run.id)
                .await
                .unwrap()
                .is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn a_list_of_runs_is_the_callers_own_without_the_values() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let mut runs = Vec::new();
        for n in 0..3 {
            runs.push(world.ask(&mean, &[], n).await);
        }
        world.submit(new_run("eve", &mean, &[], json!({}))).await;
        world.start_next().await;
        world
            .store
            .run_finish(&runs[0].id, result(), now())
            .await
            .unwrap();
        let guest = name("guest");
        let page = Page {
            after: None,
            limit: 2,
        };
        let first = world.store.run_list(&guest, None, page).await.unwrap();
        let page = Page {
            after: first.next,
            limit: 2,
        };
        let last = world.store.run_list(&guest, None, page).await.unwrap();
        let ids: Vec<_> = first
            .items
            .iter()
            .chain(&last.items)
            .map(|run| &run.id)
            .collect();
        assert_eq!(ids, [&runs[2].id, &runs[1].id, &runs[0].id]);
        assert_eq!(
            (&last.items[0].value, last.items[0].files.len()),
            (&None, 0)
        );
        let ended = world
            .store
            .run_list(&guest, Some(State::Ended), Page::first())
            .await
            .unwrap();
        assert_eq!(ended.items.len(), 1);
    })
    .await;
}

/// A run of `guest`'s under an approval of two uses, as it was submitted.
async fn counted(world: &World) -> RunRow {
    let mean = function(world, "devs/mean", "print(1)").await;
    let data = dataset(world, "lab/a", "1").await;
    let run = world.ask(&mean, &[&data], 1).await;
    let two = approval(Scope::Plan { plan: run.plan }, Some(2));
    world.approve_with("lab", &run, two).await.unwrap();
    assert_eq!(world.uses_left("lab").await, Some(1));
    run
}

async fn cancel(world: &World, run: &RunRow) -> CancelEffect {
    world
        .store
        .run_cancel(&run.id, &name("guest"), now())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_run_is_cancelled_while_it_waits() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        is_not_found(world.store.run_cancel(&run.id, &name("lab"), now()).await);
        assert_eq!(cancel(world, &run).await, CancelEffect::Ended);
        let by = name("guest");
        assert_eq!(world.run(&run).await.reason, Some(Reason::Cancelled { by }));
        let request = world
            .store
            .request_find(&name("lab"), &run.request)
            .await
            .unwrap();
        assert_eq!(request.unwrap().state, RequestState::Withdrawn);
        is_conflict(world.approve("lab", &run).await, "is withdrawn");
        assert_eq!(cancel(world, &run).await, CancelEffect::AlreadyEnded);
    })
    .await;
}

#[tokio::test]
async fn a_run_is_cancelled_in_the_queue_and_gives_its_use_back() {
    each_store(async |world| {
        let run = counted(world).await;
        assert_eq!(cancel(world, &run).await, CancelEffect::Ended);
        assert_eq!(world.uses_left("lab").await, Some(2));
        assert!(world.claim().await.is_none());
        assert_eq!(cancel(world, &run).await, CancelEffect::AlreadyEnded);
        assert_eq!(world.uses_left("lab").await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_starts_never_starts() {
    each_store(async |world| {
        let run = counted(world).await;
        world.claim().await.unwrap();
        assert_eq!(cancel(world, &run).await, CancelEffect::Ended);
        assert!(!world.start(&run.id).await);
        let finish = Finish::because(Reason::Refused {
            why: "late".to_owned(),
        });
        let ended = world
            .store
            .run_finish(&run.id, finish, now())
            .await
            .unwrap();
        assert!(
            matches!(ended.reason, Some(Reason::Cancelled { .. })),
            "{ended:?}"
        );
        assert_eq!(world.uses_left("lab").await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_runs_ends_as_cancelled_without_a_result() {
    each_store(async |world| {
        let run = counted(world).await;
        world.start_next().await;
        assert_eq!(cancel(world, &run).await, CancelEffect::Kill);
        assert_eq!(cancel(world, &run).await, CancelEffect::Kill);
        assert_eq!(world.state(&run).await, State::Running);
        let ended = world
            .store
            .run_finish(&run.id, result(), now())
            .await
            .unwrap();
        let by = name("guest");
        assert_eq!(ended.reason, Some(Reason::Cancelled { by }));
        assert_eq!(
            (ended.value, ended.files.len(), ended.usage),
            (None, 0, result().usage)
        );
        assert_eq!(world.uses_left("lab").await, Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_never_started_gives_its_use_back_and_one_that_did_does_not() {
    each_store(async |world| {
        let run = counted(world).await;
        world.claim().await.unwrap();
        let refused = Finish::because(Reason::Refused {
            why: "no seccomp".to_owned(),
        });
        world
            .store
            .run_finish(&run.id, refused.clone(), now())
            .await
            .unwrap();
        assert_eq!(world.uses_left("lab").await, Some(2));
        world
            .store
            .run_finish(&run.id, refused, now())
            .await
            .unwrap();
        assert_eq!(world.uses_left("lab").await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn after_a_crash_what_had_begun_is_over_and_what_had_not_is_queued_again() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let [running, cancelled, starting, queued] = [
            world.ask(&mean, &[], 1).await,
            world.ask(&mean, &[], 2).await,
            world.ask(&mean, &[], 3).await,
            world.ask(&mean, &[], 4).await,
        ];
        world.start_next().await;
        world.start_next().await;
        cancel(world, &cancelled).await;
        world.claim().await.unwrap();
        let recovered = world.store.run_recover(now()).await.unwrap();
        assert_eq!(recovered.requeued, std::slice::from_ref(&starting.id));
        assert_eq!(
            recovered.interrupted,
            [running.id.clone(), cancelled.id.clone()]
        );
        let what = "interrupted".to_owned();
        assert_eq!(
            world.run(&running).await.reason,
            Some(Reason::HostError { what })
        );
        let by = name("guest");
        assert_eq!(
            world.run(&cancelled).await.reason,
            Some(Reason::Cancelled { by })
        );
        assert_eq!(world.claim().await.unwrap().run, starting.id);
        assert_eq!(world.claim().await.unwrap().run, queued.id);
        assert!(world.claim().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn what_is_no_run_cannot_be_finished_or_started() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let absent = new_run("guest", &mean, &[], json!({})).run;
        is_not_found(world.store.run_finish(&absent, result(), now()).await);
        is_not_found(world.store.run_cancel(&absent, &name("guest"), now()).await);
        is_not_found(world.store.run_standing(&absent, now()).await);
        assert!(!world.start(&absent).await);
        let written = world.store.log_append(&absent, &[line(1)]).await;
        assert!(matches!(written, Err(StoreError::Db { .. })), "{written:?}");
    })
    .await;
}

fn line(seq: i64) -> LogLine {
    LogLine {
        seq,
        at_ms: now(),
        stream: if seq % 2 == 0 {
            Stream::Stderr
        } else {
            Stream::Stdout
        },
        text: format!("line {seq}\0 ä\u{1f427}"),
    }
}

#[tokio::test]
async fn a_log_is_read_as_it_was_written_from_any_line_on() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[], 1).await;
        let lines: Vec<LogLine> = (1..=100).map(line).collect();
        for batch in lines.chunks(7) {
            world.store.log_append(&run.id, batch).await.unwrap();
        }
        world.store.log_append(&run.id, &[]).await.unwrap();
        for (after, limit, wanted) in [
            (0, 1000, &lines[..]),
            (0, 10, &lines[..10]),
            (3, 90, &lines[3..93]),
            (99, 10, &lines[99..]),
            (100, 10, &lines[100..]),
        ] {
            let found = world.store.log_page(&run.id, after, limit).await.unwrap();
            assert_eq!(found, wanted, "after {after}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_of_lines_is_written_once_though_it_is_sent_again() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[], 1).await;
        let lines: Vec<LogLine> = (1..=4).map(line).collect();
        world.store.log_append(&run.id, &lines).await.unwrap();
        world.store.log_append(&run.id, &lines).await.unwrap();
        assert_eq!(world.store.log_page(&run.id, 0, 10).await.unwrap(), lines);
        is_conflict(
            world.store.log_append(&run.id, &[line(4)]).await,
            "the next is not 4",
        );
        is_conflict(
            world.store.log_append(&run.id, &[line(6)]).await,
            "the next is not 6",
        );
        is_conflict(
            world.store.log_append(&run.id, &[line(5), line(7)]).await,
            "gaps",
        );
        world.store.log_append(&run.id, &[line(5)]).await.unwrap();
        assert_eq!(world.store.log_page(&run.id, 0, 10).await.unwrap().len(), 5);
    })
    .await;
}
