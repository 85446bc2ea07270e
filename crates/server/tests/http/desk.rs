//! The owner's desk, through the router: who is asked, what he sees, and what
//! each of his answers leads to. The worker is off; runs stop at `queued`.

use crate::support::{self, Station, text};
use serde_json::{Value, json};
use strongroom_core::run::Enforced;

/// A station with two datasets of two owners and a function of `devs`.
async fn station() -> Station {
    let station = Station::new().await;
    station.push_dataset("lab/d", "d.csv", b"1").await;
    station.push_dataset("zoo/d", "d.csv", b"2").await;
    station.push_function("devs/f", "print('one')\n").await;
    station
}

async fn ask(station: &Station, args: Value) -> Value {
    station.ask("guest", "devs/f", &["lab/d"], args).await
}

async fn state(station: &Station, run: &Value) -> String {
    let run = station
        .get("guest", &format!("/v1/runs/{}", text(run, "id")))
        .await
        .ok();
    text(&run, "state").to_owned()
}

async fn reason(station: &Station, run: &Value) -> Value {
    let run = station
        .get("guest", &format!("/v1/runs/{}", text(run, "id")))
        .await
        .ok();
    run["reason"].clone()
}

async fn answer(station: &Station, owner: &str, run: &Value, verb: &str, body: Value) -> Value {
    let path = format!("/v1/requests/{}/{verb}", text(run, "request"));
    station.post(owner, &path, body).await.ok()
}

#[tokio::test]
async fn a_run_on_foreign_data_waits_for_its_owner_and_on_own_data_for_nobody() {
    let station = station().await;
    let reply = station
        .post(
            "guest",
            "/v1/runs",
            json!({ "function": "devs/f", "on": ["lab/d"] }),
        )
        .await;
    assert_eq!(reply.status, 202);
    let run = reply.json();
    assert_eq!(
        reply.headers["location"],
        format!("/v1/runs/{}", text(&run, "id"))
    );
    assert_eq!(
        (text(&run, "state"), &run["waits_for"]),
        ("waiting", &json!(["lab"]))
    );
    let own = station.ask("lab", "devs/f", &["lab/d"], json!({})).await;
    assert_eq!(own["state"], "queued");
    let none = station.ask("guest", "devs/f", &[], json!({})).await;
    assert_eq!(none["state"], "queued");
}

#[tokio::test]
async fn an_approval_covers_the_plan_to_the_byte_and_nothing_else() {
    let station = station().await;
    let first = ask(&station, json!({ "n": 1 })).await;
    assert_eq!(
        answer(&station, "lab", &first, "approve", json!({})).await["state"],
        "approved"
    );
    assert_eq!(state(&station, &first).await, "queued");
    assert_eq!(
        ask(&station, json!({ "n": 1 })).await["state"],
        "queued",
        "the same again"
    );
    assert_eq!(
        ask(&station, json!({ "n": 2 })).await["state"],
        "waiting",
        "other arguments"
    );
    let body = json!({ "function": "devs/f", "on": ["lab/d"], "args": { "n": 1 }, "limits": { "memory": "300 MiB" } });
    assert_eq!(
        station.post("guest", "/v1/runs", body).await.ok()["state"],
        "waiting",
        "other limits"
    );
    let other = station
        .ask("zoo", "devs/f", &["lab/d"], json!({ "n": 1 }))
        .await;
    assert_eq!(other["state"], "waiting", "another caller");
    station.push_function("devs/f", "print('two')\n").await;
    assert_eq!(
        ask(&station, json!({ "n": 1 })).await["state"],
        "waiting",
        "one byte of the function"
    );
    let old = station
        .ask("guest", "devs/f~1", &["lab/d"], json!({ "n": 1 }))
        .await;
    assert_eq!(old["state"], "queued", "the version that was approved");
    station.push_dataset("lab/d", "d.csv", b"3").await;
    let new = station
        .ask("guest", "devs/f~1", &["lab/d"], json!({ "n": 1 }))
        .await;
    assert_eq!(new["state"], "waiting", "one byte of the data");
}

