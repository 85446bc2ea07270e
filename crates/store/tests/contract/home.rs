//! Opening and reopening a store.

use std::task::Poll;

use strongroom_core::run::State;
use strongroom_store::{Database, Store, StoreError};

use crate::fixture::{dataset, each_store, function, name, now, sql};

#[tokio::test]
async fn what_was_acknowledged_is_there_when_the_store_is_opened_again() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let data = dataset(world, "lab/a", "1").await;
        let run = world.ask(&mean, &[&data], 1).await;
        let events = world.store.audit_verify().await.unwrap();
        // The same database from another home: the files are not what is tried.
        let home = tempfile::tempdir().unwrap();
        let identity = "identity";
        std::fs::copy(world.home.path().join(identity), home.path().join(identity)).unwrap();
        if let Database::Sqlite = world.database {
            // Without closing: as after a kill, the log beside the file is not merged yet.
            for file in ["strongroom.db", "strongroom.db-wal"] {
                std::fs::copy(world.home.path().join(file), home.path().join(file)).unwrap();
            }
        }
        let again = Store::open(home.path(), world.database.clone())
            .await
            .unwrap();
        let found = again
            .run_find(&name("guest"), &run.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((found.state, found.plan), (State::Waiting, run.plan));
        assert_eq!(
            again
                .dataset_tree(&data.version)
                .await
                .unwrap()
                .file_count(),
            1
        );
        assert_eq!(again.audit_verify().await.unwrap(), events);
        again.close().await;
    })
    .await;
}

#[tokio::test]
async fn two_stations_cannot_share_a_home() {
    each_store(async |world| {
        let second = Store::open(world.home.path(), world.database.clone()).await;
        assert!(
            matches!(second, Err(StoreError::InUse { .. })),
            "{second:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_database_belongs_to_one_home() {
    each_store(async |world| {
        let home = tempfile::tempdir().unwrap();
        if let Database::Sqlite = world.database {
            world.store.close().await;
            let file = "strongroom.db";
            std::fs::copy(world.home.path().join(file), home.path().join(file)).unwrap();
        }
        let other = Store::open(home.path(), world.database.clone()).await;
        assert!(
            matches!(other, Err(StoreError::OtherHome { .. })),
            "{other:?}"
        );
        // A second try is refused as well, and the first home still has it.
        let other = Store::open(home.path(), world.database.clone()).await;
        assert!(matches!(other, Err(StoreError::OtherHome { .. })));
    })
    .await;
}

#[tokio::test]
async fn nobody_else_reads_what_is_in_a_home_that_others_may_enter() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let store = Store::open(home.path(), Database::Sqlite).await.unwrap();
    store
        .user_add(&name("admin"), &name("lab"), false, now())
        .await
        .unwrap();
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    each_store(async |world| {
        sql(
            &world.url,
            "INSERT INTO schema_version (version) VALUES (1000)",
        )
        .await;
        let home = tempfile::tempdir().unwrap();
        if let Database::Sqlite = world.database {
            world.store.close().await;
            let file = "strongroom.db";
            std::fs::copy(world.home.path().join(file), home.path().join(file)).unwrap();
        }
        let newer = Store::open(home.path(), world.database.clone()).await;
        let known = matches!(newer, Err(StoreError::Newer { found: 1000, .. }));
        assert!(known, "{newer:?}");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_breaks_the_laws_is_named_and_never_guessed_at() {
    each_store(async |world| {
        let mean = function(world, "devs/mean", "print(1)").await;
        let run = world.ask(&mean, &[], 1).await;
        for text in [
            "UPDATE run SET state = 'flying'",
            "UPDATE run SET state = 'queued', reason = '{\"code\":\"bored\"}'",
            "UPDATE run SET reason = NULL, plan = (SELECT MAX(digest) FROM plan), kind = '{}'",
        ] {
            sql(&world.url, text).await;
            let found = world.store.run_find(&name("guest"), &run.id).await;
            assert!(
                matches!(found, Err(StoreError::Corrupt { .. })),
                "{text}: {found:?}"
            );
        }
        // And the rest of the store works.
        world
            .store
            .user_add(&name("admin"), &name("new"), false, now())
            .await
            .unwrap();
    })
    .await;
}

/// Drops a future when it has been polled this often, if it is not done by then.
async fn cut_off(future: impl Future, polls: usize) {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        let done = future.as_mut().poll(context).is_ready();
        if done || left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_any_more_is_undone_or_done_whole() {
    each_store(async |world| {
        let before = world.store.audit_verify().await.unwrap();
        for n in 0..40 {
            let user = name(&format!("user-{n}"));
            let admin = name("admin");
            let adding = world.store.user_add(&admin, &user, false, now());
            cut_off(adding, n).await;
        }
        let events = world.store.audit_verify().await.unwrap() - before;
        let mut added = 0;
        for n in 0..40 {
            let user = name(&format!("user-{n}"));
            added += u64::from(world.store.user_exists(&user).await.unwrap());
        }
        assert_eq!(added, events);
        world
            .store
            .user_add(&name("admin"), &name("new"), false, now())
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_home_may_have_any_name() {
    let above = tempfile::tempdir().unwrap();
    let home = above.path().join("a b?c#d%20e\"ä");
    let store = Store::open(&home, Database::Sqlite).await.unwrap();
    store
        .user_add(&name("admin"), &name("lab"), false, now())
        .await
        .unwrap();
    assert!(home.join("strongroom.db").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&home.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}
