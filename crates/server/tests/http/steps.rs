//! What a guest tells of its steps: kept in one order with its lines, told to
//! late listeners again, and shown to nobody who may not read the log. The
//! worker is played by the test.

use crate::support::{Sent, Station, text};
use serde_json::{Value, json};
use strongroom_core::{
    id::RunId,
    run::{Enforced, Reason, Stream},
};
use strongroom_store::{Finish, LogLine};

const TOLD: [(Stream, &str); 6] = [
    (Stream::Event, r#"{"event":"start","steps":2}"#),
    (
        Stream::Event,
        r#"{"category":"setup","event":"step_start","name":"one"}"#,
    ),
    (Stream::Stdout, "4711"),
    (
        Stream::Event,
        r#"{"event":"print","level":"info","message":"4711"}"#,
    ),
    (Stream::Stderr, r#"{"event":"a line like any other"}"#),
    (Stream::Event, r#"{"event":"stop","status":"succeeded"}"#),
];

/// A run on data of `lab`'s that said all that, and has ended.
async fn told(station: &Station) -> Value {
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    station.push_function("devs/f", "").await;
    let run = station.ask("guest", "devs/f", &["lab/d"], json!({})).await;
    let approve = format!("/v1/requests/{}/approve", text(&run, "request"));
    station.post("lab", &approve, json!({})).await.ok();
    let id: RunId = text(&run, "id").parse().unwrap();
    let store = &station.app.store;
    assert_eq!(store.run_claim("boot", 1).await.unwrap().unwrap().run, id);
    assert!(store.run_start(&id, &Enforced::default(), 2).await.unwrap());
    let lines = TOLD
        .into_iter()
        .zip(1..)
        .map(|((stream, text), seq)| LogLine {
            seq,
            at_ms: 3,
            stream,
            text: text.to_owned(),
        });
    store
        .log_append(&id, &lines.collect::<Vec<_>>())
        .await
        .unwrap();
    let finish = Finish::because(Reason::Succeeded);
    store.run_finish(&id, finish, 4).await.unwrap();
    run
}

async fn stream(station: &Station, who: &str, run: &Value, last: Option<&str>) -> Vec<String> {
    let path = format!("/v1/runs/{}/events", text(run, "id"));
    let headers: Vec<(&str, &str)> = last
        .map(|last| ("last-event-id", last))
        .into_iter()
        .collect();
    let reply = station
        .send_with(who, "GET", &path, &headers, Sent::nothing())
        .await;
    let body = String::from_utf8(reply.body.to_vec()).unwrap();
    let lines = body
        .lines()
        .filter(|line| line.starts_with("event: ") || line.starts_with("id: "));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn steps_and_lines_come_in_one_order_and_go_on_after_the_last_that_was_heard() {
    let station = Station::new().await;
    let run = told(&station).await;
    let whole = stream(&station, "guest", &run, None).await;
    assert_eq!(
        whole,
        [
            "event: step",
            "id: 1",
            "event: step",
            "id: 2",
            "event: log",
            "id: 3",
            "event: step",
            "id: 4",
            "event: log",
            "id: 5",
            "event: step",
            "id: 6",
            "event: end",
        ]
    );
    let rest = stream(&station, "guest", &run, Some("4")).await;
    assert_eq!(rest, whole[8..]);
    let path = format!("/v1/runs/{}/steps", text(&run, "id"));
    let page = station.get("guest", &format!("{path}?limit=3")).await.ok();
    assert_eq!(
        page["items"],
        json!([
            { "seq": 1, "at_ms": 3, "event": "start", "steps": 2 },
            { "seq": 2, "at_ms": 3, "event": "step_start", "name": "one", "category": "setup" },
            { "seq": 4, "at_ms": 3, "event": "print", "level": "info", "message": "4711" },
        ])
    );
    let next = text(&page, "next");
    let page = station
        .get("guest", &format!("{path}?after={next}"))
        .await
        .ok();
    assert_eq!(page["items"][0]["status"], "succeeded");
    assert!(
        page["items"][1].is_null() && page["next"].is_null(),
        "{page}"
    );
    // The log has the lines alone.
    let log = format!("/v1/runs/{}/log?limit=1", text(&run, "id"));
    let first = station.get("guest", &log).await.ok();
    assert_eq!(first["items"][0]["text"], "4711");
    let log = format!("{log}&after={}", text(&first, "next"));
    let second = station.get("guest", &log).await.ok();
    assert_eq!(second["items"][0]["seq"], 5, "{second}");
}

#[tokio::test]
async fn who_may_not_read_the_log_hears_of_no_step() {
    let station = Station::new().await;
    let run = told(&station).await;
    let path = format!("/v1/runs/{}/steps", text(&run, "id"));
    assert_eq!(station.get("lab", &path).await.refused(404), "not_found");
    assert_eq!(station.get("zoo", &path).await.refused(404), "not_found");
    let heard = stream(&station, "lab", &run, None).await;
    assert_eq!(heard, ["event: end"]);
    let revoke = format!("/v1/requests/{}/revoke", text(&run, "request"));
    station.post("lab", &revoke, json!({})).await.ok();
    assert_eq!(station.get("guest", &path).await.refused(403), "withheld");
    let heard = stream(&station, "guest", &run, None).await;
    assert_eq!(heard, ["event: end"]);
}

#[tokio::test]
async fn a_function_in_python_tells_of_its_steps_where_it_says_so() {
    let mut station = Station::working().await;
    let source = r#"
import strongroom

def transform(data, ctx):
    with strongroom.step("clean", "prepare"):
        print("cleaning")
    try:
        with strongroom.step("weigh"):
            raise ValueError
    except ValueError:
        return 1
"#;
    station.push_function("devs/f", source).await;
    let run = station.ask("guest", "devs/f", &[], json!({})).await;
    let path = format!("/v1/runs/{}", text(&run, "id"));
    let ended = station.get("guest", &format!("{path}?wait=30s")).await.ok();
    assert_eq!(ended["value"], 1, "{ended}");
    let told = station.get("guest", &format!("{path}/steps")).await.ok();
    let told: Vec<String> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let status = step["status"].as_str().unwrap_or("-");
            let (event, name) = (text(step, "event"), text(step, "name"));
            format!("{event} {name} {} {status}", text(step, "category"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "step_start clean prepare -",
            "step_stop clean prepare succeeded",
            "step_start weigh transform -",
            "step_stop weigh transform failed",
        ]
    );
    // Its log has its own words alone.
    let log = station.get("guest", &format!("{path}/log")).await.ok();
    let lines = log["items"].as_array().unwrap();
    assert_eq!((lines.len(), text(&lines[0], "text")), (1, "cleaning"));
    station.stop().await;
}
