//! Owners' answers: approve, reject, revoke, or none in time.

use serde_json::json;
use strongroom_core::{
    approval::Scope,
    limits::Limits,
    permit::{self, NoPermit},
    request::{State as RequestState, Verdict},
    run::{Reason, State},
};
use strongroom_store::{Finish, Page, Role, RunRow};

use crate::fixture::{
    World, approval, dataset, domain, each_store, function, is_conflict, is_not_found, name,
    new_run, now, object,
};

async fn request_state(world: &World, run: &RunRow) -> RequestState {
    let found = world
        .store
        .request_find(&run.caller, &run.request)
        .await
        .unwrap();
    found.unwrap().state
}

#[tokio::test]
async fn an_approved_run_is_queued_and_gets_a_permit() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        assert!(world.claim().await.is_none());
        let standing = world.store.run_standing(&run.id, now()).await.unwrap();
        let plan = new_run("guest", &mean, &[&data], json!({ "n": 1 })).plan;
        let refused = permit::mint(run.id.clone(), &plan, &standing.as_core(), now());
        assert_eq!(refused.unwrap_err(), NoPermit::State(RequestState::Pending));

        world.approve("lab", &run).await.unwrap();
        assert_eq!(world.state(&run).await, State::Queued);
        assert_eq!(request_state(world, &run).await, RequestState::Approved);
        let claimed = world.claim().await.unwrap();
        assert_eq!(
            (claimed.run.clone(), claimed.plan.digest()),
            (run.id.clone(), run.plan)
        );
        let standing = world.store.run_standing(&run.id, now()).await.unwrap();
        let permits = permit::mint(run.id.clone(), &claimed.plan, &standing.as_core(), now());
        let permit = permits.unwrap().next_stage(Limits::MAX).unwrap();
        assert_eq!(permit.plan(), run.plan);
    })
    .await;
}

#[tokio::test]
async fn only_an_owner_who_is_asked_answers_and_only_once() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        for stranger in ["eve", "guest", "devs"] {
            is_not_found(world.approve(stranger, &run).await);
            let (stranger, id) = (name(stranger), &run.request);
            is_not_found(world.store.request_reject(&stranger, id, "", now()).await);
            is_not_found(world.store.request_revoke(&stranger, id, now()).await);
        }
        let (lab, id) = (name("lab"), &run.request);
        is_conflict(
            world.store.request_revoke(&lab, id, now()).await,
            "not approved",
        );
        world.approve("lab", &run).await.unwrap();
        is_conflict(world.approve("lab", &run).await, "is approved");
        is_conflict(
            world.store.request_reject(&lab, id, "", now()).await,
            "is approved",
        );
    })
    .await;
}

#[tokio::test]
async fn an_approval_that_would_not_cover_what_was_asked_is_not_written() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let new = new_run("guest", &mean, &[&data], json!({ "n": 9 }));
        let (narrow, none) = (domain(&new, 5, None), domain(&new, 9, Some(0)));
        let mut over = domain(&new, 9, None);
        over.until_ms = Some(1);
        let other = approval(Scope::Plan { plan: mean.version }, None);
        let run = world.submit(new).await;
        is_conflict(world.approve_with("lab", &run, narrow).await, "arguments");
        is_conflict(world.approve_with("lab", &run, none).await, "used up");
        is_conflict(world.approve_with("lab", &run, over).await, "expired");
        is_conflict(world.approve_with("lab", &run, other).await, "another plan");
        let approvals = world
            .store
            .approval_list(&name("lab"), Page::first())
            .await
            .unwrap();
        assert!(approvals.items.is_empty());
        assert_eq!(world.state(&run).await, State::Waiting);
    })
    .await;
}

