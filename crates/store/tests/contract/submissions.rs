//! Asking for runs: what is queued at once, what waits, what is refused.

use futures::future::join_all;
use serde_json::{Value, json};
use strongroom_core::{
    digest::Digest,
    plan::{self, Inputs},
    request::{Grounds, State as RequestState, Verdict},
    run::{Reason, State},
};
use strongroom_store::{Database, Kind, Store, StoreError};

use crate::fixture::{
    approval, dataset, domain, each_store, function, is_conflict, is_not_found, manifest, name,
    new_run, now, object, sql, token_id, tree,
};

#[tokio::test]
async fn a_run_waits_for_the_owner_unless_it_reads_nothing_or_ones_own() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let (of_lab, own) = (
            dataset(world, "lab/a", "1").await,
            dataset(world, "guest/b", "2").await,
        );
        let waits = world.ask(&mean, &[&of_lab], 1).await;
        assert_eq!(
            (waits.state, &waits.waits_for),
            (State::Waiting, &vec![name("lab")])
        );
        assert_eq!(
            world.store.run_waits_for(&waits.id).await.unwrap(),
            [name("lab")]
        );
        assert_eq!(world.ask(&mean, &[], 1).await.state, State::Queued);
        let of_own = world.ask(&mean, &[&own], 1).await;
        assert_eq!(of_own.state, State::Queued);
        let guest = name("guest");
        let request = world
            .store
            .request_find(&guest, &of_own.request)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(request.state, RequestState::Approved);
        let grounds = Verdict::Approved {
            grounds: Grounds::Own,
        };
        assert_eq!(request.verdicts[&guest], grounds);
    })
    .await;
}

#[tokio::test]
async fn what_does_not_belong_together_or_does_not_exist_is_refused_and_leaves_nothing() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let own = dataset(world, "guest/b", "2").await;
        let good = new_run("guest", &mean, &[&data], json!({}));

        // The plan reads the lab's data, and the name says it is one's own.
        let mut renamed = good.clone();
        renamed.inputs = Inputs::Only(strongroom_core::plan::InputVersion {
            dataset: own.dataset.clone(),
            version: data.version,
        });
        is_conflict(world.try_submit(renamed).await, "has no version");

        let mut other = good.clone();
        other.inputs = Inputs::Only(own.clone());
        is_conflict(world.try_submit(other).await, "other inputs");

        let mut unnamed = good.clone();
        unnamed.kind = Kind::Function {
            name: object("devs/other"),
        };
        is_conflict(world.try_submit(unnamed).await, "function version");

        let mut script = good.clone();
        script.kind = Kind::Script {
            token: token_id(),
            client: String::new(),
            script_name: "main.py".to_owned(),
        };
        is_conflict(world.try_submit(script).await, "no inputs");

        assert!(
            world
                .store
                .run_find(&name("guest"), &good.run)
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(world.submit(good).await.state, State::Waiting);
    })
    .await;
}

#[tokio::test]
async fn a_script_asks_nobody_and_is_in_no_list_of_requests() {
    each_store(async |world| {
        let files = tree(world, None, &[("main.py", "print(7)")]).await;
        let version = world
            .store
            .function_keep(&files, &manifest("print(7)"))
            .await
            .unwrap();
        let mean = function(world, "devs/mean", "print(1)").await;
        let mut new = new_run("guest", &mean, &[], json!({}));
        new.plan.function = version;
        new.kind = Kind::Script {
            token: token_id(),
            client: "x".to_owned(),
            script_name: "main.py".to_owned(),
        };
        let kind = new.kind.clone();
        let run = world.submit(new).await;
        assert_eq!((run.state, &run.kind), (State::Queued, &kind));
        let role = strongroom_store::Role::AsCaller;
        let page = strongroom_store::Page::first();
        let listed = world
            .store
            .request_list(&name("guest"), role, None, page)
            .await
            .unwrap();
        assert!(listed.items.is_empty());
        assert_eq!(world.claim().await.unwrap().kind, kind);
    })
    .await;
}

