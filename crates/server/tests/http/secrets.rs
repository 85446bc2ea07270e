//! Secrets over HTTP: they go in, and come out over no door.

use crate::support::{self, Station, text};
use serde_json::{Value, json};

const SECRET: &str = "s3cr3t-\u{e4}-value";

async fn set(station: &Station, who: &str, name: &str, value: &str) -> support::Reply {
    let path = format!("/v1/secrets/{name}");
    station
        .send(who, "PUT", &path, json!({ "value": value }))
        .await
}

#[tokio::test]
async fn a_secret_is_listed_by_name_for_its_owner_and_shown_to_nobody() {
    let station = Station::new().await;
    let answer = set(&station, "lab", "api.key", SECRET).await.ok();
    assert_eq!(text(&answer, "name"), "api.key");
    let mine = station.get("lab", "/v1/secrets").await.ok();
    assert_eq!(mine["items"].as_array().unwrap().len(), 1);
    let theirs = station.get("zoo", "/v1/secrets").await.ok();
    assert_eq!(theirs["items"], json!([]));
    let audit = station.get("admin", "/v1/audit").await.ok();
    for seen in [&answer, &mine, &audit] {
        assert!(!seen.to_string().contains("s3cr3t"), "{seen}");
    }
    let events: Vec<&Value> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["action"] == "secret.set")
        .collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["subject"], "lab/api.key");
}

#[tokio::test]
async fn nothing_in_the_stations_home_holds_a_secret_as_it_is() {
    let station = Station::new().await;
    set(&station, "lab", "key", SECRET).await.ok();
    station.app.store.close().await;
    let mut folders = vec![station.app.config.home.clone()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            seen += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(7).any(|part| part == b"s3cr3t-");
            assert!(!found, "{} holds it", path.display());
        }
    }
    assert!(1 < seen);
}

#[tokio::test]
async fn a_secret_is_bounded_and_has_a_plain_name() {
    let station = Station::new().await;
    for (name, value, status) in [
        ("key", String::new(), 422),
        ("key", "x".repeat(8193), 422),
        ("key", "x".repeat(8192), 200),
        ("1key", "x".to_owned(), 400),
        ("a%2Fb", "x".to_owned(), 400),
    ] {
        let answer = set(&station, "lab", name, &value).await;
        assert_eq!(answer.status.as_u16(), status, "{name} {}", value.len());
    }
    for n in 1..100 {
        set(&station, "lab", &format!("key{n}"), "x").await.ok();
    }
    let answer = set(&station, "lab", "one-more", "x").await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    set(&station, "lab", "key7", "again").await.ok();
}