#[tokio::test]
async fn an_approval_covers_the_oldest_of_what_already_waits() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let edited = function(world, "devs/mean", "print(2)").await;
        let data = dataset(world, "lab/a", "1").await;
        let mut waiting = Vec::new();
        for n in [1, 99, 2, 3, 4] {
            waiting.push(world.ask(&mean, &[&data], n).await);
        }
        let other = world.ask(&edited, &[&data], 1).await;
        let of_eve = world
            .submit(new_run("eve", &mean, &[&data], json!({ "n": 1 })))
            .await;
        let new = new_run("guest", &mean, &[&data], json!({ "n": 5 }));
        let three = domain(&new, 10, Some(3));
        let asked = world.submit(new).await;
        world.approve_with("lab", &asked, three).await.unwrap();
        let mut states = Vec::new();
        for run in waiting.iter().chain([&other, &of_eve, &asked]) {
            states.push(world.state(run).await == State::Queued);
        }
        assert_eq!(
            states,
            [true, false, true, false, false, false, false, true]
        );
        assert_eq!(world.uses_left("lab").await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_plan_over_two_owners_data_needs_both() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let (a, b) = (
            dataset(world, "lab/a", "1").await,
            dataset(world, "zoo/b", "2").await,
        );
        let run = world.ask(&mean, &[&a, &b], 1).await;
        assert_eq!(run.waits_for, [name("lab"), name("zoo")]);
        world.approve("lab", &run).await.unwrap();
        let now_waits = world.run(&run).await;
        assert_eq!(
            (now_waits.state, now_waits.waits_for),
            (State::Waiting, vec![name("zoo")])
        );
        is_conflict(world.approve("lab", &run).await, "already");
        world.approve("zoo", &run).await.unwrap();
        assert_eq!(world.state(&run).await, State::Queued);
        let standing = world.store.run_standing(&run.id, now()).await.unwrap();
        assert_eq!(standing.owners, [name("lab"), name("zoo")]);
        assert_eq!(standing.approvals.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn one_rejection_ends_it_and_gives_back_what_others_spent() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let (a, b) = (
            dataset(world, "lab/a", "1").await,
            dataset(world, "zoo/b", "2").await,
        );
        let run = world.ask(&mean, &[&a, &b], 1).await;
        let three = approval(Scope::Plan { plan: run.plan }, Some(3));
        world.approve_with("lab", &run, three).await.unwrap();
        assert_eq!(world.uses_left("lab").await, Some(2));
        let rejected = world
            .store
            .request_reject(&name("zoo"), &run.request, "too\0 broad", now())
            .await;
        assert_eq!(rejected.unwrap().state, RequestState::Rejected);
        let ended = world.run(&run).await;
        let why = "rejected by zoo: too\u{fffd} broad".to_owned();
        assert_eq!(
            (ended.state, ended.reason),
            (State::Ended, Some(Reason::Refused { why }))
        );
        assert_eq!(world.uses_left("lab").await, Some(3));
        is_conflict(world.approve("zoo", &run).await, "is rejected");
    })
    .await;
}

#[tokio::test]
async fn a_revoked_yes_ends_all_that_stands_on_its_approval_and_no_more() {
    each_store(async |world| {
        let store = &world.store;
        let mean = function(world, "devs/mean", "print(1)").await;
        let (a, b) = (
            dataset(world, "lab/a", "1").await,
            dataset(world, "zoo/b", "2").await,
        );
        // One that runs, one that starts, one that is queued, under one approval.
        let new = new_run("guest", &mean, &[&a], json!({ "n": 0 }));
        let many = domain(&new, 10, Some(10));
        let running = world.submit(new).await;
        world.approve_with("lab", &running, many).await.unwrap();
        assert_eq!(world.start_next().await.run, running.id);
        let starting = world.ask(&mean, &[&a], 1).await;
        assert_eq!(world.claim().await.unwrap().run, starting.id);
        let queued = world.ask(&mean, &[&a], 2).await;
        // And others that do not stand on it.
        let unrelated = world.ask(&mean, &[], 1).await;
        let waiting = world.ask(&mean, &[&a, &b], 1).await;

        let revoked = store
            .request_revoke(&name("lab"), &queued.request, now())
            .await
            .unwrap();
        assert_eq!(revoked.request.state, RequestState::Revoked);
        assert_eq!(revoked.runs_to_kill, std::slice::from_ref(&running.id));
        let by = name("lab");
        for run in [&starting, &queued] {
            let run = world.run(run).await;
            let cancelled = Reason::Cancelled { by: by.clone() };
            assert_eq!((run.state, &run.reason), (State::Ended, &Some(cancelled)));
            assert_eq!(request_state(world, &run).await, RequestState::Revoked);
        }
        assert!(!world.start(&starting.id).await);
        let still = world.run(&running).await;
        assert_eq!(
            (still.state, still.cancel_requested_by),
            (State::Running, Some(by.clone()))
        );
        assert_eq!(world.state(&unrelated).await, State::Queued);
        assert_eq!(world.state(&waiting).await, State::Waiting);

        // The result that the guest still brought is not released.
        let mut finish = Finish::because(Reason::Succeeded);
        finish.value = Some(json!({ "mean": 1 }));
        let ended = store.run_finish(&running.id, finish, now()).await.unwrap();
        assert_eq!(
            (ended.reason, ended.value),
            (Some(Reason::Cancelled { by }), None)
        );

        assert_eq!(world.ask(&mean, &[&a], 3).await.state, State::Waiting);
        let again = store
            .request_revoke(&name("lab"), &queued.request, now())
            .await;
        is_conflict(again, "is revoked");
    })
    .await;
}