#[tokio::test]
async fn an_owner_sees_the_source_and_what_changed_since_he_last_approved() {
    let station = station().await;
    let first = ask(&station, json!({})).await;
    let path = format!("/v1/requests/{}", text(&first, "request"));
    let seen = station.get("lab", &path).await.ok();
    assert_eq!(seen["detail"]["files"]["main.py"], "print('one')\n");
    assert!(seen["detail"].get("diff").is_none(), "{seen}");
    assert_eq!(seen["inputs"]["only"]["dataset"], "lab/d");
    answer(&station, "lab", &first, "approve", json!({})).await;
    station.push_function("devs/f", "print('two')\n").await;
    let second = ask(&station, json!({})).await;
    let path = format!("/v1/requests/{}", text(&second, "request"));
    let seen = station.get("lab", &path).await.ok();
    let diff = text(&seen["detail"], "diff");
    assert_eq!(
        diff,
        "--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-print('one')\n+print('two')\n"
    );
    let asked = station.get("guest", &path).await.ok();
    assert_eq!(
        asked["detail"]["files"],
        json!({}),
        "the caller is not shown the source"
    );
    assert!(asked["detail"].get("diff").is_none());
    let version = "/v1/functions/devs/f/versions/latest";
    assert!(
        station
            .get("guest", version)
            .await
            .ok()
            .get("files")
            .is_none()
    );
    assert_eq!(
        station.get("devs", version).await.ok()["files"]["main.py"],
        "print('two')\n"
    );
}

#[tokio::test]
async fn a_plan_over_two_owners_data_needs_both() {
    let station = station().await;
    let on = ["left=lab/d", "right=zoo/d"];
    let run = station.ask("guest", "devs/f", &on, json!({})).await;
    assert_eq!(run["waits_for"], json!(["lab", "zoo"]));
    let after = answer(&station, "lab", &run, "approve", json!({})).await;
    assert_eq!(
        (&after["state"], state(&station, &run).await.as_str()),
        (&json!("pending"), "waiting")
    );
    let after = answer(&station, "zoo", &run, "approve", json!({})).await;
    assert_eq!(
        (&after["state"], state(&station, &run).await.as_str()),
        (&json!("approved"), "queued")
    );
}

#[tokio::test]
async fn one_rejection_ends_it_and_says_who_and_why() {
    let station = station().await;
    let run = station
        .ask("guest", "devs/f", &["left=lab/d", "right=zoo/d"], json!({}))
        .await;
    answer(&station, "lab", &run, "approve", json!({})).await;
    answer(
        &station,
        "zoo",
        &run,
        "reject",
        json!({ "reason": "too broad" }),
    )
    .await;
    let why = reason(&station, &run).await;
    assert_eq!(why["code"], "refused");
    assert!(
        text(&why, "why").contains("zoo") && text(&why, "why").contains("too broad"),
        "{why}"
    );
    let path = format!("/v1/requests/{}/approve", text(&run, "request"));
    assert_eq!(
        station.post("zoo", &path, json!({})).await.refused(409),
        "conflict"
    );
}