#[tokio::test]
async fn a_plan_comes_back_to_the_last_bit_of_its_numbers_and_the_deepest_argument() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        // Numbers that a hasty reader gets wrong by one in the last place.
        let numbers = json!([
            1.7976931348623157e308,
            5e-324,
            0.1,
            2.2250738585072014e-308,
            9007199254740993i64,
            1.2345678901234567e-300,
            123456789.12345679,
            u64::MAX,
            i64::MIN,
            8.41e21,
            9.5e-7,
            4.35,
            0.30000000000000004,
            6.62607015e-34,
            1e23
        ]);
        let deep =
            (1..plan::ARGS_DEPTH_MAX).fold(json!("ä\u{1f427}\0"), |inner, _| json!([inner]));
        let args = json!({ "numbers": numbers, "deep": deep });
        let new = new_run("guest", &mean, &[], args);
        let plan = new.plan.clone();
        world.submit(new).await;
        assert_eq!(world.claim().await.unwrap().plan, plan);
    })
    .await;
}

#[tokio::test]
async fn the_same_submission_twice_is_one_run() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let submit = |caller: &'static str, key: &str, body: &str| {
            let mut new = new_run(caller, &mean, &[], json!({}));
            new.idempotency = Some((key.to_owned(), Digest::of(body.as_bytes())));
            world.try_submit(new)
        };
        let first = submit("guest", "key", "body").await.unwrap();
        let again = submit("guest", "key", "body").await.unwrap();
        assert_eq!((first.replayed, again.replayed), (false, true));
        assert_eq!(first.run, again.run);
        is_conflict(submit("guest", "key", "other body").await, "idempotency");
        let of_eve = submit("eve", "key", "other body").await.unwrap();
        assert!(!of_eve.replayed);
        let at_once = join_all((0..8).map(|_| submit("guest", "k2", "body"))).await;
        let fresh = at_once
            .into_iter()
            .filter(|done| !done.as_ref().unwrap().replayed);
        assert_eq!(fresh.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn three_uses_are_three_runs_however_many_ask_at_once() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let new = new_run("guest", &mean, &[&data], json!({ "n": 0 }));
        let approval = domain(&new, 100, Some(4));
        let first = world.submit(new).await;
        world.approve_with("lab", &first, approval).await.unwrap();
        let asked = join_all((0..20).map(|n| {
            let (store, new) = (
                world.store.clone(),
                new_run("guest", &mean, &[&data], json!({ "n": n })),
            );
            tokio::spawn(async move { store.run_submit(new, now()).await.unwrap().run })
        }))
        .await;
        let count = |state| {
            asked
                .iter()
                .filter(|run| run.as_ref().unwrap().state == state)
                .count()
        };
        assert_eq!((count(State::Queued), count(State::Waiting)), (3, 17));
        assert_eq!(world.uses_left("lab").await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn an_approval_covers_later_runs_in_its_domain_and_nothing_else() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let edited = function(world, "devs/mean", "print(2)").await;
        let data = dataset(world, "lab/a", "1").await;
        let new = new_run("guest", &mean, &[&data], json!({ "n": 1 }));
        let approval = domain(&new, 5, None);
        let first = world.submit(new).await;
        world.approve_with("lab", &first, approval).await.unwrap();
        assert_eq!(world.ask(&mean, &[&data], 5).await.state, State::Queued);
        assert_eq!(world.ask(&mean, &[&data], 6).await.state, State::Waiting);
        assert_eq!(world.ask(&edited, &[&data], 1).await.state, State::Waiting);
        let newer = dataset(world, "lab/a", "1 changed").await;
        assert_eq!(world.ask(&mean, &[&newer], 1).await.state, State::Waiting);
        let of_eve = new_run("eve", &mean, &[&data], json!({ "n": 1 }));
        assert_eq!(world.submit(of_eve).await.state, State::Waiting);
    })
    .await;
}

