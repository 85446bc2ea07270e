//! Who may see what came out, judged whenever somebody reads.

use serde_json::{Value, json};
use strongroom_core::{
    digest::Digest,
    json::canonical_of,
    name::Reference,
    plan::InputVersion,
    run::{Reason, Usage},
    version::{Changes, MadeBy, Says},
};
use strongroom_store::{DatasetVersionRow, Finish, NewVersion, Page, RunRow, StoreError};

use crate::fixture::{
    World, approval, dataset, each_store, enforced, function, is_conflict, name, new_run, now,
    object, tree,
};

const PERMIT: &str = "permit(principal, action, resource);";
const FORBID_GUEST: &str = r#"forbid(principal == User::"guest", action, resource);"#;

async fn rules(world: &World, owner: &str, text: &str) {
    let owner = name(owner);
    world.store.rule_put(&owner, text, now()).await.unwrap();
}

/// Runs what may run next, with a value.
async fn run_next(world: &World, run: &RunRow) {
    let claimed = world.start_next().await;
    assert_eq!(claimed.run, run.id);
    let finish = Finish {
        value: Some(json!(4711)),
        usage: Some(Usage::default()),
        ..Finish::because(Reason::Failed {
            exit_code: Some(47),
            signal: None,
        })
    };
    let store = &world.store;
    store.run_finish(&run.id, finish, now()).await.unwrap();
}

/// `guest` runs a function on data of `lab`, by whatever `lab` has said.
async fn ran(world: &World, data: &InputVersion) -> RunRow {
    let mean = function(world, "devs/mean", "print(1)").await;
    let run = world.ask(&mean, &[data], 1).await;
    run_next(world, &run).await;
    run
}

#[track_caller]
fn is_shown(run: &RunRow) {
    assert!(!run.is_withheld, "{run:?}");
    assert_eq!(run.value, Some(json!(4711)));
}

#[track_caller]
fn is_withheld(run: &RunRow) {
    assert!(run.is_withheld && run.viewer_is_caller, "{run:?}");
    let code_only = Reason::Failed {
        exit_code: None,
        signal: None,
    };
    assert_eq!(
        (&run.reason, &run.value, run.usage),
        (&Some(code_only), &None::<Value>, None)
    );
}

async fn listed(world: &World) -> RunRow {
    let page = Page::first();
    let runs = world.store.run_list(&name("guest"), None, page).await;
    runs.unwrap().items.remove(0)
}

#[tokio::test]
async fn what_came_out_is_withheld_while_no_rule_permits_what_rested_on_one() {
    each_store(async |world| {
        rules(world, "lab", PERMIT).await;
        let data = dataset(world, "lab/a", "1").await;
        let run = ran(world, &data).await;
        is_shown(&world.run(&run).await);
        assert!(!listed(world).await.is_withheld);

        let lab = name("lab");
        world.store.rule_delete(&lab, now()).await.unwrap();
        is_withheld(&world.run(&run).await);
        let row = listed(world).await;
        assert!(row.is_withheld && row.usage.is_none(), "{row:?}");

        rules(
            world,
            "lab",
            r#"permit(principal == User::"eve", action, resource);"#,
        )
        .await;
        is_withheld(&world.run(&run).await);
        // Who gives it again has given it.
        rules(world, "lab", PERMIT).await;
        is_shown(&world.run(&run).await);
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_comes_to_forbid_it_withholds_what_was_approved_in_person() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[&data], 1).await;
        world.approve("lab", &run).await.unwrap();
        run_next(world, &run).await;
        // Rules that do not speak of it change nothing, nor do somebody else's.
        rules(
            world,
            "lab",
            r#"forbid(principal == User::"eve", action, resource);"#,
        )
        .await;
        rules(world, "zoo", FORBID_GUEST).await;
        is_shown(&world.run(&run).await);
        rules(world, "lab", FORBID_GUEST).await;
        is_withheld(&world.run(&run).await);
        world.store.rule_delete(&name("lab"), now()).await.unwrap();
        is_shown(&world.run(&run).await);
    })
    .await;
}

