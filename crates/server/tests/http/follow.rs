//! Following a run: waiting for its end and listening to its events. The
//! worker is played by the test, so that each step is seen by itself.

use std::time::Duration;

use crate::support::{PATIENCE, Sent, Station, text};
use axum::{
    body::{Body, BodyDataStream},
    http::{Request, header},
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use strongroom_core::{
    id::RunId,
    run::{Enforced, Reason, Stream},
};
use strongroom_store::{Finish, LogLine};
use tower::ServiceExt as _;

async fn queued(station: &Station) -> RunId {
    station.push_function("devs/f", "").await;
    let run = station.ask("guest", "devs/f", &[], json!({})).await;
    text(&run, "id").parse().unwrap()
}

async fn start(station: &Station, run: &RunId) {
    let store = &station.app.store;
    assert_eq!(store.run_claim("boot", 1).await.unwrap().unwrap().run, *run);
    assert!(store.run_start(run, &Enforced::default(), 2).await.unwrap());
    station.app.watch.went_on(run);
}

async fn say(station: &Station, run: &RunId, seq: i64, text: &str) {
    let line = LogLine {
        seq,
        at_ms: 3,
        stream: Stream::Stdout,
        text: text.to_owned(),
    };
    station.app.store.log_append(run, &[line]).await.unwrap();
    station.app.watch.went_on(run);
}

async fn end(station: &Station, run: &RunId) {
    let finish = Finish::because(Reason::Succeeded);
    station.app.store.run_finish(run, finish, 4).await.unwrap();
    station.app.watch.may_be_over(run);
}

/// A listener at `/v1/runs/{id}/events`.
struct Listener {
    body: BodyDataStream,
    read: String,
}

impl Listener {
    async fn new(station: &Station, run: &RunId, last: Option<&str>) -> Self {
        Self::as_holder(station, station.secret("guest").unwrap(), run, last).await
    }

    async fn as_holder(station: &Station, secret: &str, run: &RunId, last: Option<&str>) -> Self {
        let mut request = Request::get(format!("/v1/runs/{run}/events"))
            .header(header::AUTHORIZATION, format!("Bearer {secret}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = station
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap());
        let response = answer.await.unwrap();
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        Self {
            body: response.into_body().into_data_stream(),
            read: String::new(),
        }
    }

    /// The next event's name and data; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
                };
                if let (Some(name), Some(data)) = (field("event"), field("data")) {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next())
                .await
                .unwrap()?;
            self.read
                .push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    async fn expect(&mut self, name: &str, field: &str, value: impl Into<Value>) {
        let (found, data) = self.next().await.unwrap();
        assert_eq!(
            (found.as_str(), &data[field]),
            (name, &value.into()),
            "{data}"
        );
    }
}

#[tokio::test]
async fn a_listener_hears_states_and_lines_while_they_happen_and_the_end_last() {
    let station = Station::new().await;
    let run = queued(&station).await;
    let mut listener = Listener::new(&station, &run, None).await;
    listener.expect("state", "state", "queued").await;
    start(&station, &run).await;
    listener.expect("state", "state", "running").await;
    say(&station, &run, 1, "one").await;
    listener.expect("log", "text", "one").await;
    say(&station, &run, 2, "two").await;
    end(&station, &run).await;
    listener.expect("log", "text", "two").await;
    let (name, data) = listener.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["reason"]["code"]),
        ("end", &json!("succeeded"))
    );
    assert!(
        listener.next().await.is_none(),
        "nothing comes after the end"
    );
}

#[tokio::test]
async fn a_listener_who_comes_back_goes_on_after_the_last_line_he_saw() {
    let station = Station::new().await;
    let run = queued(&station).await;
    start(&station, &run).await;
    for (seq, line) in [(1, "one"), (2, "two"), (3, "three")] {
        say(&station, &run, seq, line).await;
    }
    end(&station, &run).await;
    let mut listener = Listener::new(&station, &run, Some("2")).await;
    listener.expect("log", "text", "three").await;
    listener.expect("end", "state", "ended").await;
    assert!(listener.next().await.is_none());
    let headers = [("last-event-id", "x")];
    let path = format!("/v1/runs/{run}/events");
    let reply = station
        .send_with("guest", "GET", &path, &headers, Sent::nothing())
        .await;
    assert_eq!(reply.refused(400), "bad_header");
}

#[tokio::test]
async fn a_long_log_comes_whole_and_in_order() {
    let station = Station::new().await;
    let run = queued(&station).await;
    start(&station, &run).await;
    let mut listener = Listener::new(&station, &run, None).await;
    listener.expect("state", "state", "running").await;
    let line = |seq: i64| LogLine {
        seq,
        at_ms: 3,
        stream: Stream::Stderr,
        text: seq.to_string(),
    };
    let lines: Vec<LogLine> = (1..=2500).map(line).collect();
    station.app.store.log_append(&run, &lines).await.unwrap();
    station.app.watch.went_on(&run);
    for seq in 1..=2500 {
        listener.expect("log", "seq", seq).await;
    }
    end(&station, &run).await;
    listener.expect("end", "state", "ended").await;
    let page = station
        .get("guest", &format!("/v1/runs/{run}/log?limit=1000"))
        .await
        .ok();
    assert_eq!(
        (page["items"].as_array().unwrap().len(), text(&page, "next")),
        (1000, "1000")
    );
}

