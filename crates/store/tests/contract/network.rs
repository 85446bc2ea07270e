//! What runs asked of the network, users' secrets, and steps among lines.

use serde_json::json;
use strongroom_core::{
    network::made::{Outcome, RequestMade},
    run::Stream,
};
use strongroom_store::{LogLine, RunRow, SECRETS_OF_USER_MAX, StoreError};

use crate::fixture::{World, each_store, function, is_not_found, name, new_run, now, sql};

fn made(number: u32, outcome: Outcome) -> RequestMade {
    RequestMade {
        number,
        at_ms: 5,
        method: "GET".to_owned(),
        url: format!("http://a.org/{number}"),
        outcome,
        status: None,
        sent_bytes: 0,
        body: None,
        received_bytes: 0,
        digest: None,
        duration_ms: 0,
        kept: None,
    }
}

async fn run(world: &World) -> RunRow {
    let fetch = function(world, "devs/fetch", "print(1)").await;
    world.submit(new_run("guest", &fetch, &[], json!({}))).await
}

#[tokio::test]
async fn a_request_is_kept_as_it_begins_and_again_as_it_ends() {
    each_store(async |world| {
        let (store, one, other) = (&world.store, run(world).await, run(world).await);
        let begun: Vec<_> = (1..=3).map(|n| made(n, Outcome::Begun)).collect();
        store.requests_made_note(&one.id, &begun).await.unwrap();
        // Twice is once, and the later word counts.
        let ends = [made(2, Outcome::Answered), made(2, Outcome::Answered)];
        store.requests_made_note(&one.id, &ends).await.unwrap();
        let failed = Outcome::Failed {
            code: "tls".to_owned(),
            why: "\u{202e}x\0".to_owned(),
        };
        let last = [made(3, failed.clone())];
        store.requests_made_note(&one.id, &last).await.unwrap();
        let found = store.requests_made(&one.id, 0, 100).await.unwrap();
        let outcomes: Vec<_> = found.iter().map(|made| made.outcome.clone()).collect();
        assert_eq!(outcomes, [Outcome::Begun, Outcome::Answered, failed]);
        let page = store.requests_made(&one.id, 1, 1).await.unwrap();
        assert_eq!((page.len(), page[0].number), (1, 2));
        assert_eq!(store.requests_made(&other.id, 0, 100).await.unwrap(), []);
        // What no run asked is nobody's.
        let unknown = new_run(
            "guest",
            &function(world, "devs/x", "").await,
            &[],
            json!({}),
        )
        .run;
        let noted = store.requests_made_note(&unknown, &begun).await;
        assert!(noted.is_err(), "{noted:?}");
        let url = &world.url;
        sql(
            url,
            "UPDATE request_made SET content = '{}' WHERE number = 2",
        )
        .await;
        let broken = store.requests_made(&one.id, 0, 100).await;
        assert!(
            matches!(broken, Err(StoreError::Corrupt { .. })),
            "{broken:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn secrets_are_replaced_listed_by_name_and_removed_by_their_owner_alone() {
    each_store(async |world| {
        let (store, lab, eve) = (&world.store, name("lab"), name("eve"));
        let key = "api_key".parse().unwrap();
        for sealed in ["one", "two"] {
            store.secret_put(&lab, &key, sealed, now()).await.unwrap();
        }
        let found = store.secret_get(&lab, &key).await.unwrap();
        assert_eq!(found.as_deref(), Some("two"));
        assert_eq!(store.secret_get(&eve, &key).await.unwrap(), None);
        is_not_found(store.secret_remove(&eve, &key, now()).await);
        let listed = store.secret_list(&lab).await.unwrap();
        assert_eq!((listed.len(), listed[0].name.as_str()), (1, "api_key"));
        assert_eq!(store.secret_list(&eve).await.unwrap(), []);
        // The record says that it was set, and neither what nor how it is sealed.
        let record = store.audit_page(Some(&lab), 0, 200).await.unwrap();
        let set = record.iter().filter(|row| row.event.action == "secret.set");
        assert!(set.clone().count() == 2 && set.clone().all(|row| row.event.detail == json!({})));
        store.secret_remove(&lab, &key, now()).await.unwrap();
        assert_eq!(store.secret_get(&lab, &key).await.unwrap(), None);
        is_not_found(store.secret_remove(&lab, &key, now()).await);
    })
    .await;
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_secrets() {
    each_store(async |world| {
        let (store, lab) = (&world.store, name("lab"));
        for number in 0..SECRETS_OF_USER_MAX {
            let key = format!("k{number}").parse().unwrap();
            store.secret_put(&lab, &key, "x", now()).await.unwrap();
        }
        let one_more = "more".parse().unwrap();
        let refused = store.secret_put(&lab, &one_more, "x", now()).await;
        assert!(
            matches!(refused, Err(StoreError::TooMany { .. })),
            "{refused:?}"
        );
        // Those that are there can be set anew.
        let first = "k0".parse().unwrap();
        store.secret_put(&lab, &first, "y", now()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn steps_are_kept_among_lines_and_each_is_read_without_the_other() {
    each_store(async |world| {
        let (store, run) = (&world.store, run(world).await);
        let voices = [Stream::Event, Stream::Stdout, Stream::Event, Stream::Stderr];
        let line = |seq: i64| LogLine {
            seq,
            at_ms: seq,
            stream: voices[(seq % 4) as usize],
            text: format!("{seq}"),
        };
        // More than are read at once.
        for batch in 0..25 {
            let lines: Vec<_> = (1..=4).map(|n| line(batch * 4 + n)).collect();
            store.log_append(&run.id, &lines).await.unwrap();
        }
        let seqs = |lines: Vec<LogLine>| lines.iter().map(|line| line.seq).collect::<Vec<_>>();
        let lines = store.log_page(&run.id, 0, 3).await.unwrap();
        assert_eq!(seqs(lines), [1, 3, 5]);
        let lines = store.log_page(&run.id, 5, 1000).await.unwrap();
        assert_eq!(seqs(lines), (7..100).step_by(2).collect::<Vec<_>>());
        let events = |stream| stream == Stream::Event;
        let found = store.log_page_of(&run.id, 96, 1000, events).await.unwrap();
        assert_eq!(seqs(found), [98, 100]);
        let all = store.log_page_of(&run.id, 0, 1000, |_| true).await.unwrap();
        assert_eq!(seqs(all), (1..=100).collect::<Vec<_>>());
    })
    .await;
}
