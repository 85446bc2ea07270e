//! The whole walk through the router, in the real jail: a stranger's function
//! runs on an owner's data, and only what was approved happens.

use crate::support::{self, Sent, Station, text};
use axum::http::header;
use serde_json::{Value, json};

const FUNCTION: &str = r#"
import csv, sys

def transform(data, ctx):
    rows = list(data.rows())
    print("read", len(rows), "rows", file=sys.stderr)
    (ctx.out / "count.txt").write_text(str(len(rows)))
    return {"rows": len(rows), "by": ctx.args.get("by")}
"#;
const DATA: &[u8] = b"species,mass\na,1\nb,2\nc,3\n";

async fn station() -> Station {
    let station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", DATA).await;
    station.push_function("devs/f", FUNCTION).await;
    station
}

async fn ask(station: &Station, args: Value) -> Value {
    station.ask("guest", "devs/f", &["lab/d"], args).await
}

/// The run once it has ended.
async fn ended(station: &Station, run: &Value) -> Value {
    let path = format!("/v1/runs/{}?wait=30s", text(run, "id"));
    let run = station.get("guest", &path).await.ok();
    assert_eq!(run["state"], "ended", "{run}");
    run
}

async fn answer(station: &Station, run: &Value, verb: &str) -> Value {
    let path = format!("/v1/requests/{}/{verb}", text(run, "request"));
    station.post("lab", &path, json!({})).await.ok()
}

/// A run of `source` without data, and its end.
async fn run(station: &Station, source: &str) -> Value {
    station.push_function("devs/g", source).await;
    let asked = station.ask("guest", "devs/g", &[], json!({ "x": 1 })).await;
    ended(station, &asked).await
}

