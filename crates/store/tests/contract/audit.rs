//! The audit record: one event for each change, and no edit unseen.

use strongroom_core::run::Reason;
use strongroom_store::{Finish, StoreError};

use crate::fixture::{World, dataset, each_store, function, name, now, sql};

/// The whole walk of one run.
async fn walk(world: &World) {
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
    world
        .store
        .request_revoke(&name("lab"), &run.request, now())
        .await
        .unwrap();
}

async fn actions(world: &World, viewer: Option<&str>, after_seq: i64) -> Vec<String> {
    let viewer = viewer.map(name);
    let rows = world
        .store
        .audit_page(viewer.as_ref(), after_seq, 200)
        .await
        .unwrap();
    rows.into_iter()
        .map(|row| format!("{} {}", row.event.actor, row.event.action))
        .collect()
}

#[tokio::test]
async fn every_change_is_in_the_record_and_only_for_those_whom_it_concerns() {
    each_store(async |world| {
        walk(world).await;
        let run = [
            "guest run.submit",
            "lab request.approve",
            "station run.claim",
        ];
        let end = [
            "station run.start",
            "station run.finish",
            "lab request.revoke",
        ];
        let all = actions(world, None, 5).await;
        let push = ["devs function.push", "lab dataset.push"];
        assert_eq!(all, [&push[..], &run[..], &end[..]].concat());
        let of_guest = actions(world, Some("guest"), 5).await;
        assert_eq!(of_guest, [&run[..], &end[..]].concat());
        let of_lab = actions(world, Some("lab"), 5).await;
        assert_eq!(of_lab, [&push[1..], &run[..2], &end[..]].concat());
        assert_eq!(actions(world, Some("devs"), 5).await, &push[..1]);
        assert!(actions(world, Some("zoo"), 5).await.is_empty());
        assert_eq!(world.store.audit_verify().await.unwrap(), 13);
    })
    .await;
}

#[tokio::test]
async fn what_failed_is_not_in_the_record() {
    each_store(async |world| {
        let before = world.store.audit_verify().await.unwrap();
        world
            .store
            .user_add(&name("admin"), &name("lab"), false, now())
            .await
            .unwrap_err();
        assert_eq!(world.store.audit_verify().await.unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn an_edited_record_does_not_pass() {
    each_store(async |world| {
        walk(world).await;
        let edits = [
            ("UPDATE audit SET actor = 'eve' WHERE seq = 4", 4),
            ("UPDATE audit SET detail = '{}' WHERE seq = 3", 3),
            ("UPDATE audit SET detail = 'not json' WHERE seq = 2", 2),
        ];
        for (text, seq) in edits {
            assert_eq!(sql(&world.url, text).await, 1);
            let found = world.store.audit_verify().await;
            assert!(
                matches!(found, Err(StoreError::AuditBroken { seq: at }) if at == seq),
                "{found:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_cannot_be_taken_out_of_the_record() {
    each_store(async |world| {
        walk(world).await;
        sql(&world.url, "DELETE FROM audit_party WHERE seq = 6").await;
        sql(&world.url, "DELETE FROM audit WHERE seq = 6").await;
        let found = world.store.audit_verify().await;
        assert!(
            matches!(found, Err(StoreError::AuditBroken { seq: 6 })),
            "{found:?}"
        );
    })
    .await;
}
