//! What versions say of themselves, where they come from, and their names.

use std::collections::BTreeSet;

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    id::RunId,
    json::canonical,
    plan::InputVersion,
    run::{Reason, State},
    statistics::Profile,
    version::{Change, Changes, MadeBy, Meta, Says},
};
use strongroom_store::{DatasetVersionRow, InUse, NewVersion, StoreError};

use crate::fixture::{
    World, dataset, each_store, function, is_conflict, is_not_found, name, new_run, now, object,
    tree,
};

fn titled(title: &str) -> Changes {
    Changes {
        meta: Change::Set(Meta {
            title: title.to_owned(),
            ..Meta::default()
        }),
        ..Changes::default()
    }
}

fn derived_from(inputs: &[&InputVersion]) -> BTreeSet<InputVersion> {
    inputs.iter().map(|input| (*input).clone()).collect()
}

/// Pushes this content after whatever is the newest.
async fn push(world: &World, full: &str, content: &str, changes: Changes) -> DatasetVersionRow {
    let full = object(full);
    let tree = tree(world, Some(full.owner.as_str()), &[("data.csv", content)]).await;
    let before = world.store.dataset_find(&full).await.unwrap();
    let before = before.map(|found| found.newest);
    let said = match &before {
        Some(row) => world.store.dataset_says(row).await.unwrap(),
        None => Says::default(),
    };
    let after = before.map(|row| row.version);
    let new = NewVersion {
        tree,
        message: "a message".to_owned(),
        after,
        takes_from: after.filter(|_| changes.keeps(&said)),
        says: changes.over(&said),
    };
    let added = world
        .store
        .dataset_add(&full.owner, &full, new, now())
        .await;
    added.unwrap().unwrap()
}

#[tokio::test]
async fn what_a_version_says_is_under_its_digest_and_stays_until_it_is_changed() {
    each_store(async |world| {
        let first = push(world, "lab/a", "1", titled("Penguins")).await;
        let second = push(world, "lab/a", "2", Changes::default()).await;
        let third = push(world, "lab/a", "2", titled("Gulls")).await;
        let same = push(world, "lab/a", "2", titled("Gulls")).await;
        let dropped = Changes {
            meta: Change::Drop,
            ..Changes::default()
        };
        let fourth = push(world, "lab/a", "2", dropped).await;
        assert!(same.unchanged && same.version == third.version);
        assert_eq!(fourth.number, 4);
        let mut titles = Vec::new();
        for row in [&first, &second, &third, &fourth] {
            let says = world.store.dataset_says(row).await.unwrap();
            titles.push(says.meta.map(|meta| meta.title).unwrap_or_default());
        }
        assert_eq!(titles, ["Penguins", "Penguins", "Gulls", ""]);
        assert_eq!(fourth.says, None);
        let named = Changes {
            title: "a title".to_owned(),
            ..Changes::default()
        };
        let fifth = push(world, "lab/a", "3", named).await;
        let found = world.store.dataset_find(&object("lab/a")).await.unwrap();
        assert_eq!(found.unwrap().newest, fifth);
        assert_eq!(fifth.title, "a title");
    })
    .await;
}

#[tokio::test]
async fn a_version_that_says_nothing_has_the_digest_that_it_always_had() {
    each_store(async |world| {
        let row = push(world, "lab/a", "1", Changes::default()).await;
        let content = json!({ "parent": null, "tree": row.tree, "message": "a message",
            "author": "lab", "at_ms": row.at_ms });
        assert_eq!(row.version, Digest::of(canonical(&content).as_bytes()));
    })
    .await;
}