#[tokio::test]
async fn what_time_alone_has_ended_is_not_withheld() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        // An approval for one run and a moment, which both are over.
        let new = new_run("guest", &mean, &[&data], json!({ "n": 1 }));
        let scope = strongroom_core::approval::Scope::Plan {
            plan: new.plan.digest(),
        };
        let run = world.submit(new).await;
        let short = strongroom_store::NewApproval {
            until_ms: Some(now() + 40),
            ..approval(scope, Some(1))
        };
        world.approve_with("lab", &run, short).await.unwrap();
        run_next(world, &run).await;
        while now() < run.at_ms + 100 {}
        // Rules have changed since, so it is judged anew.
        rules(
            world,
            "lab",
            r#"forbid(principal == User::"eve", action, resource);"#,
        )
        .await;
        is_shown(&world.run(&run).await);

        // A rule that held until a time that has come.
        let until = "permit(principal, action, resource) when \
                     { context.now < datetime(\"2023-11-15\") };";
        rules(world, "lab", until).await;
        let second = ran(world, &data).await;
        rules(world, "lab", &format!("{until} // later")).await;
        is_shown(&world.run(&second).await);
    })
    .await;
}

#[tokio::test]
async fn each_owner_behind_what_was_made_of_his_data_withholds_it() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let first = ran(world, &data).await;
        let made = save(world, &first, "guest/made", "2", &data).await;
        let second = ran(
            world,
            &InputVersion {
                dataset: made.dataset.clone(),
                version: made.version,
            },
        )
        .await;
        is_shown(&world.run(&second).await);
        world.store.rule_delete(&name("lab"), now()).await.unwrap();
        is_withheld(&world.run(&second).await);
    })
    .await;
}