#[tokio::test]
async fn uses_and_times_bound_an_approval() {
    let station = station().await;
    let run = ask(&station, json!({})).await;
    answer(&station, "lab", &run, "approve", json!({ "uses": 2 })).await;
    assert_eq!(ask(&station, json!({})).await["state"], "queued");
    assert_eq!(
        ask(&station, json!({})).await["state"],
        "waiting",
        "used up"
    );
    let run = ask(&station, json!({ "n": 1 })).await;
    let until_ms = station.app.now_ms() + 60_000;
    answer(
        &station,
        "lab",
        &run,
        "approve",
        json!({ "until_ms": until_ms }),
    )
    .await;
    assert_eq!(ask(&station, json!({ "n": 1 })).await["state"], "queued");
    station.app.clock.advance(60_001);
    assert_eq!(
        ask(&station, json!({ "n": 1 })).await["state"],
        "waiting",
        "expired"
    );
    let listed = station.get("lab", "/v1/approvals").await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_approval_of_a_domain_covers_what_is_inside_and_what_already_waits() {
    let station = station().await;
    let inside = ask(&station, json!({ "n": 2 })).await;
    let outside = ask(&station, json!({ "n": 9 })).await;
    let first = ask(&station, json!({ "n": 1 })).await;
    let schema = json!({ "args_schema": { "properties": { "n": { "maximum": 5 } } } });
    answer(&station, "lab", &first, "approve", schema).await;
    assert_eq!(state(&station, &first).await, "queued");
    assert_eq!(state(&station, &inside).await, "queued");
    assert_eq!(state(&station, &outside).await, "waiting");
}

#[tokio::test]
async fn revoking_ends_what_waits_under_the_approval() {
    let station = station().await;
    let run = ask(&station, json!({})).await;
    answer(&station, "lab", &run, "approve", json!({})).await;
    let again = ask(&station, json!({})).await;
    let revoked = answer(&station, "lab", &run, "revoke", json!({})).await;
    assert_eq!(revoked["state"], "revoked");
    for run in [&run, &again] {
        assert_eq!(
            reason(&station, run).await,
            json!({ "code": "cancelled", "by": "lab" })
        );
    }
    assert_eq!(ask(&station, json!({})).await["state"], "waiting");
}

#[tokio::test]
async fn rules_permit_and_forbid_and_the_request_says_which() {
    let station = station().await;
    let rules = r#"
        @id("small") permit(principal == User::"guest", action, resource)
            when { context.numbers.hasTag("n") && context.numbers.getTag("n") < 5 };
        @id("never") forbid(principal, action, resource)
            when { context.purpose == "marketing" };"#;
    let put = station
        .send("lab", "PUT", "/v1/rules", json!({ "text": rules }))
        .await;
    assert_eq!(put.ok()["text"], rules);
    let run = ask(&station, json!({ "n": 1 })).await;
    assert_eq!(run["state"], "queued");
    let request = station
        .get("lab", &format!("/v1/requests/{}", text(&run, "request")))
        .await
        .ok();
    let grounds = &request["verdicts"]["lab"]["grounds"];
    assert_eq!(
        (&grounds["kind"], &grounds["policies"][0]["name"]),
        (&json!("rule"), &json!("small"))
    );
    // What the rules of an owner say is for himself.
    assert_ne!(grounds["policies"][0]["text"], "");
    let path = format!("/v1/requests/{}", text(&run, "request"));
    let seen = station.get("guest", &path).await.ok();
    let policy = &seen["verdicts"]["lab"]["grounds"]["policies"][0];
    assert_eq!(
        (&policy["name"], &policy["text"]),
        (&json!("small"), &json!(""))
    );
    assert_eq!(ask(&station, json!({ "n": 9 })).await["state"], "waiting");
    let body = json!({ "function": "devs/f", "on": ["lab/d"], "args": { "n": 1 }, "purpose": "marketing" });
    let run = station.post("guest", "/v1/runs", body).await.ok();
    assert_eq!(run["reason"]["code"], "refused");
}

#[tokio::test]
async fn a_waiting_or_queued_run_is_cancelled_at_once() {
    let station = station().await;
    for args in [json!({ "n": 1 }), json!({ "n": 2 })] {
        let run = ask(&station, args.clone()).await;
        if args["n"] == 2 {
            answer(&station, "lab", &run, "approve", json!({})).await;
        }
        let path = format!("/v1/runs/{}/cancel", text(&run, "id"));
        let cancelled = station.post("guest", &path, json!({})).await;
        assert_eq!(cancelled.status, 200);
        assert_eq!(
            cancelled.json()["reason"],
            json!({ "code": "cancelled", "by": "guest" })
        );
        let again = station.post("guest", &path, json!({})).await.ok();
        assert_eq!(
            again["reason"]["code"], "cancelled",
            "a second cancel changes nothing"
        );
    }
}

#[tokio::test]
async fn a_run_whose_sandbox_is_being_built_is_cancelled_before_its_guest_begins() {
    let station = station().await;
    let run = station.ask("guest", "devs/f", &[], json!({})).await;
    let claimed = station
        .app
        .store
        .run_claim("boot", 1)
        .await
        .unwrap()
        .unwrap();
    let path = format!("/v1/runs/{}/cancel", text(&run, "id"));
    assert_eq!(
        station.post("guest", &path, json!({})).await.ok()["state"],
        "ended"
    );
    assert!(
        !station
            .app
            .store
            .run_start(&claimed.run, &Enforced::default(), 2)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_request_that_nobody_answers_expires() {
    let station = station().await;
    let run = ask(&station, json!({})).await;
    station
        .app
        .clock
        .advance(station.app.config.request_ttl_ms + 1);
    assert_eq!(station.app.requests_expire().await.unwrap(), 1);
    assert_eq!(reason(&station, &run).await["code"], "refused");
}

#[tokio::test]
async fn the_same_key_with_the_same_body_is_the_same_run() {
    let station = station().await;
    let body = json!({ "function": "devs/f", "on": ["lab/d"] });
    let send = async |who: &str, key: &str, body: &Value| {
        station
            .send_with(
                who,
                "POST",
                "/v1/runs",
                &[("idempotency-key", key)],
                body.clone(),
            )
            .await
    };
    let first = send("guest", "k", &body).await.ok();
    assert_eq!(send("guest", "k", &body).await.ok()["id"], first["id"]);
    assert_ne!(send("guest", "l", &body).await.ok()["id"], first["id"]);
    assert_ne!(
        send("zoo", "k", &body).await.ok()["id"],
        first["id"],
        "keys are each caller's own"
    );
    let other = json!({ "function": "devs/f", "on": ["lab/d"], "purpose": "other" });
    assert_eq!(send("guest", "k", &other).await.refused(409), "conflict");
    assert_eq!(
        send("guest", &"k".repeat(201), &body).await.refused(400),
        "bad_header"
    );
    assert_eq!(send("guest", "", &body).await.refused(400), "bad_header");
}

#[tokio::test]
async fn every_answer_is_in_the_audit_record_of_those_it_concerns() {
    let station = station().await;
    let run = ask(&station, json!({})).await;
    answer(&station, "lab", &run, "approve", json!({})).await;
    for who in ["lab", "guest", "admin"] {
        let events = station.get(who, "/v1/audit?limit=1000").await.ok();
        let actions: Vec<&str> = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| text(event, "action"))
            .collect();
        assert!(
            actions.iter().any(|action| action.contains("approve")),
            "{who}: {actions:?}"
        );
    }
    let events = station
        .get("zoo", "/v1/audit?limit=1000")
        .await
        .ok()
        .to_string();
    assert!(!events.contains(text(&run, "request")), "{events}");
    let first = station.get("admin", "/v1/audit?limit=2").await.ok();
    let next = text(&first, "next");
    let second = station
        .get("admin", &format!("/v1/audit?limit=2&after={next}"))
        .await
        .ok();
    assert_eq!(
        second["items"][0]["seq"],
        first["items"][1]["seq"].as_i64().unwrap() + 1
    );
}

#[tokio::test]
async fn a_clock_that_jumps_changes_no_order_and_ends_no_wait() {
    let station = Station::new().await;
    station.push_function("devs/f", "print(1)\n").await;
    let mut asked = Vec::new();
    for jump_ms in [0, -3_600_000, 7_200_000, -86_400_000] {
        station.app.clock.advance(jump_ms);
        let run = station.ask("guest", "devs/f", &[], json!({})).await;
        asked.push(text(&run, "id").to_owned());
    }
    let listed = station.get("guest", "/v1/runs").await.ok();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().rev().collect();
    let listed: Vec<_> = listed.into_iter().map(|run| text(run, "id")).collect();
    assert_eq!(listed, asked, "newest first, whatever the clock said");
    for id in &asked {
        let claimed = station.app.store.run_claim("boot", 1).await.unwrap();
        assert_eq!(claimed.unwrap().run.as_str(), id, "oldest first");
    }
    // A wait is as long as was asked for, though the day is another by its end.
    let path = format!("/v1/runs/{}?wait=1s", asked[0]);
    let began = std::time::Instant::now();
    let waited = station.get("guest", &path).await.ok();
    assert_eq!(waited["state"], "starting");
    assert!(began.elapsed() < support::PATIENCE);
}
