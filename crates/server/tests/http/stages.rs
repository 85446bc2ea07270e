//! A function in stages, through the router and in the real jail: what each
//! stage sees, who lets data be exposed, and who sees what came out.

use crate::support::{self, Station, text};
use serde_json::{Value, json};

const ALL_THREE: &str = r#"
import os, sys
print("stage", os.environ["STRONGROOM_STAGE"])

def expose(data, ctx):
    return {"rows": len(data.text().splitlines()), "for": ctx.args.get("for")}

def download(ctx):
    if ctx.args.get("fails") == "download":
        sys.exit(7)
    return {"asked": ctx.expose, "data": os.path.exists("/data")}

def transform(data, ctx):
    (ctx.out / "got.txt").write_text(str(ctx.download["asked"]["rows"]))
    return ctx.download
"#;
const DATA: &[u8] = b"a,b\n1,2\n3,4\n";

async fn station() -> Station {
    let station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", DATA).await;
    station.push_function("devs/all", ALL_THREE).await;
    station
}

/// `who` asks for the function with all stages on the data.
async fn ask(station: &Station, who: &str, args: Value, expose: &str) -> support::Reply {
    let body = json!({ "function": "devs/all", "on": ["lab/d"], "args": args, "expose": expose });
    station.post(who, "/v1/runs", body).await
}

async fn ended(station: &Station, who: &str, run: &Value) -> Value {
    let path = format!("/v1/runs/{}?wait=30s", text(run, "id"));
    let run = station.get(who, &path).await.ok();
    assert_eq!(run["state"], "ended", "{run}");
    run
}

async fn approve(station: &Station, run: &Value, body: Value) -> support::Reply {
    let path = format!("/v1/requests/{}/approve", text(run, "request"));
    station.post("lab", &path, body).await
}