#[tokio::test]
async fn an_approval_ends_at_its_time() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let new = new_run("guest", &mean, &[&data], json!({ "n": 1 }));
        let mut until = domain(&new, 5, None);
        let until_ms = now() + 1_000_000;
        until.until_ms = Some(until_ms);
        let first = world.submit(new).await;
        world.approve_with("lab", &first, until).await.unwrap();
        for (at_ms, state) in [(until_ms - 1, State::Queued), (until_ms, State::Waiting)] {
            let new = new_run("guest", &mean, &[&data], json!({ "n": 1 }));
            let run = world.store.run_submit(new, at_ms).await.unwrap().run;
            assert_eq!(run.state, state);
        }
    })
    .await;
}

const RULES: &str = r#"
    @id("colleagues")
    permit(principal == User::"guest", action == Action::"run", resource)
        when { context.purpose == "teaching" };
    @id("no-sevens")
    forbid(principal, action, resource)
        when { context.numbers.hasTag("n") && context.numbers.getTag("n") == 7 };
"#;

#[tokio::test]
async fn rules_answer_at_once_and_their_policies_are_kept_with_the_request() {
    each_store(async |world| {
        let store = &world.store;
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        store
            .rule_put(&name("lab"), "// nothing yet", now())
            .await
            .unwrap();
        store.rule_put(&name("lab"), RULES, now()).await.unwrap();
        assert_eq!(
            store.rule_get(&name("lab")).await.unwrap().as_deref(),
            Some(RULES)
        );

        let permitted = world.ask(&mean, &[&data], 1).await;
        assert_eq!(permitted.state, State::Queued);
        let request = store
            .request_find(&name("lab"), &permitted.request)
            .await
            .unwrap()
            .unwrap();
        match &request.verdicts[&name("lab")] {
            Verdict::Approved {
                grounds: Grounds::Rule { policies },
            } => assert_eq!(policies[0].name, "colleagues"),
            other => panic!("{other:?}"),
        }

        let forbidden = world.ask(&mean, &[&data], 7).await;
        assert_eq!(forbidden.state, State::Ended);
        let why = "forbidden by the rules of lab".to_owned();
        assert_eq!(forbidden.reason, Some(Reason::Refused { why }));

        let of_eve = new_run("eve", &mean, &[&data], json!({ "n": 1 }));
        assert_eq!(world.submit(of_eve).await.state, State::Waiting);

        store.rule_delete(&name("lab"), now()).await.unwrap();
        is_not_found(store.rule_delete(&name("lab"), now()).await);
        assert_eq!(store.rule_get(&name("lab")).await.unwrap(), None);
        assert_eq!(world.ask(&mean, &[&data], 1).await.state, State::Waiting);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_costs_no_other_owner_a_use() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let (a, b) = (
            dataset(world, "lab/a", "1").await,
            dataset(world, "zoo/b", "2").await,
        );
        let new = new_run("guest", &mean, &[&a, &b], json!({ "n": 0 }));
        let approval = domain(&new, 100, Some(3));
        let first = world.submit(new).await;
        world.approve_with("lab", &first, approval).await.unwrap();
        assert_eq!(world.uses_left("lab").await, Some(2));
        world
            .store
            .rule_put(&name("zoo"), RULES, now())
            .await
            .unwrap();
        assert_eq!(world.ask(&mean, &[&a, &b], 7).await.state, State::Ended);
        assert_eq!(world.uses_left("lab").await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn rules_that_cannot_be_read_any_more_stop_everything_they_might_forbid() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        world
            .store
            .rule_put(&name("lab"), RULES, now())
            .await
            .unwrap();
        sql(
            &world.url,
            "UPDATE rule SET content = 'forbid(everything);'",
        )
        .await;
        let outcome = world
            .try_submit(new_run("guest", &mean, &[&data], json!({})))
            .await;
        assert!(
            matches!(outcome, Err(StoreError::Corrupt { .. })),
            "{outcome:?}"
        );
        assert_eq!(world.ask(&mean, &[], 1).await.state, State::Queued);
    })
    .await;
}

#[tokio::test]
async fn one_caller_has_a_bounded_number_of_open_runs() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[], 1).await;
        // The other 9,999, behind the store's back.
        let ids = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)";
        sql(
            &world.url,
            &format!(
                "INSERT INTO request SELECT 'req-x' || n.i, r.state, r.caller, 'run-x' || n.i,
                        r.function, r.function_version, r.plan, r.inputs, r.purpose, r.at_ms,
                        r.labels, r.asked_seq
                   FROM request r, ({ids} SELECT i FROM n) n WHERE r.id = '{}'",
                run.request
            ),
        )
        .await;
        sql(
            &world.url,
            &format!(
                "INSERT INTO run (id, request, caller, kind, plan, state, at_ms)
                 SELECT 'run-x' || n.i, 'req-x' || n.i, r.caller, r.kind, r.plan, r.state, r.at_ms
                   FROM run r, ({ids} SELECT i FROM n) n WHERE r.id = '{}'",
                run.id
            ),
        )
        .await;
        let one_more = world
            .try_submit(new_run("guest", &mean, &[], json!({})))
            .await;
        assert!(
            matches!(one_more, Err(StoreError::TooMany { max: 10_000, .. })),
            "{one_more:?}"
        );
        let of_eve = new_run("eve", &mean, &[], Value::Null);
        assert_eq!(world.submit(of_eve).await.state, State::Queued);
        world
            .store
            .run_cancel(&run.id, &name("guest"), now())
            .await
            .unwrap();
        assert_eq!(world.ask(&mean, &[], 1).await.state, State::Queued);
    })
    .await;
}