#[tokio::test]
async fn a_long_log_of_a_run_that_has_ended_comes_whole_and_the_end_last() {
    let station = Station::new().await;
    let run = queued(&station).await;
    start(&station, &run).await;
    let line = |seq: i64| LogLine {
        seq,
        at_ms: 3,
        stream: Stream::Stdout,
        text: seq.to_string(),
    };
    let lines: Vec<LogLine> = (1..=3000).map(line).collect();
    station.app.store.log_append(&run, &lines).await.unwrap();
    end(&station, &run).await;
    let mut listener = Listener::new(&station, &run, None).await;
    for seq in 1..=3000 {
        listener.expect("log", "seq", seq).await;
    }
    listener.expect("end", "state", "ended").await;
    assert!(listener.next().await.is_none());
}

#[tokio::test]
async fn a_listener_hears_no_more_once_his_token_is_revoked() {
    let station = Station::new().await;
    let run = queued(&station).await;
    let mut listener = Listener::new(&station, &run, None).await;
    listener.expect("state", "state", "queued").await;
    let token = text(&station.get("guest", "/v1/me").await.ok(), "token").to_owned();
    let path = format!("/v1/runs/{run}?wait=60s");
    let (waited, revoked) = tokio::join!(station.get("guest", &path), async {
        tokio::task::yield_now().await;
        station
            .send(
                "admin",
                "DELETE",
                &format!("/v1/tokens/{token}"),
                Sent::nothing(),
            )
            .await
    });
    assert_eq!(revoked.status.as_u16(), 204);
    assert_eq!(waited.refused(401), "unauthorized");
    start(&station, &run).await;
    say(&station, &run, 1, "secret").await;
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn a_listener_hears_no_more_once_his_token_has_run_out() {
    let station = Station::new().await;
    let run = queued(&station).await;
    let until_ms = station.app.now_ms() + 3000;
    let body = json!({ "user": "guest", "label": "short", "until_ms": until_ms });
    let token = station.post("admin", "/v1/tokens", body).await.ok();
    let mut listener = Listener::as_holder(&station, text(&token, "secret"), &run, None).await;
    listener.expect("state", "state", "queued").await;
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn who_listens_too_often_is_told_so_and_nobody_else_is() {
    let station = Station::new().await;
    let run = queued(&station).await;
    let watch = &station.app.watch;
    let guest = "guest".parse().unwrap();
    let places: Vec<_> = std::iter::from_fn(|| watch.place(&guest)).collect();
    let path = format!("/v1/runs/{run}/events");
    assert_eq!(station.get("guest", &path).await.refused(429), "too_many");
    let waited = station
        .get("guest", &format!("/v1/runs/{run}?wait=60s"))
        .await;
    assert_eq!(waited.ok()["state"], "queued");
    drop(places);
    let mut listener = Listener::new(&station, &run, None).await;
    listener.expect("state", "state", "queued").await;
}

#[tokio::test]
async fn waiting_ends_when_the_run_does() {
    let station = Station::new().await;
    let run = queued(&station).await;
    start(&station, &run).await;
    let path = format!("/v1/runs/{run}?wait=60s");
    let (waited, ()) = tokio::join!(station.get("guest", &path), async {
        tokio::task::yield_now().await;
        end(&station, &run).await;
    });
    assert_eq!(waited.ok()["state"], "ended");
}

#[tokio::test]
async fn waiting_ends_when_the_wait_is_over_and_the_run_goes_on() {
    let station = Station::new().await;
    station.push_function("devs/f", "").await;
    let began = std::time::Instant::now();
    let body = json!({ "function": "devs/f" });
    let reply = station.post("guest", "/v1/runs?wait=50ms", body).await;
    assert_eq!(
        (reply.status.as_u16(), text(&reply.json(), "state")),
        (202, "queued")
    );
    assert!(Duration::from_millis(50) <= began.elapsed());
}

#[tokio::test]
async fn listeners_and_waiters_are_let_go_when_the_station_stops() {
    let mut station = Station::new().await;
    let run = queued(&station).await;
    let mut listener = Listener::new(&station, &run, None).await;
    listener.expect("state", "state", "queued").await;
    station.stop().await;
    assert!(listener.next().await.is_none());
    let reply = station
        .get("guest", &format!("/v1/runs/{run}?wait=60s"))
        .await;
    assert_eq!(reply.ok()["state"], "queued");
}

#[tokio::test]
async fn a_token_sees_only_its_own_scripts() {
    let station = Station::new().await;
    let headers = [("prefer", "respond-async")];
    let body = json!({ "script_name": "a.py", "client": "me", "code": ["print(1)", "print(2)"] });
    let reply = station
        .send_with("guest", "POST", "/run-json/", &headers, body)
        .await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.headers["preference-applied"], "respond-async");
    let status = reply.headers[header::LOCATION].to_str().unwrap().to_owned();
    let seen = station.get("guest", &status).await.ok();
    assert_eq!(
        (text(&seen, "script_name"), text(&seen, "client")),
        ("a.py", "me")
    );
    assert_eq!(
        station.get("guest", &format!("{status}/")).await.status,
        200,
        "a trailing slash"
    );
    let other = station.another_secret("guest").await;
    let id = text(&seen, "id");
    for path in [
        status,
        format!("/v1/runs/{id}"),
        format!("/v1/runs/{id}/log"),
    ] {
        let reply = station
            .send_as(Some(&other), "GET", &path, &[], Sent::nothing())
            .await;
        assert_eq!(reply.refused(404), "not_found", "{path}");
    }
    let listed = station
        .send_as(Some(&other), "GET", "/v1/runs", &[], Sent::nothing())
        .await;
    assert_eq!(listed.ok()["items"], json!([]));
    let run = queued(&station).await;
    assert_eq!(
        station
            .get("guest", &format!("/status/{run}"))
            .await
            .refused(404),
        "not_found"
    );
}