/// Keeps what a run made as a version of its caller's.
async fn save(
    world: &World,
    run: &RunRow,
    full: &str,
    content: &str,
    from: &InputVersion,
) -> DatasetVersionRow {
    let dataset = object(full);
    let changes = Changes {
        made_by: Some(MadeBy {
            run: run.id.clone(),
            function: None,
            function_version: Digest::of(b"f"),
        }),
        derived_from: [from.clone()].into(),
        readme: strongroom_core::version::Change::Set("found".to_owned()),
        ..Changes::default()
    };
    let new = NewVersion {
        tree: tree(world, None, &[("data.csv", content)]).await,
        says: changes.over(&Default::default()),
        message: String::new(),
        after: None,
        takes_from: None,
    };
    let owner = dataset.owner.clone();
    let saved = world.store.dataset_save(&owner, &dataset, new, now());
    saved.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_version_that_a_run_made_is_withheld_with_what_came_out_of_it() {
    each_store(async |world| {
        let store = &world.store;
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        let made = save(world, &run, "guest/made", "2", &data).await;
        // A push that keeps the readme, and one that is all the pusher's own.
        let guest = name("guest");
        let reference: Reference = "guest/made".parse().unwrap();
        let files = tree(world, Some("guest"), &[("data.csv", "own")]).await;
        store
            .dataset_push(&guest, &made.dataset, &files, "", now())
            .await
            .unwrap();
        let kept = store.dataset_version(&reference).await.unwrap().unwrap();
        let plain = dataset(world, "guest/plain", "3").await;
        let plain = Reference {
            name: plain.dataset,
            ..reference.clone()
        };
        let plain = store.dataset_version(&plain).await.unwrap().unwrap();
        for version in [&made, &kept, &plain] {
            assert!(!store.dataset_withheld(version).await.unwrap());
        }
        store.rule_delete(&name("lab"), now()).await.unwrap();
        for (version, withheld) in [(&made, true), (&kept, true), (&plain, false)] {
            assert_eq!(store.dataset_withheld(version).await.unwrap(), withheld);
        }
        // Brought back, it is what it was.
        let first: Reference = "guest/made~1".parse().unwrap();
        let again = store.dataset_restore(&guest, &first, "", now());
        assert!(store.dataset_withheld(&again.await.unwrap()).await.unwrap());
    })
    .await;
}

/// What follows `before` when its owner changes this much.
async fn follow(world: &World, full: &str, content: &str, changes: Changes) -> DatasetVersionRow {
    let (store, full) = (&world.store, object(full));
    let before = store.dataset_find(&full).await.unwrap().unwrap().newest;
    let said = store.dataset_says(&before).await.unwrap();
    let new = NewVersion {
        tree: tree(world, Some("guest"), &[("data.csv", content)]).await,
        message: String::new(),
        after: Some(before.version),
        takes_from: Some(before.version).filter(|_| changes.keeps(&said)),
        says: changes.over(&said),
    };
    let added = store.dataset_add(&full.owner, &full, new, now());
    added.await.unwrap().unwrap()
}

#[tokio::test]
async fn work_of_a_run_is_withheld_whichever_version_it_comes_back_in() {
    each_store(async |world| {
        let (store, guest) = (&world.store, name("guest"));
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        save(world, &run, "guest/made", "2", &data).await;
        let kept = follow(world, "guest/made", "own", Changes::default()).await;
        let dropped = Changes {
            readme: strongroom_core::version::Change::Drop,
            ..Changes::default()
        };
        let plain = follow(world, "guest/made", "own", dropped).await;
        store.rule_delete(&name("lab"), now()).await.unwrap();
        // Nothing of the run is in what stands before it now.
        let back: Reference = "guest/made~1".parse().unwrap();
        let back = store.dataset_restore(&guest, &back, "", now()).await;
        let back = back.unwrap();
        assert_eq!(back.says, kept.says);
        let on = follow(world, "guest/made", "own too", Changes::default()).await;
        for (version, withheld) in [(&kept, true), (&plain, false), (&back, true), (&on, true)] {
            assert_eq!(store.dataset_withheld(version).await.unwrap(), withheld);
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_learns_what_is_withheld_by_pushing_what_he_guesses_it_is() {
    each_store(async |world| {
        let (store, guest) = (&world.store, name("guest"));
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        let made = save(world, &run, "guest/made", "2", &data).await;
        let guess = follow(world, "guest/made", "2", Changes::default()).await;
        assert!(guess.unchanged, "while he may see it");
        store.rule_delete(&name("lab"), now()).await.unwrap();
        let guess = follow(world, "guest/made", "2", Changes::default()).await;
        assert!(!guess.unchanged && guess.version != made.version);
        let back: Reference = "guest/made~1".parse().unwrap();
        let back = store.dataset_restore(&guest, &back, "", now()).await;
        assert!(!back.unwrap().unchanged);
    })
    .await;
}

#[tokio::test]
async fn a_version_of_others_data_that_no_run_is_known_of_is_withheld() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let (own, guest) = (dataset(world, "guest/own", "1").await, "guest/made");
        dataset(world, guest, "1").await;
        for (from, withheld) in [(own, false), (data, true)] {
            let changes = Changes {
                derived_from: [from].into(),
                ..Changes::default()
            };
            let version = follow(world, guest, "2", changes).await;
            let found = world.store.dataset_withheld(&version).await;
            assert_eq!(found.unwrap(), withheld);
        }
    })
    .await;
}

#[tokio::test]
async fn a_dataset_keeps_its_name_while_something_made_of_it_is_asked_for() {
    each_store(async |world| {
        let (store, lab) = (&world.store, name("lab"));
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        let made = save(world, &run, "guest/made", "2", &data).await;
        let made = InputVersion {
            dataset: made.dataset,
            version: made.version,
        };
        let mean = function(world, "devs/mean", "print(1)").await;
        let asked = world.ask(&mean, &[&made], 1).await;
        let to = name("b");
        let rename = async || store.dataset_rename(&lab, &data.dataset, &to, now()).await;
        is_conflict(rename().await, "1 request");
        let cancelled = store.run_cancel(&asked.id, &name("guest"), now()).await;
        cancelled.unwrap();
        rename().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn rules_speak_of_data_by_the_name_that_it_has_when_somebody_reads() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        let (lab, to) = (name("lab"), name("b"));
        let renamed = world.store.dataset_rename(&lab, &data.dataset, &to, now());
        renamed.await.unwrap();
        let forbid = |what: &str| {
            let of = format!("context.datasets.contains(\"{what}\")");
            format!("{PERMIT} forbid(principal, action, resource) when {{ {of} }};")
        };
        rules(world, "lab", &forbid("lab/a")).await;
        is_shown(&world.run(&run).await);
        rules(world, "lab", &forbid("lab/b")).await;
        is_withheld(&world.run(&run).await);
    })
    .await;
}

#[tokio::test]
async fn the_record_has_no_digest_of_what_was_made_of_others_data() {
    each_store(async |world| {
        let guest = name("guest");
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        let made = save(world, &run, "guest/made", "2", &data).await;
        let back: Reference = "guest/made".parse().unwrap();
        follow(world, "guest/made", "3", Changes::default()).await;
        let first: Reference = "guest/made~1".parse().unwrap();
        for from in [back, first] {
            let restored = world.store.dataset_restore(&guest, &from, "", now());
            restored.await.unwrap();
        }
        let own = dataset(world, "guest/own", "4").await;
        let events = world.store.audit_page(Some(&guest), 0, 200).await.unwrap();
        let of = |what: &str| {
            let events = events.iter().map(|row| &row.event);
            let of = events.filter(|event| event.subject == what);
            of.map(|event| event.detail.clone()).collect::<Vec<_>>()
        };
        let made_of_others = of("guest/made");
        assert_eq!(made_of_others.len(), 3);
        for detail in made_of_others {
            assert!(detail.get("version").is_some(), "{detail}");
            assert!(!detail.to_string().contains(&made.tree.to_string()));
            assert!(detail.get("tree").is_none(), "{detail}");
        }
        assert!(of(&own.dataset.to_string())[0].get("tree").is_some());
    })
    .await;
}

#[tokio::test]
async fn a_version_whose_run_was_somebody_elses_or_nobodys_is_withheld() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        let stolen = save(world, &run, "eve/made", "2", &data).await;
        let mut unknown = run.clone();
        unknown.id = new_run(
            "guest",
            &function(world, "devs/mean", "print(1)").await,
            &[],
            json!({}),
        )
        .run;
        let forged = save(world, &unknown, "guest/forged", "2", &data).await;
        for version in [stolen, forged] {
            assert!(world.store.dataset_withheld(&version).await.unwrap());
        }
    })
    .await;
}

