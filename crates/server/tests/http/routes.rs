//! Every route, tried as nobody, as a stranger and as its owner, from one
//! table that must name exactly the routes of the document.

use std::collections::BTreeSet;

use crate::support::{self, NOBODY, STRANGER, Sent, Station, text};
use serde_json::{Value, json};
use strongroom_core::{
    digest::Digest,
    id::RunId,
    run::{Enforced, OutputFile, Reason, Stream},
    stage::Stage,
};
use strongroom_store::{Finish, LogLine, StageBegin, StageEnd};

/// What a stranger gets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Strangers {
    NotFound,
    /// A list with nothing in it.
    Empty,
    /// It is for every user.
    Served,
}

use Strangers::{Empty, NotFound, Served};

struct Row {
    method: &'static str,
    /// As the document has it.
    path: &'static str,
    /// What stands for the parts in braces.
    at: String,
    body: Body,
    owner: &'static str,
    stranger: Strangers,
}

#[derive(Clone)]
enum Body {
    Nothing,
    Json(Value),
    Bytes(Vec<u8>),
    Form,
}

impl From<Body> for Sent {
    fn from(body: Body) -> Self {
        match body {
            Body::Nothing => Sent::nothing(),
            Body::Json(value) => value.into(),
            Body::Bytes(bytes) => bytes.into(),
            Body::Form => Sent::of("multipart/form-data; boundary=x", FORM),
        }
    }
}

const FORM: &str = "--x\r\ncontent-disposition: form-data; name=\"files[]\"; filename=\"a.py\"\r\n\r\n\
    print(1)\r\n--x--\r\n";
const RUNTIME: &[u8] = b"base = \"python3\"";
const FILE: &[u8] = b"a,b\n1,2\n";

/// The ids of what is there.
struct World {
    dataset: String,
    function: String,
    asked: [String; 3],
    waiting: String,
    transform: String,
    ended: String,
    script: String,
    token: String,
}

/// `lab` owns a dataset, a function, an ended run with a log and a file, and
/// is asked thrice by `guest`.
async fn world(station: &Station) -> World {
    let dataset = station.push_dataset("lab/d", "d.csv", FILE).await;
    station.push_dataset("lab/spare", "d.csv", FILE).await;
    station.push_dataset("lab/gone", "d.csv", FILE).await;
    let function = station.push_function("lab/f", "print(1)").await;
    let mut asked = Vec::new();
    for n in 0..3 {
        let run = station
            .ask("guest", "lab/f", &["lab/d"], json!({ "n": n }))
            .await;
        asked.push(text(&run, "request").to_owned());
    }
    let ended = station.ask("lab", "lab/f", &["lab/d"], json!({})).await;
    let ended = text(&ended, "id").to_owned();
    finish(station, &ended).await;
    let foreign = station.push_dataset("zoo/d", "d.csv", FILE).await;
    assert_ne!(foreign["version"], dataset["version"]);
    let waiting = station.ask("lab", "lab/f", &["zoo/d"], json!({})).await;
    let transform = json!({ "function": "lab/f" });
    let at = "/v1/datasets/lab/d/transforms";
    let transform = station.post("lab", at, transform).await.ok();
    let headers = [("prefer", "respond-async")];
    let script = station
        .send_with("lab", "POST", "/run-json", &headers, json!({ "code": "1" }))
        .await
        .ok();
    let token = station.post("lab", "/v1/tokens", json!({})).await.ok();
    let secret = json!({ "value": "s3cr3t" });
    station
        .send("lab", "PUT", "/v1/secrets/there", secret)
        .await
        .ok();
    let body = json!({ "name": "python3-own", "files": station.upload("admin", &[("runtime.toml", RUNTIME)]).await });
    station.post("admin", "/v1/runtimes", body).await.ok();
    World {
        dataset: text(&dataset, "version").to_owned(),
        function: text(&function, "version").to_owned(),
        asked: asked.try_into().unwrap(),
        waiting: text(&waiting, "id").to_owned(),
        transform: text(&transform["run"], "id").to_owned(),
        ended,
        script: text(&script, "id").to_owned(),
        token: text(&token, "id").to_owned(),
    }
}

/// Plays a stage that exposes something.
async fn expose(station: &Station, run: &RunId) {
    let begin = |stage| StageBegin {
        stage,
        log_before: 0,
    };
    let store = &station.app.store;
    let begun = store.run_stage(run, None, begin(Stage::Expose), 7).await;
    begun.unwrap();
    let end = StageEnd {
        stage: Stage::Expose,
        reason: Reason::Succeeded,
        usage: None,
        value: Some("1".to_owned()),
    };
    let next = store
        .run_stage(run, Some(end), begin(Stage::Download), 7)
        .await;
    next.unwrap();
}