#[tokio::test]
async fn a_version_goes_after_the_one_that_its_maker_has_seen_or_not_at_all() {
    each_store(async |world| {
        let first = push(world, "lab/a", "1", Changes::default()).await;
        push(world, "lab/a", "2", Changes::default()).await;
        let new = NewVersion {
            tree: tree(world, Some("lab"), &[("data.csv", "3")]).await,
            says: Says::default(),
            message: String::new(),
            after: Some(first.version),
            takes_from: None,
        };
        let (lab, full) = (name("lab"), object("lab/a"));
        let added = world.store.dataset_add(&lab, &full, new, now()).await;
        assert_eq!(added.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_derived_version_names_the_originals_behind_it_whatever_came_between() {
    each_store(async |world| {
        let store = &world.store;
        let (one, two) = (
            dataset(world, "lab/a", "1").await,
            dataset(world, "zoo/b", "2").await,
        );
        let between = Changes {
            derived_from: store.dataset_origins([&one, &two]).await.unwrap(),
            ..titled("computed")
        };
        assert_eq!(between.derived_from, derived_from(&[&one, &two]));
        let row = push(world, "guest/c", "3", between).await;
        let between = InputVersion {
            dataset: row.dataset.clone(),
            version: row.version,
        };
        let behind = store.dataset_origins([&between]).await.unwrap();
        assert_eq!(behind, derived_from(&[&one, &two]));
        // Files are new, and the meta is still what was computed from theirs.
        let kept = push(world, "guest/c", "4", Changes::default()).await;
        let says = store.dataset_says(&kept).await.unwrap();
        assert_eq!(says.derived_from, derived_from(&[&one, &two]));
        let dropped = Changes {
            meta: Change::Drop,
            ..Changes::default()
        };
        let own = push(world, "guest/c", "5", dropped).await;
        let own = InputVersion {
            dataset: own.dataset,
            version: own.version,
        };
        let behind = store.dataset_origins([&own]).await.unwrap();
        assert_eq!(behind, derived_from(&[&own]));
        // Each owner of an original is told.
        let told = store.audit_page(Some(&name("zoo")), 0, 200).await.unwrap();
        let told = told.iter().filter(|row| row.event.subject == "guest/c");
        assert_eq!(told.count(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_a_run_left_is_saved_for_its_caller_though_he_never_brought_it() {
    each_store(async |world| {
        let files = tree(world, None, &[("out.csv", "9")]).await;
        let made_by = MadeBy {
            run: RunId::new(now(), [7; 10]),
            function: Some(object("devs/mean")),
            function_version: Digest::of(b"mean"),
        };
        let new = NewVersion {
            tree: files,
            says: Says {
                made_by: Some(made_by.clone()),
                ..Says::default()
            },
            message: String::new(),
            after: None,
            takes_from: None,
        };
        let (lab, full, eve) = (name("lab"), object("lab/made"), name("eve"));
        let stolen = world.store.dataset_save(&eve, &full, new.clone(), now());
        is_not_found(stolen.await);
        let refused = world.store.dataset_add(&lab, &full, new.clone(), now());
        let refused = refused.await;
        assert!(matches!(refused, Err(StoreError::BlobMissing { .. })));
        let saved = world.store.dataset_save(&lab, &full, new, now()).await;
        let saved = saved.unwrap().unwrap();
        let says = world.store.dataset_says(&saved).await.unwrap();
        assert_eq!(says.made_by, Some(made_by));
    })
    .await;
}

#[tokio::test]
async fn an_earlier_version_comes_back_as_the_newest_with_all_it_said() {
    each_store(async |world| {
        let store = &world.store;
        let first = push(world, "lab/a", "1", titled("Penguins")).await;
        push(world, "lab/a", "2", titled("Gulls")).await;
        let lab = name("lab");
        let back = "lab/a~1".parse().unwrap();
        let restored = store.dataset_restore(&lab, &back, "back", now()).await;
        let restored = restored.unwrap();
        assert_eq!((restored.number, restored.tree), (3, first.tree));
        assert_eq!(restored.says, first.says);
        let newest = "lab/a".parse().unwrap();
        let again = store.dataset_restore(&lab, &newest, "", now()).await;
        assert!(again.unwrap().unchanged);
        is_not_found(store.dataset_restore(&name("eve"), &back, "", now()).await);
        let none = "lab/a~9".parse().unwrap();
        is_not_found(store.dataset_restore(&lab, &none, "", now()).await);
    })
    .await;
}

#[tokio::test]
async fn a_name_changes_with_all_versions_unless_it_is_taken_or_asked_for() {
    each_store(async |world| {
        let (store, lab) = (&world.store, name("lab"));
        let one = push(world, "lab/a", "1", Changes::default()).await;
        push(world, "lab/taken", "2", Changes::default()).await;
        let from = object("lab/a");
        let rename = async |to| store.dataset_rename(&lab, &from, &name(to), now()).await;
        is_conflict(rename("taken").await, "there is lab/taken already");
        is_conflict(rename("a").await, "already");
        is_not_found(
            store
                .dataset_rename(&name("eve"), &from, &name("b"), now())
                .await,
        );
        let input = InputVersion {
            dataset: from.clone(),
            version: one.version,
        };
        let mean = function(world, "devs/mean", "print()").await;
        let asked = world.ask(&mean, &[&input], 1).await;
        is_conflict(rename("b").await, "1 request");
        store
            .run_cancel(&asked.id, &name("guest"), now())
            .await
            .unwrap();
        rename("b").await.unwrap();
        let found = store.dataset_find(&object("lab/b")).await.unwrap().unwrap();
        assert_eq!(found.newest.version, one.version);
        assert!(store.dataset_find(&from).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_dataset_goes_only_when_nothing_needs_it_or_it_is_forced_to() {
    each_store(async |world| {
        let (store, lab) = (&world.store, name("lab"));
        let full = object("lab/a");
        let input = dataset(world, "lab/a", "1").await;
        let remove = async |in_use| store.dataset_remove(&lab, &full, in_use, now()).await;
        let derived = Changes {
            derived_from: derived_from(&[&input]),
            ..Changes::default()
        };
        push(world, "lab/own", "2", derived.clone()).await;
        push(world, "guest/other", "3", derived).await;
        let mean = function(world, "devs/mean", "print()").await;
        let waits = world.ask(&mean, &[&input], 1).await;
        let runs = world
            .submit(new_run("lab", &mean, &[&input], json!({ "n": 2 })))
            .await;
        world.start_next().await;
        let refused = remove(InUse::Stays).await;
        is_conflict(
            refused,
            "2 requests that have not ended; lab/own, derived from it; 1 datasets",
        );
        is_not_found(
            store
                .dataset_remove(&name("eve"), &full, InUse::Removed, now())
                .await,
        );
        let removed = remove(InUse::Removed).await.unwrap();
        assert_eq!(removed.requests.len(), 2);
        assert_eq!(removed.runs_to_kill, std::slice::from_ref(&runs.id));
        assert!(store.dataset_find(&full).await.unwrap().is_none());
        let waits = world.run(&waits).await;
        assert_eq!(waits.state, State::Ended);
        assert_eq!(waits.reason, Some(Reason::Cancelled { by: lab.clone() }));
        is_not_found(remove(InUse::Removed).await);
        // What was derived from it keeps its labels.
        let own = store
            .dataset_find(&object("lab/own"))
            .await
            .unwrap()
            .unwrap();
        let own = InputVersion {
            dataset: own.name,
            version: own.newest.version,
        };
        let behind = store.dataset_origins([&own]).await.unwrap();
        assert_eq!(behind, derived_from(&[&input]));
        let events = store.audit_page(Some(&lab), 0, 200).await.unwrap();
        let last = events
            .iter()
            .rfind(|row| row.event.action == "dataset.remove");
        assert_eq!(last.unwrap().event.detail["forced"], true);
        // The name is free, and begins anew.
        let again = push(world, "lab/a", "1", Changes::default()).await;
        assert_eq!(again.number, 1);
    })
    .await;
}

#[tokio::test]
async fn what_was_found_in_a_body_is_kept_for_each_way_of_reading_it() {
    each_store(async |world| {
        let (store, body, reading) = (&world.store, Digest::of(b"b"), Digest::of(b"r"));
        let found = |why: &str| Profile::NoTable {
            why: why.to_owned(),
        };
        assert_eq!(store.profile_find(&body, &reading).await.unwrap(), None);
        store
            .profile_keep(&body, &reading, &found("one\0"))
            .await
            .unwrap();
        store
            .profile_keep(&body, &reading, &found("two"))
            .await
            .unwrap();
        let kept = store.profile_find(&body, &reading).await.unwrap();
        assert_eq!(kept, Some(found("one\0")));
        let other = store.profile_find(&body, &body).await.unwrap();
        assert_eq!(other, None);
    })
    .await;
}