/// Forbids nothing and permits nothing, since it always overflows.
const FAILS: &str = r#"
    forbid(principal, action, resource)
    when { context.limits.memory_bytes * 9223372036854775807 > 0 };"#;

#[tokio::test]
async fn rules_that_come_to_fail_stop_and_withhold_what_was_approved_before_them() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let before = world.ask(&mean, &[&data], 1).await;
        world.approve("lab", &before).await.unwrap();
        run_next(world, &before).await;
        let waiting = world.ask(&mean, &[&data], 2).await;
        world.approve("lab", &waiting).await.unwrap();
        let claimed = world.claim().await.unwrap();
        rules(world, "lab", FAILS).await;
        is_withheld(&world.run(&before).await);
        let store = &world.store;
        let started = store.run_start(&claimed.run, &enforced(), now()).await;
        assert!(
            matches!(started, Err(StoreError::Refused { .. })),
            "{started:?}"
        );
        let finish = Finish::because(Reason::Cancelled { by: name("lab") });
        store.run_finish(&claimed.run, finish, now()).await.unwrap();
        // Who answers in person while they fail knows that they do.
        let after = world.ask(&mean, &[&data], 3).await;
        world.approve("lab", &after).await.unwrap();
        run_next(world, &after).await;
        is_shown(&world.run(&after).await);
        rules(world, "lab", FAILS).await;
        is_withheld(&world.run(&after).await);
    })
    .await;
}

#[tokio::test]
async fn rules_that_change_withhold_whatever_the_clock_says() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[&data], 1).await;
        world.approve("lab", &run).await.unwrap();
        run_next(world, &run).await;
        is_shown(&world.run(&run).await);
        // The host's clock was set back before the owner forbade it.
        let lab = name("lab");
        world.store.rule_put(&lab, FORBID_GUEST, 1).await.unwrap();
        is_withheld(&world.run(&run).await);
        assert!(listed(world).await.is_withheld);
    })
    .await;
}

