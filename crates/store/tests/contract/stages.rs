//! Stages, what they hand on, who lets data be exposed, and labels.

use serde_json::json;
use strongroom_core::{
    approval::Scope,
    digest::Digest,
    name::ObjectName,
    plan::InputVersion,
    request::{State as RequestState, Verdict},
    run::{Reason, State, Usage},
    stage::{Expose, Stage},
    version::Changes,
};
use strongroom_store::{Finish, NewApproval, NewVersion, RunRow, StageBegin, StageEnd, StoreError};

use crate::fixture::{
    World, approval, dataset, each_store, function, is_conflict, name, new_run, now, object, tree,
};

const ALL_THREE: &str = "def expose(d, c): 1\ndef download(c): 1\ndef transform(d, c): 1\n";

/// An approval of exactly this run that names `expose`.
fn exposing(run: &RunRow) -> NewApproval {
    NewApproval {
        expose: true,
        ..approval(Scope::Plan { plan: run.plan }, None)
    }
}

/// `guest` asks for a function with all stages.
async fn ask(world: &World, on: &[&InputVersion]) -> RunRow {
    let all = function(world, "devs/all", ALL_THREE).await;
    let mut new = new_run("guest", &all, on, json!({}));
    new.expose = Expose::AskOwners;
    world.submit(new).await
}

/// A version that a run made of others.
async fn derived(world: &World, full: &str, from: &[&InputVersion]) -> InputVersion {
    let full: ObjectName = object(full);
    let content = format!("made for {full}");
    let changes = Changes {
        derived_from: world
            .store
            .dataset_origins(from.iter().copied())
            .await
            .unwrap(),
        ..Changes::default()
    };
    let new = NewVersion {
        tree: tree(world, Some(full.owner.as_str()), &[("data.csv", &content)]).await,
        says: changes.over(&Default::default()),
        message: String::new(),
        after: None,
        takes_from: None,
    };
    let added = world.store.dataset_add(&full.owner, &full, new, now());
    InputVersion {
        version: added.await.unwrap().unwrap().version,
        dataset: full,
    }
}

fn begin(stage: Stage, log_before: i64) -> StageBegin {
    StageBegin { stage, log_before }
}

fn end(stage: Stage, value: Option<&str>) -> StageEnd {
    StageEnd {
        stage,
        reason: Reason::Succeeded,
        usage: Some(Usage::default()),
        value: value.map(str::to_owned),
    }
}

#[tokio::test]
async fn exposing_takes_the_yes_of_every_owner_by_name() {
    each_store(async |world| {
        let one = dataset(world, "lab/a", "1").await;
        let two = dataset(world, "zoo/b", "2").await;
        let run = ask(world, &[&one, &two]).await;
        is_conflict(world.approve("lab", &run).await, "does not name it");
        let lab = exposing(&run);
        world.approve_with("lab", &run, lab).await.unwrap();
        assert_eq!(world.state(&run).await, State::Waiting);
        is_conflict(world.approve("zoo", &run).await, "does not name it");
        let zoo = exposing(&run);
        world.approve_with("zoo", &run, zoo).await.unwrap();
        assert_eq!(world.state(&run).await, State::Queued);
        assert!(world.claim().await.is_some());
    })
    .await;
}

#[tokio::test]
async fn no_rule_and_no_earlier_approval_lets_data_be_exposed() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let rules = "permit(principal, action, resource);";
        world
            .store
            .rule_put(&name("lab"), rules, now())
            .await
            .unwrap();
        let run = ask(world, &[&data]).await;
        assert_eq!(run.state, State::Waiting);
        // For the owner himself it is a question too.
        let all = function(world, "devs/all", ALL_THREE).await;
        let mut own = new_run("lab", &all, &[&data], json!({}));
        own.expose = Expose::AskOwners;
        assert_eq!(world.submit(own).await.waits_for, [name("lab")]);
    })
    .await;
}

