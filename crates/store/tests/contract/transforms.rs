//! Versions that runs make: once, after what they read, and not any more once
//! an owner takes his yes back.

use strongroom_core::{
    digest::Digest,
    run::{Reason, State},
    transform::{Mode, Outcome},
    version::{MadeBy, Says},
};
use strongroom_store::{Finish, NewTransform, RunRow, StoreError};

use crate::fixture::{
    World, dataset, each_store, function, is_conflict, is_not_found, name, new_run, now, object,
    tree,
};

/// Asks for a run of `lab`'s that is to make the version after the newest of
/// `lab/d`, and that reads data of `zoo`'s, who agrees.
async fn asked(world: &World, mode: Mode) -> RunRow {
    let function = function(world, "lab/f", "print(1)").await;
    let full = object("lab/d");
    let before = world.store.dataset_find(&full).await.unwrap();
    let other = dataset(world, "zoo/d", "zebras").await;
    let mut new = new_run("lab", &function, &[&other], serde_json::json!({}));
    new.transform = Some(NewTransform {
        dataset: full,
        parent: before.map(|found| found.newest.version),
        mode,
        title: "a title".to_owned(),
        message: "a message".to_owned(),
    });
    let run = world.submit(new).await;
    // What was asked before is approved already.
    if run.state == State::Waiting {
        world.approve("zoo", &run).await.unwrap();
    }
    run
}

/// The same, once it has ended well.
async fn ran(world: &World, mode: Mode) -> RunRow {
    let run = asked(world, mode).await;
    assert_eq!(world.start_next().await.run, run.id);
    let finish = Finish::because(Reason::Succeeded);
    let finished = world.store.run_finish(&run.id, finish, now()).await;
    finished.unwrap()
}

async fn save(world: &World, run: &RunRow, content: &str) -> Result<Outcome, StoreError> {
    let tree = tree(world, Some("lab"), &[("data.csv", content)]).await;
    let saved = world
        .store
        .transform_save(&run.id, (tree, Says::default(), true), now());
    saved.await
}

async fn versions(world: &World) -> u64 {
    let found = world.store.dataset_find(&object("lab/d")).await.unwrap();
    found.map_or(0, |found| found.version_count)
}