#[tokio::test]
async fn what_runs_is_ended_by_rules_that_let_it_go_on_no_longer() {
    each_store(async |world| {
        let (lab, zoo, store) = (name("lab"), name("zoo"), &world.store);
        let data = dataset(world, "lab/a", "1").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let other = format!("{PERMIT} // the same");
        for (n, by) in [(1, FORBID_GUEST), (2, FAILS), (3, "// nothing")] {
            rules(world, "lab", PERMIT).await;
            let run = world.ask(&mean, &[&data], n).await;
            world.start_next().await;
            // Neither the rules of others nor such as let it go on.
            for (owner, text) in [(&zoo, by), (&lab, other.as_str())] {
                let killed = store.rule_put(owner, text, now()).await;
                assert_eq!(killed.unwrap(), [], "{text}");
            }
            let killed = store.rule_put(&lab, by, now()).await.unwrap();
            assert_eq!(killed, std::slice::from_ref(&run.id), "{by}");
            let finish = Finish::because(Reason::Succeeded);
            let ended = store.run_finish(&run.id, finish, now()).await.unwrap();
            assert_eq!(ended.reason, Some(Reason::Cancelled { by: lab.clone() }));
        }
        rules(world, "lab", PERMIT).await;
        let run = world.ask(&mean, &[&data], 4).await;
        world.start_next().await;
        let killed = store.rule_delete(&lab, now()).await.unwrap();
        assert_eq!(killed, [run.id]);
        let events = store.audit_page(Some(&lab), 0, 200).await.unwrap();
        let last = &events.last().unwrap().event;
        assert_eq!(last.detail["killed"], json!(killed), "{last:?}");
    })
    .await;
}

#[tokio::test]
async fn which_of_an_answer_and_failing_rules_was_first_says_the_record_and_no_clock() {
    each_store(async |world| {
        let (lab, store) = (name("lab"), &world.store);
        let data = dataset(world, "lab/a", "1").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let at = |ahead_ms: i64| now() + ahead_ms;
        // The clock was set back between the rules and the answer.
        store.rule_put(&lab, FAILS, at(60_000)).await.unwrap();
        let after = world.ask(&mean, &[&data], 1).await;
        world.approve("lab", &after).await.unwrap();
        run_next(world, &after).await;
        is_shown(&world.run(&after).await);
        // And between the answer and the rules.
        store.rule_delete(&lab, now()).await.unwrap();
        let before = world.ask(&mean, &[&data], 2).await;
        world.approve("lab", &before).await.unwrap();
        store.rule_put(&lab, FAILS, at(-60_000)).await.unwrap();
        let claimed = world.claim().await.unwrap();
        let started = store.run_start(&claimed.run, &enforced(), now()).await;
        assert!(
            matches!(started, Err(StoreError::Refused { .. })),
            "{started:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_digest_of_a_version_tells_nobody_what_it_holds_who_does_not_know_its_salt() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        rules(world, "lab", PERMIT).await;
        let run = ran(world, &data).await;
        let plain = save(world, &run, "guest/plain", "2", &data).await;
        let said = world.store.dataset_says(&plain).await.unwrap();
        let digest_of = |row: &DatasetVersionRow, said: &Says| {
            let content = json!({
                "parent": row.parent, "tree": row.tree, "message": row.message,
                "author": row.author, "at_ms": row.at_ms,
                "says": Digest::of(canonical_of(said).as_bytes()),
            });
            Digest::of(canonical_of(&content).as_bytes())
        };
        assert_eq!(digest_of(&plain, &said), plain.version);
        let new = NewVersion {
            tree: tree(world, None, &[("data.csv", "2")]).await,
            says: said.clone().salted([7; 10]),
            message: String::new(),
            after: None,
            takes_from: None,
        };
        let (guest, name) = (name("guest"), object("guest/salted"));
        let salted = world.store.dataset_save(&guest, &name, new, now()).await;
        let salted = salted.unwrap().unwrap();
        assert_eq!(salted.tree, plain.tree);
        assert_ne!(digest_of(&salted, &said), salted.version);
        let told = said.salted([7; 10]);
        assert_eq!(digest_of(&salted, &told), salted.version);
        // It changes nothing of what is said.
        assert!(told.changes_nothing(&Says {
            salt: String::new(),
            ..told.clone()
        }));
    })
    .await;
}