#[tokio::test]
async fn who_owns_all_of_the_data_and_wrote_the_function_may_expose_it_himself() {
    each_store(async |world| {
        let own = dataset(world, "devs/a", "1").await;
        let foreign = dataset(world, "lab/b", "2").await;
        let all = function(world, "devs/all", ALL_THREE).await;
        let ask = |caller: &str, on: &[&InputVersion]| {
            let mut new = new_run(caller, &all, on, json!({}));
            new.expose = Expose::AllDatasets;
            new
        };
        let run = world.submit(ask("devs", &[&own])).await;
        assert_eq!(run.state, State::Queued);
        let standing = world.store.run_standing(&run.id, now()).await.unwrap();
        assert_eq!(standing.developer, Some(name("devs")));
        for new in [ask("devs", &[&own, &foreign]), ask("lab", &[&foreign])] {
            is_conflict(world.try_submit(new).await, "wrote the function");
        }
        // What was made of somebody's data is not all his own.
        let made = derived(world, "devs/made", &[&foreign]).await;
        is_conflict(
            world.try_submit(ask("devs", &[&made])).await,
            "owns all of the data",
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_made_of_somebodys_data_carries_his_label_however_often_it_was_made_anew() {
    each_store(async |world| {
        let one = dataset(world, "lab/a", "1").await;
        let two = dataset(world, "zoo/b", "2").await;
        let first = derived(world, "devs/c", &[&one, &two]).await;
        let second = derived(world, "guest/d", &[&first]).await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world
            .submit(new_run("guest", &mean, &[&second], json!({})))
            .await;
        assert_eq!(run.waits_for, [name("lab"), name("zoo")]);
        let labels: Vec<_> = run.labels.iter().cloned().collect();
        assert_eq!(labels, [one, two]);
        assert_eq!(world.run(&run).await.labels, run.labels);
        let mallory = world
            .submit(new_run("eve", &mean, &[&second], json!({})))
            .await;
        // Whose dataset it is has a say too.
        assert_eq!(mallory.waits_for, [name("guest"), name("lab"), name("zoo")]);
        world.approve("lab", &run).await.unwrap();
        assert_eq!(world.state(&run).await, State::Waiting);
        world.approve("zoo", &run).await.unwrap();
        let claimed = world.claim().await.unwrap();
        assert_eq!(
            claimed.standing.owners,
            [name("guest"), name("lab"), name("zoo")]
        );
    })
    .await;
}

#[tokio::test]
async fn what_came_out_is_withheld_once_an_owner_takes_his_yes_back() {
    each_store(async |world| {
        let one = dataset(world, "lab/a", "1").await;
        let two = dataset(world, "zoo/b", "2").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[&one, &two], 1).await;
        world.approve("lab", &run).await.unwrap();
        world.approve("zoo", &run).await.unwrap();
        world.start_next().await;
        let finish = Finish {
            value: Some(json!(4711)),
            usage: Some(Usage::default()),
            ..Finish::because(Reason::Failed {
                exit_code: Some(47),
                signal: None,
            })
        };
        world
            .store
            .run_finish(&run.id, finish, now())
            .await
            .unwrap();
        let seen = world.run(&run).await;
        assert!(!seen.is_withheld && seen.value == Some(json!(4711)));
        let zoo = name("zoo");
        let revoked = world.store.request_revoke(&zoo, &run.request, now()).await;
        assert_eq!(revoked.unwrap().request.state, RequestState::Revoked);
        let seen = world.run(&run).await;
        assert!(seen.is_withheld && seen.viewer_is_caller);
        let code_only = Reason::Failed {
            exit_code: None,
            signal: None,
        };
        assert_eq!(
            (seen.reason, seen.value, seen.usage),
            (Some(code_only.clone()), None, None)
        );
        let page = strongroom_store::Page::first();
        let listed = world
            .store
            .run_list(&name("guest"), None, page)
            .await
            .unwrap();
        assert_eq!(listed.items[0].reason, Some(code_only));
        // The other owner sees what an owner sees.
        let seen = world.store.run_find(&name("lab"), &run.id).await.unwrap();
        assert!(!seen.unwrap().viewer_is_caller);
    })
    .await;
}

#[tokio::test]
async fn it_is_withheld_too_where_the_approval_was_given_to_another_request() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let mean = function(world, "devs/mean", "print(1)").await;
        let first = world.ask(&mean, &[&data], 1).await;
        world.approve("lab", &first).await.unwrap();
        let second = world.ask(&mean, &[&data], 1).await;
        for run in [&first, &second] {
            let claimed = world.start_next().await;
            assert_eq!(claimed.run, run.id);
            let finish = Finish {
                value: Some(json!(1)),
                ..Finish::because(Reason::Succeeded)
            };
            world
                .store
                .run_finish(&run.id, finish, now())
                .await
                .unwrap();
        }
        let lab = name("lab");
        let revoked = world
            .store
            .request_revoke(&lab, &first.request, now())
            .await;
        revoked.unwrap();
        for run in [&first, &second] {
            assert_eq!(world.run(run).await.value, None);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_exposed_is_kept_to_the_byte_before_the_next_stage_begins() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let run = ask(world, &[&data]).await;
        world
            .approve_with("lab", &run, exposing(&run))
            .await
            .unwrap();
        world.start_next().await;
        let store = &world.store;
        let (lab, guest) = (name("lab"), name("guest"));
        let note = |ended, begins| store.run_stage(&run.id, ended, begins, now());
        note(None, begin(Stage::Expose, 0)).await.unwrap();
        assert_eq!(store.run_exposed(&lab, &run.id).await.unwrap(), None);
        let text = r#"{"text":"\u0000\u202eä"}"#;
        note(
            Some(end(Stage::Expose, Some(text))),
            begin(Stage::Download, 3),
        )
        .await
        .unwrap();
        for viewer in [&lab, &guest] {
            let exposed = store.run_exposed(viewer, &run.id).await.unwrap();
            assert_eq!(exposed.as_deref(), Some(text));
        }
        for stranger in ["eve", "zoo", "devs"] {
            let exposed = store.run_exposed(&name(stranger), &run.id).await.unwrap();
            assert_eq!(exposed, None);
        }
        note(
            Some(end(Stage::Download, Some("[1]"))),
            begin(Stage::Transform, 3),
        )
        .await
        .unwrap();
        let finish = Finish {
            stage: Some(end(Stage::Transform, None)),
            ..Finish::because(Reason::Succeeded)
        };
        store.run_finish(&run.id, finish, now()).await.unwrap();
        let stages = world.run(&run).await.stages;
        let named: Vec<_> = stages
            .iter()
            .map(|row| (row.stage, row.log_before))
            .collect();
        assert_eq!(
            named,
            [
                (Stage::Expose, 0),
                (Stage::Download, 3),
                (Stage::Transform, 3)
            ]
        );
        assert_eq!(stages[1].value.unwrap().digest, Digest::of(b"[1]"));
        assert!(
            stages
                .iter()
                .all(|row| row.reason == Some(Reason::Succeeded))
        );
        // What somebody could guess by its digest is the caller's.
        let seen = store.run_find(&lab, &run.id).await.unwrap().unwrap();
        assert!(seen.stages.iter().all(|row| row.value.is_none()));
        let record = store.audit_page(Some(&lab), 0, 200).await.unwrap();
        let exposed: Vec<_> = record
            .iter()
            .filter(|row| row.event.action == "run.expose")
            .collect();
        assert_eq!(exposed.len(), 1);
        assert_eq!(
            exposed[0].event.detail["digest"],
            json!(Digest::of(text.as_bytes()))
        );
        let record = store.audit_page(Some(&guest), 0, 200).await.unwrap();
        assert!(record.iter().all(|row| row.event.action != "run.expose"));
        // The caller sees it no more, and the owners do.
        store
            .request_revoke(&lab, &run.request, now())
            .await
            .unwrap();
        assert_eq!(store.run_exposed(&guest, &run.id).await.unwrap(), None);
        let exposed = store.run_exposed(&lab, &run.id).await.unwrap();
        assert_eq!(exposed.as_deref(), Some(text));
    })
    .await;
}

#[tokio::test]
async fn a_stage_that_a_crash_interrupted_is_over_with_its_run() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let run = ask(world, &[&data]).await;
        world
            .approve_with("lab", &run, exposing(&run))
            .await
            .unwrap();
        world.start_next().await;
        let begun = world
            .store
            .run_stage(&run.id, None, begin(Stage::Expose, 0), now());
        begun.await.unwrap();
        world.store.run_recover(now()).await.unwrap();
        let seen = world.run(&run).await;
        assert_eq!(seen.stages[0].reason, seen.reason);
        assert!(seen.stages[0].ended_ms.is_some());
        // Nothing is written down of a stage that is over.
        let late = world.store.run_stage(
            &run.id,
            Some(end(Stage::Expose, Some("1"))),
            begin(Stage::Download, 0),
            now(),
        );
        is_conflict(late.await, "did not run");
        assert_eq!(world.run(&run).await.stages.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_approval_from_before_there_was_expose_does_not_name_it() {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let run = ask(world, &[&data]).await;
        world
            .approve_with("lab", &run, exposing(&run))
            .await
            .unwrap();
        crate::fixture::sql(&world.url, "UPDATE approval SET expose = NULL").await;
        let standing = world.store.run_standing(&run.id, now()).await.unwrap();
        assert!(!standing.approvals[0].expose);
        assert!(matches!(
            standing.verdicts[&name("lab")],
            Verdict::Approved { .. }
        ));
        let plan = world.claim().await.unwrap().plan;
        let refused = strongroom_core::permit::mint(run.id, &plan, &standing.as_core(), now());
        assert!(refused.unwrap_err().to_string().contains("expose"));
    })
    .await;
}