#[track_caller]
fn not_saved(outcome: Outcome, wanted: &str) {
    match outcome {
        Outcome::NotSaved { code, .. } => assert_eq!(code, wanted),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_run_made_is_saved_once_and_what_came_of_it_stays() {
    each_store(async |world| {
        let run = ran(world, Mode::Save).await;
        let open = world.store.transforms_open().await.unwrap();
        assert_eq!(open, std::slice::from_ref(&run.id));
        let saved = save(world, &run, "1").await.unwrap();
        let found = world.store.dataset_find(&object("lab/d")).await.unwrap();
        let newest = found.unwrap().newest;
        let version = newest.version;
        assert_eq!(saved, Outcome::Saved { version });
        assert_eq!(
            (newest.title.as_str(), newest.message.as_str()),
            ("a title", "a message")
        );
        assert_eq!(save(world, &run, "2").await.unwrap(), saved);
        let ended = world
            .store
            .transform_end(&run.id, Outcome::Unchanged, now())
            .await;
        assert_eq!(ended.unwrap(), saved);
        assert_eq!(versions(world).await, 1);
        assert!(world.store.transforms_open().await.unwrap().is_empty());
        let again = ran(world, Mode::Save).await;
        assert_eq!(save(world, &again, "1").await.unwrap(), Outcome::Unchanged);
        assert_eq!(versions(world).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_version_that_another_came_before_is_not_saved() {
    each_store(async |world| {
        let run = ran(world, Mode::Save).await;
        dataset(world, "lab/d", "pushed").await;
        not_saved(save(world, &run, "1").await.unwrap(), "conflict");
        let run = ran(world, Mode::Save).await;
        let (from, to) = (object("lab/d"), name("elsewhere"));
        let renamed = world
            .store
            .dataset_rename(&name("lab"), &from, &to, now())
            .await;
        renamed.unwrap();
        not_saved(save(world, &run, "1").await.unwrap(), "conflict");
        assert_eq!(versions(world).await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_an_owner_took_his_yes_back_for_is_not_saved() {
    each_store(async |world| {
        let run = ran(world, Mode::Save).await;
        let revoked = world
            .store
            .request_revoke(&name("zoo"), &run.request, now())
            .await;
        revoked.unwrap();
        not_saved(save(world, &run, "1").await.unwrap(), "withheld");
        assert_eq!(versions(world).await, 0);
    })
    .await;
}

/// What `run` would say of a version that it makes of data of `zoo`'s.
fn made_by(run: &RunRow) -> Says {
    Says {
        made_by: Some(MadeBy {
            run: run.id.clone(),
            function: None,
            function_version: Digest::of(b"f"),
        }),
        derived_from: run.labels.clone(),
        ..Says::default()
    }
}

#[tokio::test]
async fn what_is_withheld_is_saved_by_no_run_that_was_made_after_it() {
    each_store(async |world| {
        let store = &world.store;
        let first = ran(world, Mode::Save).await;
        let files = tree(world, None, &[("data.csv", "1")]).await;
        let laid = async |run: &RunRow| {
            let made = (files.clone(), made_by(run), true);
            store.transform_save(&run.id, made, now()).await.unwrap()
        };
        assert!(matches!(laid(&first).await, Outcome::Saved { .. }));
        let zoo = name("zoo");
        let revoke = async |run: &RunRow| {
            let revoked = store.request_revoke(&zoo, &run.request, now()).await;
            revoked.unwrap()
        };
        revoke(&first).await;
        let second = ran(world, Mode::Save).await;
        not_saved(laid(&second).await, "withheld");
        assert_eq!(versions(world).await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_run_took_over_is_withheld_with_the_run_that_made_it() {
    each_store(async |world| {
        let (store, zoo) = (&world.store, name("zoo"));
        let mut saved = Vec::new();
        for (content, keeps) in [("1", true), ("2", true), ("3", false)] {
            // Of a version of its own, which is approved for it alone.
            dataset(world, "zoo/d", content).await;
            let run = ran(world, Mode::Save).await;
            let files = tree(world, None, &[("data.csv", content)]).await;
            let made = (files, made_by(&run), keeps);
            store.transform_save(&run.id, made, now()).await.unwrap();
            let found = store.dataset_find(&object("lab/d")).await.unwrap();
            saved.push((run, found.unwrap().newest));
        }
        assert_eq!(versions(world).await, 3);
        let revoked = store.request_revoke(&zoo, &saved[0].0.request, now()).await;
        revoked.unwrap();
        for ((_, version), withheld) in saved.iter().zip([true, true, false]) {
            assert_eq!(store.dataset_withheld(version).await.unwrap(), withheld);
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_that_did_not_succeed_or_only_shows_saves_nothing() {
    each_store(async |world| {
        let run = asked(world, Mode::Save).await;
        is_conflict(save(world, &run, "1").await, "made nothing");
        assert_eq!(world.start_next().await.run, run.id);
        is_conflict(save(world, &run, "1").await, "made nothing");
        let reason = Reason::TimedOut { limit_ms: 1 };
        let finish = Finish::because(reason);
        world
            .store
            .run_finish(&run.id, finish, now())
            .await
            .unwrap();
        is_conflict(save(world, &run, "1").await, "made nothing");
        let applied = ran(world, Mode::Apply).await;
        is_conflict(save(world, &applied, "1").await, "made nothing");
        let ended = world.store.transforms_ended(None).await.unwrap();
        assert_eq!(ended, [run.id], "what only shows is never open");
        let plain = function(world, "lab/g", "print(2)").await;
        let plain = world.ask(&plain, &[], 1).await;
        is_not_found(save(world, &plain, "1").await);
        assert_eq!(versions(world).await, 0);
    })
    .await;
}
