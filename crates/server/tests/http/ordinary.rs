//! A whole station of an ordinary user, with control groups handed to it.

#[path = "../../../jail/tests/cell/delegated.rs"]
mod delegated;

use std::path::PathBuf;

use crate::support::{Station, text};
use serde_json::{Value, json};

const FUNCTION: &str = "def transform(data, ctx): return len(list(data.rows()))";
/// Tries what must not be possible, and fails if any of it was.
const NOSY: &str = r#"
import os, socket
def tried(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return error.errno
    raise SystemExit(f"{what} {arguments} was possible")
tried(open, "/etc/shadow")
tried(os.listdir, "/home")
tried(socket.socket)
tried(open, "/function/main.py", "a")
tried(os.kill, os.getppid(), 9)
"#;

async fn ended(station: &Station, run: &Value) -> Value {
    let path = format!("/v1/runs/{}?wait=30s", text(run, "id"));
    let run = station.get("guest", &path).await.ok();
    assert_eq!(run["state"], "ended", "{run}");
    run
}

async fn walk(groups: Vec<PathBuf>) {
    let mut station = Station::ordinary(groups.clone()).await;
    station.push_dataset("lab/d", "d.csv", b"a\n1\n2\n").await;
    station.push_function("devs/f", FUNCTION).await;
    let asked = station.ask("guest", "devs/f", &["lab/d"], json!({})).await;
    assert_eq!(text(&asked, "state"), "waiting");
    let approve = format!("/v1/requests/{}/approve", text(&asked, "request"));
    station.post("lab", &approve, json!({})).await.ok();
    let run = ended(&station, &asked).await;
    assert_eq!(
        (&run["reason"]["code"], &run["value"]),
        (&json!("succeeded"), &json!(2)),
        "{run}"
    );
    assert_eq!(run["enforced"]["tier"], "full");
    for (source, code) in [
        (NOSY, "succeeded"),
        ("x = bytearray(1 << 30)", "out_of_memory"),
        ("import time; time.sleep(60)", "timed_out"),
    ] {
        station.push_function("devs/g", source).await;
        let body = json!({ "function": "devs/g", "limits": { "time": "2s", "memory": "64MiB" } });
        let asked = station.post("guest", "/v1/runs", body).await.json();
        let run = ended(&station, &asked).await;
        assert_eq!(run["reason"]["code"], code, "{run}");
    }
    // An /out that needs a disk is refused, and one that memory holds is not.
    station
        .push_function("devs/g", "open('/out/x', 'w').write('1')")
        .await;
    for (memory, code) in [("64MiB", "refused"), ("256MiB", "succeeded")] {
        let limits = json!({ "memory": memory, "out": "128MiB" });
        let body = json!({ "function": "devs/g", "limits": limits });
        let asked = station.post("guest", "/v1/runs", body).await.json();
        let run = ended(&station, &asked).await;
        assert_eq!(run["reason"]["code"], code, "{run}");
        if code == "refused" {
            let why = text(&run["reason"], "why");
            assert!(why.contains("cannot lie on a disk here"), "{why}");
            assert!(why.contains("ordinary user"), "{why}");
        }
    }
    station.stop().await;
    drop(station);
    for group in groups {
        let inside = std::fs::read_dir(&group).unwrap().flatten();
        let left: Vec<_> = inside.filter(|entry| entry.path().is_dir()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn an_ordinary_user_runs_a_whole_station_that_leaves_nothing() {
    let test = "ordinary::an_ordinary_user_runs_a_whole_station_that_leaves_nothing";
    delegated::as_nobody(test, true, |groups| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(walk(groups));
    });
}