#[tokio::test]
async fn a_stage_does_not_begin_once_an_owner_forbids_or_takes_back_what_the_one_before_began_under()
 {
    each_store(async |world| {
        let data = dataset(world, "lab/a", "1").await;
        let (lab, store) = (name("lab"), &world.store);
        let all = function(world, "devs/all", ALL_THREE).await;
        let begun = async |n: u32| {
            // An earlier yes of the same plan would answer.
            let mut new = new_run("guest", &all, &[&data], json!({ "n": n }));
            new.expose = Expose::AskOwners;
            let run = world.submit(new).await;
            let new = exposing(&run);
            world.approve_with("lab", &run, new).await.unwrap();
            world.start_next().await;
            let begins = begin(Stage::Expose, 0);
            let noted = store.run_stage(&run.id, None, begins, now()).await;
            noted.unwrap();
            run
        };
        let goes_on = async |run: &RunRow| {
            let ended = Some(end(Stage::Expose, Some("4711")));
            let begins = begin(Stage::Download, 0);
            store.run_stage(&run.id, ended, begins, now()).await
        };
        let is_refused = async |run: &RunRow| {
            let refused = goes_on(run).await;
            assert!(
                matches!(refused, Err(StoreError::Refused { .. })),
                "{refused:?}"
            );
            assert_eq!(store.run_exposed(&lab, &run.id).await.unwrap(), None);
            let finish = Finish::because(Reason::Succeeded);
            store.run_finish(&run.id, finish, now()).await.unwrap();
        };
        let run = begun(1).await;
        goes_on(&run).await.unwrap();
        let finish = Finish::because(Reason::Succeeded);
        store.run_finish(&run.id, finish, now()).await.unwrap();

        let run = begun(2).await;
        let forbid = r#"forbid(principal == User::"guest", action, resource);"#;
        store.rule_put(&lab, forbid, now()).await.unwrap();
        is_refused(&run).await;
        store.rule_delete(&lab, now()).await.unwrap();

        let run = begun(3).await;
        let taken = store.request_revoke(&lab, &run.request, now()).await;
        taken.unwrap();
        is_refused(&run).await;

        let run = begun(4).await;
        store.run_cancel(&run.id, &run.caller, now()).await.unwrap();
        is_refused(&run).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_exposed_is_withheld_from_the_other_owners_once_one_takes_his_yes_back() {
    each_store(async |world| {
        let ours = [
            dataset(world, "lab/a", "1").await,
            dataset(world, "zoo/b", "2").await,
        ];
        let (lab, zoo) = (name("lab"), name("zoo"));
        let run = ask(world, &[&ours[0], &ours[1]]).await;
        for owner in ["lab", "zoo"] {
            let new = exposing(&run);
            world.approve_with(owner, &run, new).await.unwrap();
        }
        world.start_next().await;
        let store = &world.store;
        let note = |ended, begins| store.run_stage(&run.id, ended, begins, now());
        note(None, begin(Stage::Expose, 0)).await.unwrap();
        let ended = Some(end(Stage::Expose, Some("4711")));
        note(ended, begin(Stage::Download, 0)).await.unwrap();
        let finish = Finish::because(Reason::Succeeded);
        store.run_finish(&run.id, finish, now()).await.unwrap();
        let shown = async |who| {
            let exposed = store.run_exposed(who, &run.id).await.unwrap();
            let row = store.run_find(who, &run.id).await.unwrap().unwrap();
            assert_eq!(exposed.is_none(), row.is_withheld);
            exposed.is_some()
        };
        assert!(shown(&lab).await && shown(&zoo).await);
        let forbid = r#"forbid(principal == User::"guest", action, resource);"#;
        store.rule_put(&zoo, forbid, now()).await.unwrap();
        assert!(!shown(&lab).await && shown(&zoo).await);
        store.rule_delete(&zoo, now()).await.unwrap();
        assert!(shown(&lab).await && shown(&zoo).await);
        let taken = store.request_revoke(&lab, &run.request, now()).await;
        taken.unwrap();
        assert!(shown(&lab).await && !shown(&zoo).await);
    })
    .await;
}