#[tokio::test]
async fn a_function_that_exposes_is_refused_then_named_by_the_owner_then_run_in_its_stages() {
    let mut station = station().await;
    let refused = ask(&station, "guest", json!({}), "off").await;
    assert_eq!(refused.refused(422), "expose_off");
    assert!(text(&refused.json(), "detail").starts_with(
        "this function defines `expose`, which sends data to its network stage; that is off \
         unless the data's owners allow it"
    ));
    let args = json!({ "for": "x" });
    let asked = ask(&station, "guest", args.clone(), "ask_owners")
        .await
        .ok();
    let request = format!("/v1/requests/{}", text(&asked, "request"));
    let shown = station.get("lab", &request).await.ok();
    let stages = json!(["expose", "download", "transform"]);
    assert_eq!(shown["detail"]["plan"]["stages"], stages);
    assert_eq!(
        approve(&station, &asked, json!({})).await.refused(422),
        "expose_not_named"
    );
    approve(&station, &asked, json!({ "expose": true }))
        .await
        .ok();

    let run = ended(&station, "guest", &asked).await;
    let exposed = json!({ "rows": 3, "for": "x" });
    assert_eq!(
        run["value"],
        json!({ "asked": exposed, "data": false }),
        "{run}"
    );
    assert_eq!(run["files"].as_array().unwrap().len(), 1);
    let of_stages = run["stages"].as_array().unwrap();
    let named: Vec<&str> = of_stages.iter().map(|stage| text(stage, "stage")).collect();
    assert_eq!(json!(named), stages);
    let wall = |usage: &Value| usage["wall_ms"].as_u64().unwrap();
    let sum: u64 = of_stages.iter().map(|stage| wall(&stage["usage"])).sum();
    assert_eq!(wall(&run["usage"]), sum);
    assert_eq!(run["labels"][0]["dataset"], "lab/d");

    let id = text(&run, "id");
    let log = station
        .get("guest", &format!("/v1/runs/{id}/log"))
        .await
        .ok();
    let lines = log["items"].as_array().unwrap();
    let said: Vec<(i64, &str)> = lines
        .iter()
        .map(|line| (line["seq"].as_i64().unwrap(), text(line, "text")))
        .collect();
    assert_eq!(
        said,
        [
            (1, "stage expose"),
            (2, "stage download"),
            (3, "stage transform")
        ]
    );
    for who in ["guest", "lab"] {
        let reply = station.get(who, &format!("/v1/runs/{id}/exposed")).await;
        assert_eq!(&reply.body[..], br#"{"for":"x","rows":3}"#, "{who}");
    }
    let stranger = station.get("zoo", &format!("/v1/runs/{id}/exposed")).await;
    assert_eq!(stranger.refused(404), "not_found");
    let seen = station.get("lab", &format!("/v1/runs/{id}")).await.ok();
    assert_eq!(
        (&seen["value"], &seen["stages"][0]["value"]),
        (&Value::Null, &Value::Null)
    );
    station.stop().await;
}

#[tokio::test]
async fn after_a_stage_that_failed_none_starts_and_the_run_says_which_it_was() {
    let mut station = station().await;
    let asked = ask(
        &station,
        "guest",
        json!({ "fails": "download" }),
        "ask_owners",
    )
    .await
    .ok();
    approve(&station, &asked, json!({ "expose": true }))
        .await
        .ok();
    let run = ended(&station, "guest", &asked).await;
    assert_eq!(run["reason"], json!({ "code": "failed", "exit_code": 7 }));
    let stages = run["stages"].as_array().unwrap();
    let reasons: Vec<_> = stages
        .iter()
        .map(|stage| (text(stage, "stage"), text(&stage["reason"], "code")))
        .collect();
    assert_eq!(reasons, [("expose", "succeeded"), ("download", "failed")]);
    assert!(
        run.get("value").is_none() && run.get("files").is_none(),
        "{run}"
    );
    station.stop().await;
}

#[tokio::test]
async fn what_came_out_is_shown_nowhere_once_an_owner_took_his_yes_back() {
    let mut station = station().await;
    let asked = ask(&station, "guest", json!({}), "ask_owners").await.ok();
    approve(&station, &asked, json!({ "expose": true }))
        .await
        .ok();
    let run = ended(&station, "guest", &asked).await;
    let id = text(&run, "id");
    let revoke = format!("/v1/requests/{}/revoke", text(&asked, "request"));
    station.post("lab", &revoke, json!({})).await.ok();
    let seen = station.get("guest", &format!("/v1/runs/{id}")).await.ok();
    assert_eq!(
        (&seen["withheld"], &seen["state"]),
        (&json!(true), &json!("ended"))
    );
    assert_eq!(seen["reason"], json!({ "code": "succeeded" }));
    for part in ["log", "exposed", "files/got.txt"] {
        let reply = station.get("guest", &format!("/v1/runs/{id}/{part}")).await;
        assert_eq!(reply.refused(403), "withheld", "{part}");
    }
    // Neither by events, nor by asking in other ways for the same run.
    let events = station.get("guest", &format!("/v1/runs/{id}/events")).await;
    let events = String::from_utf8(events.body.to_vec()).unwrap();
    assert!(
        events.contains("event: end") && !events.contains("event: log"),
        "{events}"
    );
    let waited = station
        .get("guest", &format!("/v1/runs/{id}?wait=1s"))
        .await
        .ok();
    let cancelled = station
        .post("guest", &format!("/v1/runs/{id}/cancel"), json!({}))
        .await
        .ok();
    let listed = station.get("guest", "/v1/runs").await.ok()["items"][0].clone();
    for seen in [waited, cancelled, listed] {
        for part in ["value", "files", "usage"] {
            assert!(seen.get(part).is_none(), "{part}: {seen}");
        }
        let digests = seen["stages"].as_array().into_iter().flatten();
        assert!(
            digests.clone().all(|stage| stage.get("value").is_none()),
            "{seen}"
        );
    }
    let exposed = station.get("lab", &format!("/v1/runs/{id}/exposed")).await;
    assert_eq!(exposed.ok()["rows"], 3);
    station.stop().await;
}

#[tokio::test]
async fn the_same_key_tells_no_more_than_the_run_itself() {
    let mut station = station().await;
    station
        .push_function("devs/f", "def transform(d, c): return d.text()")
        .await;
    let body = json!({ "function": "devs/f", "on": ["lab/d"] });
    let headers = [("idempotency-key", "once")];
    let send = async || {
        station
            .send_with("guest", "POST", "/v1/runs", &headers, body.clone())
            .await
    };
    let asked = send().await.ok();
    approve(&station, &asked, json!({})).await.ok();
    ended(&station, "guest", &asked).await;
    assert!(send().await.ok().get("value").is_some());
    let revoke = format!("/v1/requests/{}/revoke", text(&asked, "request"));
    station.post("lab", &revoke, json!({})).await.ok();
    assert!(send().await.ok().get("value").is_none());
    station.stop().await;
}

#[tokio::test]
async fn a_run_in_stages_is_cancelled_in_any_of_them_and_the_next_does_not_start() {
    const SLOW: &str = r#"
import time
def download(ctx):
    print("here", flush=True)
    time.sleep(60)
def transform(data, ctx):
    return 1
"#;
    let mut station = station().await;
    station.push_function("devs/slow", SLOW).await;
    let asked = station.ask("guest", "devs/slow", &[], json!({})).await;
    let id = text(&asked, "id").to_owned();
    station.until_it_speaks(&id).await;
    station
        .post("guest", &format!("/v1/runs/{id}/cancel"), json!({}))
        .await
        .ok();
    let run = ended(&station, "guest", &asked).await;
    assert_eq!(run["reason"], json!({ "code": "cancelled", "by": "guest" }));
    assert_eq!(run["stages"].as_array().unwrap().len(), 1, "{run}");
    assert_eq!(run["stages"][0]["reason"]["code"], "cancelled", "{run}");
    station.stop().await;
}

#[tokio::test]
async fn who_owns_the_data_and_wrote_the_function_says_so_with_the_run() {
    let mut station = station().await;
    station.push_dataset("devs/d", "d.csv", DATA).await;
    let ask = async |who: &str, on: &str, expose: &str| {
        let body = json!({ "function": "devs/all", "on": [on], "expose": expose });
        station.post(who, "/v1/runs", body).await
    };
    assert_eq!(
        ask("devs", "devs/d", "off").await.refused(422),
        "expose_off"
    );
    assert_eq!(
        ask("lab", "lab/d", "all_datasets").await.refused(409),
        "conflict"
    );
    assert_eq!(
        ask("devs", "lab/d", "all_datasets").await.refused(409),
        "conflict"
    );
    // Asking asks himself too, in so many words.
    let asked = ask("devs", "devs/d", "ask_owners").await.ok();
    assert_eq!(asked["waits_for"], json!(["devs"]));
    let run = ask("devs", "devs/d", "all_datasets").await.ok();
    let run = ended(&station, "devs", &run).await;
    assert_eq!(run["reason"]["code"], "succeeded", "{run}");
    let again = ask("devs", "devs/d", "off").await;
    assert_eq!(
        again.refused(422),
        "expose_off",
        "it holds for that one run"
    );
    station.stop().await;
}