/// Plays the worker: runs what is queued, with a line and a file to show for it.
async fn finish(station: &Station, run: &str) {
    let store = &station.app.store;
    let claimed = store.run_claim("boot", 5).await.unwrap().unwrap();
    assert_eq!(claimed.run.to_string(), run);
    assert!(
        store
            .run_start(&claimed.run, &Enforced::default(), 6)
            .await
            .unwrap()
    );
    let line = LogLine {
        seq: 1,
        at_ms: 7,
        stream: Stream::Stdout,
        text: "hello".to_owned(),
    };
    store.log_append(&claimed.run, &[line]).await.unwrap();
    expose(station, &claimed.run).await;
    let put = store.blobs().put_bytes(b"out").await.unwrap();
    let file = OutputFile {
        path: "o/x".parse().unwrap(),
        digest: put.digest,
        size_bytes: 3,
    };
    let mut end = Finish::because(Reason::Succeeded);
    end.files = vec![file];
    store.run_finish(&claimed.run, end, 8).await.unwrap();
}

fn row(
    method: &'static str,
    path: &'static str,
    at: &[&str],
    body: Body,
    (owner, stranger): (&'static str, Strangers),
) -> Row {
    let mut parts = at.iter();
    let mut concrete = String::new();
    for piece in path.split_inclusive('/') {
        match piece.starts_with('{') {
            true => {
                concrete.push_str(parts.next().unwrap());
                concrete.push_str(if piece.ends_with('/') { "/" } else { "" });
            }
            false => concrete.push_str(piece),
        }
    }
    Row {
        method,
        path,
        at: concrete,
        body,
        owner,
        stranger,
    }
}

/// The same with a query.
fn asking(query: &str, row: Row) -> Row {
    let at = format!("{}?{query}", row.at);
    Row { at, ..row }
}

#[rustfmt::skip]
fn table(world: &World) -> Vec<Row> {
    use Body::{Bytes, Form, Json, Nothing};
    let digest = Digest::of(b"new").to_string();
    let rules = || Json(json!({ "text": "permit(principal, action, resource);" }));
    let run = json!({ "function": "lab/f", "on": ["lab/d"] });
    let runtime = || {
        let file = json!({ "digest": Digest::of(RUNTIME), "size_bytes": RUNTIME.len() });
        Json(json!({ "name": "python3-own", "files": { "runtime.toml": file } }))
    };
    vec![
        row("GET", "/v1/me", &[], Nothing, ("lab", Served)),
        row("GET", "/v1/users", &[], Nothing, ("admin", NotFound)),
        row("POST", "/v1/users", &[], Json(json!({ "name": "new" })), ("admin", NotFound)),
        row("GET", "/v1/tokens", &[], Nothing, ("lab", Served)),
        row("POST", "/v1/tokens", &[], Json(json!({})), ("lab", Served)),
        row("DELETE", "/v1/tokens/{id}", &[&world.token], Nothing, ("lab", NotFound)),
        row("POST", "/v1/blobs/missing", &[], Json(json!({ "digests": [digest] })), ("lab", Served)),
        row("PUT", "/v1/blobs/{digest}", &[&digest], Bytes(b"new".to_vec()), ("lab", Served)),
        row("GET", "/v1/datasets", &[], Nothing, ("lab", Empty)),
        row("GET", "/v1/datasets/{owner}/{name}", &["lab", "d"], Nothing, ("lab", NotFound)),
        row("GET", "/v1/datasets/{owner}/{name}/versions", &["lab", "d"], Nothing, ("lab", NotFound)),
        row("POST", "/v1/datasets/{owner}/{name}/versions", &["lab", "d"],
            Json(json!({ "files": { "d.csv": { "digest": Digest::of(FILE), "size_bytes": FILE.len() } } })),
            ("lab", NotFound)),
        row("GET", "/v1/datasets/{owner}/{name}/versions/{version}", &["lab", "d", &world.dataset], Nothing, ("lab", NotFound)),
        row("GET", "/v1/datasets/{owner}/{name}/versions/{version}/files/{path}", &["lab", "d", "latest", "d.csv"],
            Nothing, ("lab", NotFound)),
        asking("format=json", row("GET", "/v1/datasets/{owner}/{name}/versions/{version}/rows", &["lab", "d", "latest"],
            Nothing, ("lab", NotFound))),
        row("POST", "/v1/datasets/{owner}/{name}/versions/{version}/validate", &["lab", "d", "latest"], Nothing, ("lab", NotFound)),
        row("POST", "/v1/datasets/{owner}/{name}/versions/{version}/restore", &["lab", "d", "latest"], Nothing, ("lab", NotFound)),
        row("POST", "/v1/datasets/diff", &[], Json(json!({ "before": "lab/d", "after": "lab/d" })), ("lab", NotFound)),
        row("POST", "/v1/datasets/{owner}/{name}/rename", &["lab", "spare"], Json(json!({ "name": "other" })), ("lab", NotFound)),
        row("POST", "/v1/datasets/{owner}/{name}/transforms", &["lab", "d"],
            Json(json!({ "function": "lab/f" })), ("lab", NotFound)),
        row("GET", "/v1/datasets/{owner}/{name}/transforms/{run}", &["lab", "d", &world.transform], Nothing, ("lab", NotFound)),
        row("DELETE", "/v1/datasets/{owner}/{name}", &["lab", "gone"], Nothing, ("lab", NotFound)),
        row("GET", "/v1/functions", &[], Nothing, ("lab", Served)),
        row("GET", "/v1/functions/{owner}/{name}", &["lab", "f"], Nothing, ("lab", Served)),
        row("GET", "/v1/functions/{owner}/{name}/versions", &["lab", "f"], Nothing, ("lab", Served)),
        row("POST", "/v1/functions/{owner}/{name}/versions", &["lab", "f"],
            Json(json!({ "files": { "main.py": "print(2)" } })), ("lab", NotFound)),
        row("GET", "/v1/functions/{owner}/{name}/versions/{version}", &["lab", "f", &world.function], Nothing, ("lab", Served)),
        row("GET", "/v1/runtimes", &[], Nothing, ("lab", Served)),
        row("POST", "/v1/runtimes", &[], runtime(), ("admin", NotFound)),
        row("GET", "/v1/runtimes/{name}", &["python3-own"], Nothing, ("lab", Served)),
        row("POST", "/v1/runtimes/{name}/build", &["python3-own"], Nothing, ("admin", NotFound)),
        row("DELETE", "/v1/runtimes/{name}", &["python3-own"], Nothing, ("admin", NotFound)),
        row("GET", "/v1/runs", &[], Nothing, ("lab", Empty)),
        row("POST", "/v1/runs", &[], Json(run), ("lab", Served)),
        row("GET", "/v1/runs/{id}", &[&world.ended], Nothing, ("lab", NotFound)),
        row("GET", "/v1/runs/{id}/log", &[&world.ended], Nothing, ("lab", NotFound)),
        row("GET", "/v1/runs/{id}/exposed", &[&world.ended], Nothing, ("lab", NotFound)),
        row("GET", "/v1/runs/{id}/steps", &[&world.ended], Nothing, ("lab", NotFound)),
        row("GET", "/v1/runs/{id}/requests-made", &[&world.ended], Nothing, ("lab", NotFound)),
        row("GET", "/v1/runs/{id}/events", &[&world.ended], Nothing, ("lab", NotFound)),
        row("GET", "/v1/runs/{id}/files/{path}", &[&world.ended, "o/x"], Nothing, ("lab", NotFound)),
        row("POST", "/v1/runs/{id}/cancel", &[&world.waiting], Nothing, ("lab", NotFound)),
        row("GET", "/v1/requests", &[], Nothing, ("lab", Empty)),
        row("GET", "/v1/requests/{id}", &[&world.asked[0]], Nothing, ("lab", NotFound)),
        row("POST", "/v1/requests/{id}/approve", &[&world.asked[0]], Nothing, ("lab", NotFound)),
        row("POST", "/v1/requests/{id}/reject", &[&world.asked[1]], Nothing, ("lab", NotFound)),
        row("POST", "/v1/requests/{id}/revoke", &[&world.asked[0]], Nothing, ("lab", NotFound)),
        row("GET", "/v1/approvals", &[], Nothing, ("lab", Empty)),
        row("PUT", "/v1/rules", &[], rules(), ("lab", Served)),
        row("GET", "/v1/rules", &[], Nothing, ("lab", Served)),
        row("POST", "/v1/rules/check", &[], rules(), ("lab", Served)),
        row("DELETE", "/v1/rules", &[], Nothing, ("lab", Served)),
        row("GET", "/v1/secrets", &[], Nothing, ("lab", Empty)),
        row("DELETE", "/v1/secrets/{name}", &["there"], Nothing, ("lab", NotFound)),
        row("PUT", "/v1/secrets/{name}", &["new"], Json(json!({ "value": "s3cr3t" })), ("lab", Served)),
        row("GET", "/v1/audit", &[], Nothing, ("lab", Served)),
        row("GET", "/v1/doctor", &[], Nothing, ("admin", NotFound)),
        row("POST", "/run-file", &[], Form, ("lab", Served)),
        row("POST", "/run-json", &[], Json(json!({ "code": "1" })), ("lab", Served)),
        row("GET", "/status/{id}", &[&world.script], Nothing, ("lab", NotFound)),
    ]
}

/// Routes that ask nobody who he is. This list only shrinks.
const OPEN: [(&str, &str); 2] = [("GET", "/healthz"), ("GET", "/openapi.json")];

async fn try_row(station: &Station, who: &str, row: &Row) -> support::Reply {
    let headers = [("prefer", "respond-async")];
    station
        .send_with(who, row.method, &row.at, &headers, row.body.clone())
        .await
}

#[tokio::test]
async fn every_route_of_the_document_is_in_the_table() {
    let station = Station::new().await;
    let world = world(&station).await;
    let tried: BTreeSet<(String, String)> = table(&world)
        .iter()
        .map(|row| (row.method.to_owned(), row.path.to_owned()))
        .chain(OPEN.map(|(method, path)| (method.to_owned(), path.to_owned())))
        .collect();
    let document = serde_json::to_value(strongroom_server::openapi()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    assert_eq!(tried, described);
}

#[tokio::test]
async fn nobody_gets_anything_but_health_and_the_document() {
    let station = Station::new().await;
    for row in table(&world(&station).await) {
        let reply = try_row(&station, NOBODY, &row).await;
        assert_eq!(
            reply.refused(401),
            "unauthorized",
            "{} {}",
            row.method,
            row.at
        );
        assert!(
            reply.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
    }
    for (method, path) in OPEN {
        assert_eq!(
            station
                .send(NOBODY, method, path, Sent::nothing())
                .await
                .status,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_stranger_learns_of_nothing_that_is_not_his() {
    let station = Station::new().await;
    for row in table(&world(&station).await) {
        let reply = try_row(&station, STRANGER, &row).await;
        let at = format!("{} {}: {reply:?}", row.method, row.at);
        match row.stranger {
            NotFound => assert_eq!(reply.refused(404), "not_found", "{at}"),
            Empty => assert_eq!(reply.ok()["items"], json!([]), "{at}"),
            Served => assert!(reply.status.is_success(), "{at}"),
        }
    }
}

#[tokio::test]
async fn an_owner_is_served_on_every_route() {
    let station = Station::new().await;
    for row in table(&world(&station).await) {
        let reply = try_row(&station, row.owner, &row).await;
        assert!(
            reply.status.is_success(),
            "{} {}: {reply:?}",
            row.method,
            row.at
        );
    }
}

#[tokio::test]
async fn an_owner_of_data_sees_that_it_was_used_but_not_what_came_out() {
    let station = Station::new().await;
    station.push_dataset("zoo/d", "d.csv", FILE).await;
    station.push_function("lab/f", "print(1)").await;
    let asked = station.ask("lab", "lab/f", &["zoo/d"], json!({})).await;
    let (run, request) = (text(&asked, "id"), text(&asked, "request"));
    station
        .post("zoo", &format!("/v1/requests/{request}/approve"), json!({}))
        .await
        .ok();
    finish(&station, run).await;
    let seen = station.get("zoo", &format!("/v1/runs/{run}")).await.ok();
    assert_eq!(seen["reason"]["code"], "succeeded");
    assert!(
        seen.get("files").is_none() && seen.get("value").is_none(),
        "{seen}"
    );
    for path in ["log", "files/o/x"] {
        assert_eq!(
            station
                .get("zoo", &format!("/v1/runs/{run}/{path}"))
                .await
                .refused(404),
            "not_found"
        );
    }
    assert_eq!(
        station
            .post("zoo", &format!("/v1/runs/{run}/cancel"), json!({}))
            .await
            .refused(404),
        "not_found"
    );
    let events = station.get("zoo", &format!("/v1/runs/{run}/events")).await;
    let events = String::from_utf8(events.body.to_vec()).unwrap();
    assert!(
        events.contains("event: end") && !events.contains("hello"),
        "{events}"
    );
}

#[tokio::test]
async fn the_document_names_only_what_it_describes_and_each_operation_once() {
    let document = serde_json::to_value(strongroom_server::openapi()).unwrap();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} is nowhere"
        );
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(!path.contains('*'), "{path}");
        for operation in item.as_object().unwrap().values() {
            let id = text(operation, "operationId");
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(!text(operation, "summary").is_empty(), "{id}");
            assert!(operation["responses"].get("default").is_some(), "{id}");
            for response in operation["responses"].as_object().unwrap().values() {
                assert!(!text(response, "description").is_empty(), "{id}");
            }
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|found| found["name"] == name),
                    "{id} {name}"
                );
            }
        }
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values()
                .for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