/// Waits until a run is in a state.
async fn until(station: &Station, run: &Value, state: &str) {
    let id = text(run, "id").parse().unwrap();
    let path = format!("/v1/runs/{id}");
    let mut ear = station.app.watch.listen(&id);
    tokio::time::timeout(support::PATIENCE, async {
        while station.get("guest", &path).await.ok()["state"] != state {
            ear.news().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_approved_run_starts_by_itself_and_its_caller_gets_all_of_it() {
    let mut station = station().await;
    let asked = ask(&station, json!({ "by": "species" })).await;
    assert_eq!(
        (text(&asked, "state"), &asked["waits_for"]),
        ("waiting", &json!(["lab"]))
    );
    answer(&station, &asked, "approve").await;
    let run = ended(&station, &asked).await;
    assert_eq!(run["reason"]["code"], "succeeded", "{run}");
    assert_eq!(run["value"], json!({ "rows": 3, "by": "species" }));
    assert_eq!(run["files"][0]["path"], "count.txt");
    let usage = &run["usage"];
    for field in ["wall_ms", "memory_peak_bytes", "out_bytes"] {
        assert!(
            usage[field].as_u64().is_some_and(|n| 0 < n),
            "{field}: {usage}"
        );
    }
    assert_eq!(run["enforced"]["tier"], "full");
    let id = text(&run, "id");
    let file = station
        .get("guest", &format!("/v1/runs/{id}/files/count.txt"))
        .await;
    assert_eq!(&file.body[..], b"3");
    let log = station
        .get("guest", &format!("/v1/runs/{id}/log"))
        .await
        .ok();
    assert_eq!(
        (&log["items"][0]["text"], &log["items"][0]["stream"]),
        (&json!("read 3 rows"), &json!("stderr"))
    );
    let again = ask(&station, json!({ "by": "species" })).await;
    assert_ne!(again["state"], "waiting", "what was approved may run again");
    assert_eq!(ended(&station, &again).await["reason"]["code"], "succeeded");
    station
        .push_function("devs/f", &format!("{FUNCTION}\n"))
        .await;
    let changed = ask(&station, json!({ "by": "species" })).await;
    assert_eq!(
        changed["state"], "waiting",
        "one byte more is another question"
    );
    station.stop().await;
}

#[tokio::test]
async fn a_blocking_submission_answers_with_the_end() {
    let mut station = station().await;
    let body = json!({ "function": "devs/f", "on": ["lab/d"] });
    let reply = station.post("lab", "/v1/runs?wait=30s", body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["value"]["rows"], 3);
    station.stop().await;
}

#[tokio::test]
async fn a_run_is_cancelled_while_its_guest_runs() {
    let mut station = station().await;
    station
        .push_function("devs/g", "import time\nprint('here')\ntime.sleep(60)")
        .await;
    let asked = station.ask("guest", "devs/g", &[], json!({})).await;
    until(&station, &asked, "running").await;
    station
        .post(
            "guest",
            &format!("/v1/runs/{}/cancel", text(&asked, "id")),
            json!({}),
        )
        .await
        .ok();
    let run = ended(&station, &asked).await;
    assert_eq!(run["reason"], json!({ "code": "cancelled", "by": "guest" }));
    station.stop().await;
}

#[tokio::test]
async fn revoking_kills_what_runs_under_the_approval() {
    let mut station = station().await;
    station
        .push_function("devs/f", "import time\ntime.sleep(60)")
        .await;
    let asked = ask(&station, json!({})).await;
    answer(&station, &asked, "approve").await;
    until(&station, &asked, "running").await;
    answer(&station, &asked, "revoke").await;
    let run = ended(&station, &asked).await;
    assert_eq!(run["reason"], json!({ "code": "cancelled", "by": "lab" }));
    station.stop().await;
}

#[tokio::test]
async fn every_end_has_its_reason() {
    let mut station = station().await;
    let code = async |source: &str| run(&station, source).await["reason"].clone();
    assert_eq!(
        code("raise SystemExit(3)").await,
        json!({ "code": "failed", "exit_code": 3 })
    );
    let limits = "# /// script\n# [tool.strongroom.limits]\n# time = \"500ms\"\n# ///\n";
    let slow = format!("{limits}import time\ntime.sleep(60)");
    assert_eq!(
        code(&slow).await,
        json!({ "code": "timed_out", "limit_ms": 500 })
    );
    assert_eq!(
        code("x = bytearray(1 << 30)").await["code"],
        "out_of_memory"
    );
    assert_eq!(
        code("while True: print('x' * 1000)").await["code"],
        "log_limit"
    );
    let twice = "open('/out/a', 'w')\nopen('/out/A', 'w')";
    assert_eq!(code(twice).await["code"], "output_refused");
    let full = "open('/out/a', 'w').write('x' * (65 << 20))";
    assert_eq!(code(full).await["code"], "output_too_large");
    station.stop().await;
}

#[tokio::test]
async fn a_guest_sees_its_data_and_neither_network_nor_host() {
    let mut station = station().await;
    let source = "\
import os, socket, sys, json
def transform(data, ctx):
    seen = sorted(os.listdir('/data'))
    try:
        socket.create_connection(('127.0.0.1', 80), 1)
        net = 'open'
    except OSError:
        net = 'closed'
    try:
        open('/data/d.csv', 'w')
        write = 'open'
    except OSError:
        write = 'closed'
    return {'seen': seen, 'net': net, 'write': write, 'shadow': os.path.exists('/etc/shadow'),
            'home': os.path.exists('/root'), 'uid': os.getuid()}";
    station.push_function("lab/g", source).await;
    let asked = station.ask("lab", "lab/g", &["lab/d"], json!({})).await;
    let run = station
        .get("lab", &format!("/v1/runs/{}?wait=30s", text(&asked, "id")))
        .await
        .ok();
    let expected = json!({
        "seen": ["d.csv"], "net": "closed", "write": "closed", "shadow": false, "home": false, "uid": 1000,
    });
    assert_eq!(run["value"], expected, "{run}");
    station.stop().await;
}

#[tokio::test]
async fn named_inputs_of_two_owners_lie_side_by_side() {
    let mut station = station().await;
    station.push_dataset("zoo/d", "z.csv", b"n\n1\n").await;
    let source = "import os\ndef transform(data, ctx):\n    return {n: os.listdir('/data/' + n) for n in os.listdir('/data')}";
    station.push_function("devs/two", source).await;
    let asked = station
        .ask(
            "guest",
            "devs/two",
            &["left=lab/d", "right=zoo/d"],
            json!({}),
        )
        .await;
    for owner in ["lab", "zoo"] {
        let path = format!("/v1/requests/{}/approve", text(&asked, "request"));
        station.post(owner, &path, json!({})).await.ok();
    }
    let run = ended(&station, &asked).await;
    assert_eq!(
        run["value"],
        json!({ "left": ["d.csv"], "right": ["z.csv"] }),
        "{run}"
    );
    station.stop().await;
}

#[tokio::test]
async fn a_script_blocks_and_answers_with_what_it_printed_whatever_its_exit_code() {
    let mut station = station().await;
    let code = [
        "import sys",
        "print('out')",
        "print('err', file=sys.stderr)",
        "sys.exit(4)",
    ];
    let reply = station
        .post(
            "guest",
            "/run-json",
            json!({ "client": "me", "code": code }),
        )
        .await;
    assert_eq!(reply.status, 200);
    let status = reply.json();
    assert_eq!(
        (text(&status, "stdout"), text(&status, "stderr")),
        ("out\n", "err\n")
    );
    assert_eq!(
        (&status["exit_code"], &status["reason"]["code"]),
        (&json!(4), &json!("failed"))
    );
    assert!(status["usage"]["wall_ms"].is_number());
    let form = "--x\r\ncontent-disposition: form-data; name=\"client\"\r\n\r\nme\r\n\
        --x\r\ncontent-disposition: form-data; name=\"files[]\"; filename=\"main.py\"\r\n\r\n\
        import other\r\n\
        --x\r\ncontent-disposition: form-data; name=\"files[]\"; filename=\"other.py\"\r\n\r\n\
        print('from other')\r\n--x--\r\n";
    let sent = Sent::of("multipart/form-data; boundary=x", form);
    let status = station.send("guest", "POST", "/run-file/", sent).await.ok();
    assert_eq!(
        (text(&status, "stdout"), &status["exit_code"]),
        ("from other\n", &json!(0)),
        "{status}"
    );
    station.stop().await;
}

#[tokio::test]
async fn a_script_leaves_nothing_for_the_next_one_and_has_its_own_bounds() {
    let mut station = station().await;
    let write = "open('/tmp/left', 'w').write('x')\nprint('wrote')";
    let status = station
        .post("guest", "/run-json", json!({ "code": write }))
        .await
        .ok();
    assert_eq!(text(&status, "stdout"), "wrote\n", "{status}");
    let look = "import os\nprint(os.listdir('/tmp'), os.listdir('/out'), os.path.exists('/data'))";
    let status = station
        .post("guest", "/run-json", json!({ "code": look }))
        .await
        .ok();
    assert_eq!(text(&status, "stdout"), "[] [] False\n");
    let status = station
        .post(
            "guest",
            "/run-json",
            json!({ "code": "x = bytearray(100 << 20)" }),
        )
        .await
        .ok();
    assert_eq!(
        status["reason"],
        json!({ "code": "out_of_memory", "limit_bytes": 60 << 20 })
    );
    station.stop().await;
}

#[tokio::test]
async fn an_async_script_is_found_under_its_location() {
    let mut station = station().await;
    let headers = [("prefer", "respond-async")];
    let reply = station
        .send_with(
            "guest",
            "POST",
            "/run-json",
            &headers,
            json!({ "code": "print(1)" }),
        )
        .await;
    assert_eq!(reply.status, 202);
    let run = reply.json();
    until(&station, &run, "ended").await;
    let status = station
        .get("guest", reply.headers[header::LOCATION].to_str().unwrap())
        .await
        .ok();
    assert_eq!(
        (text(&status, "state"), text(&status, "stdout")),
        ("ended", "1\n")
    );
    station.stop().await;
}

#[tokio::test]
async fn a_stop_kills_running_guests_and_leaves_the_queue() {
    let mut station = station().await;
    station
        .push_function("devs/g", "import time\ntime.sleep(60)")
        .await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(station.ask("guest", "devs/g", &[], json!({})).await);
    }
    until(&station, &runs[0], "running").await;
    until(&station, &runs[1], "running").await;
    station.stop().await;
    for run in &runs[..2] {
        let run = station
            .get("guest", &format!("/v1/runs/{}", text(run, "id")))
            .await
            .ok();
        assert_eq!(run["reason"]["code"], "host_error", "{run}");
        assert!(text(&run["reason"], "what").contains("interrupted"));
    }
    let third = station
        .get("guest", &format!("/v1/runs/{}", text(&runs[2], "id")))
        .await
        .ok();
    assert_eq!(third["state"], "queued");
}