#[tokio::test]
async fn an_approval_is_revoked_also_after_its_run_has_ended() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        world.approve("lab", &run).await.unwrap();
        world.start_next().await;
        let finish = Finish::because(Reason::Succeeded);
        world
            .store
            .run_finish(&run.id, finish, now())
            .await
            .unwrap();
        assert_eq!(world.ask(&mean, &[&data], 1).await.state, State::Queued);
        let revoked = world
            .store
            .request_revoke(&name("lab"), &run.request, now())
            .await
            .unwrap();
        assert!(revoked.runs_to_kill.is_empty());
        assert_eq!(world.run(&run).await.reason, Some(Reason::Succeeded));
        assert_eq!(world.ask(&mean, &[&data], 1).await.state, State::Waiting);
    })
    .await;
}

#[tokio::test]
async fn a_revoked_yes_to_what_still_waits_for_another_owner_ends_it() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let (a, b) = (
            dataset(world, "lab/a", "1").await,
            dataset(world, "zoo/b", "2").await,
        );
        let run = world.ask(&mean, &[&a, &b], 1).await;
        world.approve("lab", &run).await.unwrap();
        world
            .store
            .request_revoke(&name("lab"), &run.request, now())
            .await
            .unwrap();
        assert_eq!(request_state(world, &run).await, RequestState::Revoked);
        assert_eq!(world.state(&run).await, State::Ended);
        is_conflict(world.approve("zoo", &run).await, "is revoked");
    })
    .await;
}

#[tokio::test]
async fn a_yes_by_rule_is_revoked_for_its_own_run_alone() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let rules = "permit(principal, action, resource);";
        world
            .store
            .rule_put(&name("lab"), rules, now())
            .await
            .unwrap();
        let (one, two) = (
            world.ask(&mean, &[&data], 1).await,
            world.ask(&mean, &[&data], 2).await,
        );
        world
            .store
            .request_revoke(&name("lab"), &one.request, now())
            .await
            .unwrap();
        assert_eq!(world.state(&one).await, State::Ended);
        assert_eq!(world.state(&two).await, State::Queued);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_nobody_answers_expires() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let (old, done) = (
            world.ask(&mean, &[&data], 1).await,
            world.ask(&mean, &[&data], 2).await,
        );
        world.approve("lab", &done).await.unwrap();
        let before_ms = now();
        let young = world.ask(&mean, &[&data], 3).await;
        assert_eq!(
            world.store.requests_expire(before_ms, now()).await.unwrap(),
            1
        );
        assert_eq!(
            world.store.requests_expire(before_ms, now()).await.unwrap(),
            0
        );
        let ended = world.run(&old).await;
        assert!(
            matches!(ended.reason, Some(Reason::Refused { .. })),
            "{ended:?}"
        );
        assert_eq!(request_state(world, &old).await, RequestState::Expired);
        assert_eq!(world.state(&done).await, State::Queued);
        assert_eq!(world.state(&young).await, State::Waiting);
        is_conflict(world.approve("lab", &old).await, "is expired");
    })
    .await;
}

#[tokio::test]
async fn a_request_exists_for_its_caller_and_its_owners_only() {
    each_store(async |world| {
        let store = &world.store;
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        for (viewer, sees) in [
            ("guest", true),
            ("lab", true),
            ("devs", false),
            ("zoo", false),
        ] {
            let found = store
                .request_find(&name(viewer), &run.request)
                .await
                .unwrap();
            assert_eq!(found.is_some(), sees, "{viewer}");
            let found = store.run_find(&name(viewer), &run.id).await.unwrap();
            assert_eq!(found.is_some(), sees, "{viewer}");
        }
        let request = store
            .request_find(&name("lab"), &run.request)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(request.plan.unwrap().digest(), run.plan);
        assert_eq!(request.function, Some(object("devs/mean")));
        assert_eq!(request.verdicts[&name("lab")], Verdict::PENDING);
    })
    .await;
}

