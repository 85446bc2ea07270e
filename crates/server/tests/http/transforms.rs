//! Runs that make versions, through the router, in the real jail: saved whole
//! or not at all, after the version that they read or not at all.

use crate::support::{self, Station, text};
use serde_json::{Value, json};
use strongroom_core::run::{Enforced, OutputFile, Reason};
use strongroom_store::Finish;

const DATA: &[u8] = b"species,mass\na,1\nb,2\nc,3\n";
/// Keeps the rows above a mass, under the name that they had.
const FILTER: &str = r#"
import csv, json

def transform(data, ctx):
    rows = list(data.rows())
    kept = [row for row in rows if ctx.args.get("above", 1) < int(row["mass"])]
    with open("/out/body.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    told = {"body": "body.csv", "meta": {"title": "Heavy ones"}}
    (ctx.out / "dataset.json").write_text(json.dumps(told))
    return len(kept)
"#;

async fn station() -> Station {
    let station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", DATA).await;
    station.push_dataset("zoo/d", "z.csv", DATA).await;
    station
}

const AT: &str = "/v1/datasets/lab/d/transforms";

fn sent(source: &str, more: Value) -> Value {
    let mut body = json!({ "files": { "main.py": source } });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// Asks, and waits until something came of it.
async fn made(station: &Station, source: &str, more: Value) -> Value {
    let body = sent(source, more);
    let reply = station.post("lab", &format!("{AT}?wait=30s"), body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// Something that waits for `zoo`, whose data it reads as well.
async fn waiting(station: &Station, source: &str) -> Value {
    let body = sent(source, json!({ "on": ["other=zoo/d"] }));
    let reply = station.post("lab", AT, body).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let asked = reply.json();
    let place = format!("{AT}/{}", text(&asked["run"], "id"));
    assert_eq!(reply.headers["location"], place.as_str());
    assert_eq!(asked["run"]["waits_for"], json!(["zoo"]), "{asked}");
    asked
}

async fn answered(station: &Station, asked: &Value, verb: &str) {
    let path = format!("/v1/requests/{}/{verb}", text(&asked["run"], "request"));
    station.post("zoo", &path, json!({})).await.ok();
}

async fn outcome(station: &Station, asked: &Value) -> Value {
    let path = format!("{AT}/{}?wait=30s", text(&asked["run"], "id"));
    let now = station.get("lab", &path).await;
    assert_eq!(now.status, 200, "{now:?}");
    now.json()["outcome"].clone()
}

async fn versions(station: &Station) -> Vec<Value> {
    let log = station.get("lab", "/v1/datasets/lab/d/versions").await.ok();
    log["items"].as_array().unwrap().clone()
}

async fn newest(station: &Station) -> Value {
    let path = "/v1/datasets/lab/d/versions/latest";
    station.get("lab", path).await.ok()
}

#[tokio::test]
async fn a_run_makes_the_version_after_the_one_that_it_read() {
    let mut station = station().await;
    let first = newest(&station).await;
    let more = json!({ "title": "filtered", "message": "only heavy ones" });
    let made = made(&station, FILTER, more).await;
    assert_eq!(made["outcome"]["state"], "saved", "{made}");
    assert_eq!(made["run"]["value"], 2);
    let second = newest(&station).await;
    assert_eq!(second["version"], made["outcome"]["version"]);
    assert_eq!(made["version"]["version"], second["version"]);
    assert_eq!(second["parent"], first["version"]);
    assert_eq!(
        (&second["title"], &second["message"]),
        (&json!("filtered"), &json!("only heavy ones"))
    );
    // The body keeps the name that it had.
    assert_eq!(second["body"], "d.csv");
    assert_eq!(second["files"].as_object().unwrap().len(), 1);
    assert_eq!(second["statistics"]["rows"], 2);
    assert_eq!(second["meta"]["title"], "Heavy ones");
    let by = &second["made_by"];
    assert_eq!(by["run"], made["run"]["id"]);
    assert_eq!(by["function"], "lab/d");
    let function = station.get("lab", "/v1/functions/lab/d").await.ok();
    assert_eq!(by["function_version"], function["newest"]["version"]);
    let origin = json!([{ "dataset": "lab/d", "version": first["version"] }]);
    assert_eq!(second["derived_from"], origin);
    station.stop().await;
}

#[tokio::test]
async fn what_changes_nothing_makes_no_version_and_says_so() {
    let mut station = station().await;
    let more = || json!({ "args": { "above": 0 } });
    let first = made(&station, FILTER, more()).await;
    assert_eq!(first["outcome"]["state"], "saved", "meta is new: {first}");
    let again = made(&station, FILTER, more()).await;
    assert_eq!(again["outcome"], json!({ "state": "unchanged" }), "{again}");
    let nothing = made(
        &station,
        "def transform(data, ctx):\n    return 1",
        json!({}),
    )
    .await;
    assert_eq!(nothing["outcome"], json!({ "state": "unchanged" }));
    assert_eq!(versions(&station).await.len(), 2);
    station.stop().await;
}

#[tokio::test]
async fn what_is_applied_is_shown_with_its_changes_and_nothing_is_saved() {
    let mut station = station().await;
    let made = made(&station, FILTER, json!({ "mode": "apply" })).await;
    assert_eq!(made.get("outcome"), None, "{made}");
    let preview = &made["preview"];
    assert_eq!(preview["changes"], json!(["files", "meta"]), "{preview}");
    assert_eq!(preview["rows"][1], json!({ "species": "c", "mass": 3 }));
    assert_eq!(preview["diff"]["rows_after"], 2);
    assert_eq!(preview["statistics"]["rows"], 2);
    let nobody = station.get("lab", "/v1/functions/lab/d").await;
    assert_eq!(nobody.refused(404), "not_found", "nothing is pushed either");
    assert_eq!(versions(&station).await.len(), 1);
    let path = format!("{AT}/{}", text(&made["run"], "id"));
    let again = station.get("lab", &path).await.ok();
    assert_eq!(again["preview"], *preview);
    assert_eq!(
        station.get("zoo", &path).await.refused(404),
        "not_found",
        "a preview is its caller's"
    );
    station.stop().await;
}

#[tokio::test]
async fn the_first_version_is_made_of_no_version() {
    let mut station = station().await;
    let source = "import os\n\ndef transform(data, ctx):\n    (ctx.out / 'new.csv').write_text('a\\n1\\n')\n    return os.path.exists('/data')\n";
    let at = "/v1/datasets/lab/new/transforms?wait=30s";
    let made = station.post("lab", at, sent(source, json!({}))).await.ok();
    assert_eq!(made["outcome"]["state"], "saved", "{made}");
    assert_eq!(made["run"]["value"], false, "there is no /data");
    let version = station
        .get("lab", "/v1/datasets/lab/new/versions/latest")
        .await
        .ok();
    assert_eq!(
        (version.get("parent"), version.get("derived_from")),
        (None, None)
    );
    station.stop().await;
}

#[tokio::test]
async fn a_fault_of_any_kind_leaves_the_version_before_untouched() {
    let mut station = station().await;
    let structure = json!({ "columns": [
        { "name": "species", "type": "string" },
        { "name": "mass", "type": "integer" },
    ] });
    let files = station.upload("lab", &[("d.csv", DATA)]).await;
    let body = json!({ "files": files, "structure": structure });
    station
        .post("lab", "/v1/datasets/lab/d/versions", body)
        .await
        .ok();
    let before = newest(&station).await;
    let write = |path: &str, text: &str| {
        format!("def transform(data, ctx):\n    open('/out/{path}', 'w').write({text:?})\n")
    };
    let told = |told: Value| write("dataset.json", &told.to_string());
    let body = r#"
def transform(data, ctx):
    open("/out/body.csv", "w").write("species,mass\na,heavy\n")
    open("/out/dataset.json", "w").write('{"body": "body.csv"}')
"#;
    let more_columns = body.replace("species,mass\\na,heavy", "species,mass,x\\na,1,2");
    for (source, code, why) in [
        (body.to_owned(), "structure_broken", "mass"),
        (more_columns, "structure_broken", "column"),
        (write("d.csv", "species\n"), "structure_broken", "column"),
        (write("other.txt", "x"), "structure_broken", "structure"),
        (
            write("dataset.json", "{"),
            "bad_dataset",
            "not a JSON document",
        ),
        (told(json!({ "bodi": "x" })), "bad_dataset", "unknown field"),
        (
            told(json!({ "body": "none.csv" })),
            "bad_dataset",
            "not in /out",
        ),
        (told(json!({ "body": "../x" })), "bad_dataset", "body"),
        (
            told(json!({ "structure": { "schema": { "type": 5 } } })),
            "bad_dataset",
            "schema",
        ),
        (
            told(json!({ "meta": { "keywords": vec!["x"; 1000] } })),
            "bad_dataset",
            "keywords",
        ),
        (
            told(json!({ "readme": "x".repeat(300_000) })),
            "bad_dataset",
            "readme",
        ),
        ("raise SystemExit(3)".to_owned(), "failed", "exit 3"),
        (
            "def transform(data, ctx):\n    open('/out/a\\nb', 'w')".to_owned(),
            "output_refused",
            "ended",
        ),
    ] {
        for mode in ["save", "apply"] {
            let made = made(&station, &source, json!({ "mode": mode })).await;
            let outcome = &made["outcome"];
            assert_eq!(outcome["state"], "not_saved", "{source}: {outcome}");
            assert_eq!(outcome["code"], code, "{source}: {outcome}");
            assert!(text(outcome, "detail").contains(why), "{source}: {outcome}");
        }
        assert_eq!(newest(&station).await, before, "{source}");
    }
    station.stop().await;
}

#[tokio::test]
async fn of_two_that_read_one_version_the_first_is_saved_and_the_other_is_told() {
    let mut station = station().await;
    let own = |n: u32| {
        format!("def transform(data, ctx):\n    open('/out/d.csv', 'w').write('a\\n{n}\\n')\n")
    };
    let both = [
        waiting(&station, &own(1)).await,
        waiting(&station, &own(2)).await,
    ];
    for asked in &both {
        answered(&station, asked, "approve").await;
    }
    let mut outcomes = Vec::new();
    for asked in &both {
        outcomes.push(outcome(&station, asked).await);
    }
    let states = |state: &str| outcomes.iter().filter(|one| one["state"] == state).count();
    assert_eq!(
        (states("saved"), states("not_saved")),
        (1, 1),
        "{outcomes:?}"
    );
    let late = outcomes
        .iter()
        .find(|one| one["state"] == "not_saved")
        .unwrap();
    assert_eq!(late["code"], "conflict");
    assert_eq!(versions(&station).await.len(), 2);
    station.stop().await;
}

#[tokio::test]
async fn what_waits_for_an_owner_is_saved_once_he_agrees_and_carries_his_label() {
    let mut station = station().await;
    let source = "def transform(data, ctx):\n    rows = open('/data/other/z.csv').read()\n    open('/out/d.csv', 'w').write(rows.replace('a', 'x'))\n    return sorted(__import__('os').listdir('/data'))\n";
    let asked = waiting(&station, source).await;
    // What he is asked for is all that would come of it.
    let path = format!("/v1/requests/{}", text(&asked["run"], "request"));
    let request = station.get("zoo", &path).await.ok();
    let first = newest(&station).await;
    assert_eq!(
        request["detail"]["makes"],
        json!({ "dataset": "lab/d", "mode": "save", "parent": first["version"] })
    );
    answered(&station, &asked, "approve").await;
    // Nobody waits for it: the station saves it by itself.
    let path = format!("/v1/runs/{}?wait=30s", text(&asked["run"], "id"));
    let run = station.get("lab", &path).await.ok();
    assert_eq!(run["value"], json!(["other", "previous"]), "{run}");
    tokio::time::timeout(support::PATIENCE, async {
        while versions(&station).await.len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let second = newest(&station).await;
    let owners: Vec<&str> = second["derived_from"]
        .as_array()
        .unwrap()
        .iter()
        .map(|origin| text(origin, "dataset"))
        .collect();
    assert_eq!(owners, ["lab/d", "zoo/d"]);
    // So whoever runs on it asks the owner of the original.
    station.push_function("lab/f", "print(1)").await;
    let run = station.ask("lab", "lab/f", &["lab/d"], json!({})).await;
    assert_eq!(run["waits_for"], json!(["zoo"]));
    station.stop().await;
}

#[tokio::test]
async fn what_is_rejected_cancelled_or_overtaken_saves_nothing() {
    let mut station = station().await;
    let source = "def transform(data, ctx):\n    open('/out/d.csv', 'w').write('a\\n1\\n')\n";
    let rejected = waiting(&station, source).await;
    answered(&station, &rejected, "reject").await;
    assert_eq!(outcome(&station, &rejected).await["code"], "refused");
    let cancelled = waiting(&station, source).await;
    let path = format!("/v1/runs/{}/cancel", text(&cancelled["run"], "id"));
    station.post("lab", &path, json!({})).await.ok();
    assert_eq!(outcome(&station, &cancelled).await["code"], "cancelled");
    let overtaken = waiting(&station, source).await;
    let second = station.push_dataset("lab/d", "d.csv", b"b\n2\n").await;
    answered(&station, &overtaken, "approve").await;
    assert_eq!(outcome(&station, &overtaken).await["code"], "conflict");
    assert_eq!(newest(&station).await["version"], second["version"]);
    station.stop().await;
}

#[tokio::test]
async fn nobody_saves_into_a_dataset_of_somebody_else_or_says_two_codes() {
    let mut station = station().await;
    let body = || sent("print(1)", json!({}));
    for mode in ["save", "apply"] {
        let mut body = body();
        body["mode"] = json!(mode);
        let reply = station.post("zoo", AT, body).await;
        assert_eq!(reply.refused(404), "not_found");
    }
    let run = station.post("lab", AT, body()).await.ok();
    let id = text(&run["run"], "id");
    let elsewhere = format!("/v1/datasets/lab/other/transforms/{id}");
    assert_eq!(
        station.get("lab", &elsewhere).await.refused(404),
        "not_found"
    );
    for (body, code) in [
        (json!({}), "bad_transform"),
        (
            json!({ "files": { "main.py": "1" }, "function": "lab/d" }),
            "bad_transform",
        ),
        (sent("1", json!({ "on": ["zoo/d"] })), "bad_inputs"),
        (sent("1", json!({ "on": ["previous=zoo/d"] })), "bad_inputs"),
        (
            sent("1", json!({ "title": "x".repeat(201) })),
            "bad_dataset",
        ),
        (
            sent("1", json!({ "message": "x".repeat(2001) })),
            "too_long",
        ),
    ] {
        let reply = station.post("lab", AT, body).await;
        assert_eq!(reply.refused(422), code, "{reply:?}");
    }
    station.stop().await;
}

#[tokio::test]
async fn a_key_makes_asking_twice_the_same_as_once() {
    let mut station = station().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let headers = [("idempotency-key", "k")];
        let reply = station
            .send_with("lab", "POST", AT, &headers, sent(FILTER, json!({})))
            .await;
        runs.push(reply.ok()["run"]["id"].clone());
    }
    assert_eq!(runs[0], runs[1]);
    station.stop().await;
}

#[tokio::test]
async fn what_a_station_had_not_saved_when_it_stopped_the_next_start_saves() {
    let station = Station::new().await;
    station.push_dataset("lab/d", "d.csv", DATA).await;
    let asked = station.post("lab", AT, sent(FILTER, json!({}))).await.ok();
    let store = &station.app.store;
    let claimed = store.run_claim("boot", 5).await.unwrap().unwrap();
    let enforced = Enforced::default();
    assert!(store.run_start(&claimed.run, &enforced, 6).await.unwrap());
    let put = store.blobs().put_bytes(b"a\n1\n").await.unwrap();
    let mut end = Finish::because(Reason::Succeeded);
    end.files = vec![OutputFile {
        path: "d.csv".parse().unwrap(),
        digest: put.digest,
        size_bytes: put.size_bytes,
    }];
    store.run_finish(&claimed.run, end, 8).await.unwrap();
    assert_eq!(versions(&station).await.len(), 1);
    for _ in 0..2 {
        station.app.transforms_load().await.unwrap();
        station.app.transforms_settle().await.unwrap();
        assert_eq!(versions(&station).await.len(), 2);
    }
    let path = format!("{AT}/{}", text(&asked["run"], "id"));
    let now = station.get("lab", &path).await.ok();
    assert_eq!(now["outcome"]["state"], "saved", "{now}");
}

#[tokio::test]
async fn a_function_in_python_is_told_what_the_version_before_says_where_it_sees_it() {
    let mut station = station().await;
    let first = made(&station, FILTER, json!({})).await;
    assert_eq!(first["outcome"]["state"], "saved", "{first}");
    let source = r#"
import json, os

def transform(data, ctx):
    told = {"meta": {"title": data.meta["title"] + "!"}, "body": "previous"}
    (ctx.out / "dataset.json").write_text(json.dumps(told))
    return [data.meta, data.structure, data.readme, data.names()]
"#;
    let second = made(&station, source, json!({})).await;
    assert_eq!(second["outcome"]["state"], "saved", "{second}");
    let heavy = json!([{ "title": "Heavy ones" }, {}, "", ["d.csv"]]);
    assert_eq!(second["run"]["value"], heavy);
    assert_eq!(newest(&station).await["meta"]["title"], "Heavy ones!");
    // By its name where there are others, which say nothing here.
    let source = r#"
def transform(data, ctx):
    return [data["previous"].meta["title"], data["other"].meta]
"#;
    let asked = waiting(&station, source).await;
    answered(&station, &asked, "approve").await;
    let path = format!("/v1/runs/{}?wait=30s", text(&asked["run"], "id"));
    let run = station.get("lab", &path).await.ok();
    assert_eq!(run["value"], json!(["Heavy ones!", {}]), "{run}");
    station.stop().await;
}
