//! Users, their tokens, and the files that each has brought.

use strongroom_core::digest::Digest;
use strongroom_store::{NewToken, Page, StoreError};

use crate::fixture::{World, each_store, is_conflict, is_not_found, name, now, token_id};

#[tokio::test]
async fn a_user_is_added_once_and_no_user_is_the_station() {
    each_store(async |world| {
        let (admin, store) = (name("admin"), &world.store);
        assert!(!store.user_exists(&name("new")).await.unwrap());
        store
            .user_add(&admin, &name("new"), true, now())
            .await
            .unwrap();
        assert!(store.user_exists(&name("new")).await.unwrap());
        is_conflict(
            store.user_add(&admin, &name("new"), false, now()).await,
            "already",
        );
        is_conflict(
            store.user_add(&admin, &name("station"), false, now()).await,
            "own",
        );
    })
    .await;
}

#[tokio::test]
async fn a_list_in_pages_has_everybody_once_and_in_order() {
    each_store(async |world| {
        let mut names = Vec::new();
        let mut page = Page {
            after: None,
            limit: 2,
        };
        loop {
            let found = world.store.user_list(page.clone()).await.unwrap();
            assert!(found.items.len() <= 2);
            names.extend(found.items.iter().map(|user| user.name.to_string()));
            match found.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(names, ["devs", "eve", "guest", "lab", "zoo"]);
    })
    .await;
}

fn token(user: &str, secret: &str, until_ms: Option<i64>) -> NewToken {
    NewToken {
        id: token_id(),
        user: name(user),
        label: "for\0 tests".to_owned(),
        secret_hash: Digest::of(secret.as_bytes()),
        until_ms,
    }
}

async fn speaks_for(world: &World, secret: &str, at_ms: i64) -> Option<String> {
    let hash = Digest::of(secret.as_bytes());
    let session = world.store.token_find(&hash, at_ms).await.unwrap();
    session.map(|session| session.user.to_string())
}

#[tokio::test]
async fn a_token_speaks_for_its_user_until_it_ends_or_is_revoked() {
    each_store(async |world| {
        let (store, guest) = (&world.store, name("guest"));
        let until_ms = now() + 1_000_000;
        let new = token("guest", "one", Some(until_ms));
        let id = new.id.clone();
        store.token_add(&guest, new, now()).await.unwrap();
        assert_eq!(
            speaks_for(world, "one", until_ms - 1).await.as_deref(),
            Some("guest")
        );
        assert_eq!(speaks_for(world, "one", until_ms).await, None);
        assert_eq!(speaks_for(world, "two", now()).await, None);
        is_not_found(
            store
                .token_revoke(&name("eve"), Some(&name("eve")), &id, now())
                .await,
        );
        store
            .token_revoke(&guest, Some(&guest), &id, now())
            .await
            .unwrap();
        assert_eq!(speaks_for(world, "one", now()).await, None);
        is_not_found(store.token_revoke(&guest, Some(&guest), &id, now()).await);
        let listed = store.token_list(&guest).await.unwrap();
        assert_eq!((listed.len(), listed[0].revoked), (1, true));
        assert_eq!(listed[0].label, "for\u{fffd} tests");
    })
    .await;
}

#[tokio::test]
async fn an_admin_revokes_any_token_and_nobody_has_one_without_being_a_user() {
    each_store(async |world| {
        let (store, admin) = (&world.store, name("admin"));
        let new = token("guest", "one", None);
        let id = new.id.clone();
        store.token_add(&admin, new, now()).await.unwrap();
        store.token_revoke(&admin, None, &id, now()).await.unwrap();
        assert_eq!(speaks_for(world, "one", now()).await, None);
        is_not_found(
            store
                .token_add(&admin, token("nobody", "x", None), now())
                .await,
        );
        is_not_found(store.token_revoke(&admin, None, &token_id(), now()).await);
    })
    .await;
}

#[tokio::test]
async fn a_file_is_missing_for_whoever_has_not_brought_it_himself() {
    each_store(async |world| {
        let store = &world.store;
        let digests: Vec<Digest> = (0..100u8).map(|n| Digest::of(&[n])).collect();
        for digest in &digests[..70] {
            store.blob_claim(&name("lab"), digest, 1).await.unwrap();
            store.blob_claim(&name("lab"), digest, 1).await.unwrap();
        }
        let missing = store.blobs_missing(&name("lab"), &digests).await.unwrap();
        assert_eq!(missing, digests[70..]);
        let missing = store.blobs_missing(&name("eve"), &digests).await.unwrap();
        assert_eq!(missing, digests);
        assert_eq!(store.blobs_missing(&name("eve"), &[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn tokens_are_bounded_and_the_bound_is_an_error_that_says_so() {
    each_store(async |world| {
        let values: Vec<String> = (0..1000)
            .map(|n| format!("('tok-{n}', 'guest', '', 'hash-{n}', 0, NULL, 0)"))
            .collect();
        let text = format!("INSERT INTO token VALUES {}", values.join(","));
        crate::fixture::sql(&world.url, &text).await;
        let one_more = world
            .store
            .token_add(&name("guest"), token("guest", "x", None), now())
            .await;
        assert!(
            matches!(one_more, Err(StoreError::TooMany { max: 1000, .. })),
            "{one_more:?}"
        );
    })
    .await;
}