#[tokio::test]
async fn requests_are_listed_by_role_and_state_newest_first() {
    each_store(async |world| {
        let store = &world.store;
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let mut runs = Vec::new();
        for n in 0..3 {
            runs.push(world.ask(&mean, &[&data], n).await);
        }
        world.approve("lab", &runs[1]).await.unwrap();
        let list = async |who: &str, role, state, page| {
            let found = store
                .request_list(&name(who), role, state, page)
                .await
                .unwrap();
            assert!(found.items.iter().all(|row| row.plan.is_none()));
            let ids: Vec<_> = found.items.into_iter().map(|row| row.id).collect();
            (ids, found.next)
        };
        let [a, b, c] = [0, 1, 2].map(|at: usize| runs[at].request.clone());
        let pending = Some(RequestState::Pending);
        let all = list("lab", Role::AsOwner, None, Page::first()).await;
        assert_eq!(all, (vec![c.clone(), b.clone(), a.clone()], None));
        let open = list("lab", Role::AsOwner, pending, Page::first()).await;
        assert_eq!(open.0, [c.clone(), a.clone()]);
        let asked = list("guest", Role::AsCaller, pending, Page::first()).await;
        assert_eq!(asked.0, [c.clone(), a.clone()]);
        assert!(
            list("guest", Role::AsOwner, None, Page::first())
                .await
                .0
                .is_empty()
        );
        assert!(
            list("lab", Role::AsCaller, None, Page::first())
                .await
                .0
                .is_empty()
        );
        let page = Page {
            after: None,
            limit: 2,
        };
        let (first, next) = list("lab", Role::AsOwner, None, page).await;
        let page = Page {
            after: next,
            limit: 2,
        };
        let (last, end) = list("lab", Role::AsOwner, None, page).await;
        assert_eq!((first, last, end), (vec![c, b], vec![a], None));
    })
    .await;
}

#[tokio::test]
async fn what_was_approved_before_is_what_this_owner_approved_in_person() {
    each_store(async |world| {
        let store = &world.store;
        let (one, two) = (
            function(world, "devs/mean", "print(1)").await,
            function(world, "devs/mean", "print(2)").await,
        );
        let data = dataset(world, "lab/a", "1").await;
        let (lab, mean) = (name("lab"), object("devs/mean"));
        let new = new_run("guest", &one, &[&data], json!({ "n": 1 }));
        let wide = domain(&new, 10, None);
        let first = world.submit(new).await;
        let before = async |except| {
            store
                .function_approved_before(&lab, &mean, except)
                .await
                .unwrap()
        };
        assert_eq!(before(&first.request).await, None);
        world.approve_with("lab", &first, wide).await.unwrap();
        assert_eq!(before(&first.request).await, None);
        let second = world.ask(&two, &[&data], 1).await;
        assert_eq!(before(&second.request).await, Some(one.version));
        world.approve("lab", &second).await.unwrap();
        // Covered by the first approval, which is not an answer in person.
        world.ask(&one, &[&data], 2).await;
        let third = world.ask(&two, &[&data], 3).await;
        assert_eq!(before(&third.request).await, Some(two.version));
        let of_zoo = store
            .function_approved_before(&name("zoo"), &mean, &third.request)
            .await;
        assert_eq!(of_zoo.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn the_schemas_that_an_owner_approved_for_a_caller_are_bounded_together() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let patterns: serde_json::Map<_, _> = (0..64)
            .map(|n| (format!("p{n}"), json!({ "pattern": "^a+$" })))
            .collect();
        let mut outcomes = Vec::new();
        for n in 1..=3 {
            let new = new_run("guest", &mean, &[&data], json!({ "n": n }));
            let mut properties = patterns.clone();
            properties.insert("n".to_owned(), json!({ "const": n }));
            let scope = Scope::domain(&new.plan, json!({ "properties": properties }));
            let run = world.submit(new).await;
            outcomes.push(world.approve_with("lab", &run, approval(scope, None)).await);
        }
        let third = outcomes.pop().unwrap();
        for outcome in outcomes {
            outcome.unwrap();
        }
        is_conflict(third, "too much together");
    })
    .await;
}