#[tokio::test]
async fn an_approval_without_a_bound_is_used_before_one_that_runs_out() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let new = new_run("guest", &mean, &[&data], json!({ "n": 1 }));
        let bounded = domain(&new, 1, Some(2));
        let first = world.submit(new).await;
        world.approve_with("lab", &first, bounded).await.unwrap();
        let other = world.ask(&mean, &[&data], 2).await;
        let free = approval(
            strongroom_core::approval::Scope::domain(
                &new_run("guest", &mean, &[&data], json!({})).plan,
                json!(true),
            ),
            None,
        );
        world.approve_with("lab", &other, free).await.unwrap();
        assert_eq!(world.ask(&mean, &[&data], 1).await.state, State::Queued);
        let page = strongroom_store::Page::first();
        let approvals = world
            .store
            .approval_list(&name("lab"), page)
            .await
            .unwrap()
            .items;
        let left: Vec<_> = approvals
            .iter()
            .map(|approval| approval.uses_left)
            .collect();
        assert_eq!(left, [None, Some(1)]);
    })
    .await;
}

#[tokio::test]
async fn two_stations_on_one_postgresql_spend_no_use_twice_and_keep_one_record() {
    each_store(async |world| {
        let Database::Postgres(_) = world.database else {
            return;
        };
        // A second one gets in only as a copy of the first one's home.
        let home = tempfile::tempdir().unwrap();
        let identity = "identity";
        std::fs::copy(world.home.path().join(identity), home.path().join(identity)).unwrap();
        let second = Store::open(home.path(), world.database.clone())
            .await
            .unwrap();
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let new = new_run("guest", &mean, &[&data], json!({ "n": 0 }));
        let approval = domain(&new, 100, Some(4));
        let first = world.submit(new).await;
        world.approve_with("lab", &first, approval).await.unwrap();
        let asked = join_all((0..20).map(|n| {
            let new = new_run("guest", &mean, &[&data], json!({ "n": n }));
            let store = if n % 2 == 0 { &world.store } else { &second }.clone();
            tokio::spawn(async move { store.run_submit(new, now()).await.unwrap().run })
        }))
        .await;
        let queued = asked
            .iter()
            .filter(|run| run.as_ref().unwrap().state == State::Queued);
        assert_eq!(queued.count(), 3);
        world.store.audit_verify().await.unwrap();
        second.close().await;
    })
    .await;
}
