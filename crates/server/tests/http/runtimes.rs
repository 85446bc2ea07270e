//! Runtimes over HTTP: added by an admin, used by everyone, refused with a
//! reason.

use crate::support::{self, Sent, Station, text};
use serde_json::{Value, json};

const TOML: &[u8] = b"base = \"python3\"\npackages = \"packages\"\npreload = [\"bird\"]\n";

async fn add(station: &Station, name: &str, files: &[(&str, &[u8])]) -> support::Reply {
    let files = station.upload("admin", files).await;
    let body = json!({ "name": name, "files": files });
    station.post("admin", "/v1/runtimes", body).await
}

#[track_caller]
fn refused(reply: &support::Reply, status: u16, code: &str, says: &str) {
    assert_eq!(reply.refused(status), code, "{reply:?}");
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(says), "{detail}");
}

async fn push(station: &Station, source: &str) -> support::Reply {
    let toml = "runtime = \"birds\"";
    let files = json!({ "main.py": source, "strongroom.toml": toml });
    let body = json!({ "files": files });
    station
        .post("lab", "/v1/functions/lab/f/versions", body)
        .await
}

async fn run(station: &Station) -> Value {
    let asked = station.ask("lab", "lab/f", &[], json!({})).await;
    let path = format!("/v1/runs/{}?wait=30s", text(&asked, "id"));
    station.get("lab", &path).await.ok()
}

#[tokio::test]
async fn a_runtime_that_an_admin_adds_runs_functions_until_it_is_removed() {
    let mut station = Station::working().await;
    let source = "import bird\ndef transform(data, ctx): return bird.name";
    refused(
        &push(&station, source).await,
        422,
        "bad_manifest",
        "no runtime `birds` here; there are python3, sh, starlark, python3-data, node and binary",
    );
    let bird: &[u8] = b"name = 'robin'";
    let files = [("runtime.toml", TOML), ("packages/bird.py", bird)];
    let added = add(&station, "birds", &files).await.ok();
    assert_eq!(added["preload"], json!(["bird"]), "{added}");
    push(&station, source).await.ok();
    let ended = run(&station).await;
    assert_eq!(ended["value"], "robin", "{ended}");
    let one = "/v1/runtimes/birds";
    let shown = station.get("zoo", one).await.ok();
    let path = &shown["added"]["files"]["packages/bird.py"];
    assert_eq!(path["size_bytes"], bird.len());
    let kept = station.send("admin", "DELETE", one, Sent::nothing()).await;
    refused(&kept, 409, "conflict", "is used by lab/f");
    let forced = format!("{one}?force=true");
    let gone = station
        .send("admin", "DELETE", &forced, Sent::nothing())
        .await;
    assert_eq!(gone.status, 204);
    let asked = json!({ "function": "lab/f", "on": [] });
    let refusal = station.post("lab", "/v1/runs", asked).await;
    refused(&refusal, 422, "no_runtime", "no runtime `birds`");
    station.stop().await;
}

#[tokio::test]
async fn a_runtime_gives_way_to_another_only_when_that_is_said() {
    let station = Station::new().await;
    let before = add(&station, "x", &[("runtime.toml", b"base = \"sh\"")])
        .await
        .ok();
    let same = add(&station, "x", &[("runtime.toml", b"base = \"sh\"")]).await;
    assert_eq!(
        (same.status.as_u16(), &same.json()["unchanged"]),
        (200, &json!(true))
    );
    let other: &[(&str, &[u8])] = &[("runtime.toml", b"base = \"python3\"")];
    refused(&add(&station, "x", other).await, 409, "conflict", "stays");
    let files = station.upload("admin", other).await;
    let body = json!({ "name": "x", "files": files, "replace": true });
    let after = station.post("admin", "/v1/runtimes", body).await.ok();
    assert_ne!(after["digest"], before["digest"]);
    let listed = station.get("lab", "/v1/runtimes").await.ok();
    let names = listed["items"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|one| text(one, "name")).collect();
    let shipped = [
        "python3",
        "sh",
        "starlark",
        "python3-data",
        "node",
        "binary",
    ];
    assert_eq!(names, [&shipped[..], &["x"]].concat());
}

#[tokio::test]
async fn a_runtime_is_there_after_the_next_start() {
    let station = Station::new().await;
    let added = add(&station, "x", &[("runtime.toml", b"base = \"sh\"")])
        .await
        .ok();
    station.app.runtimes.remove(&"x".parse().unwrap());
    assert_eq!(
        station.get("lab", "/v1/runtimes/x").await.refused(404),
        "not_found"
    );
    station.app.runtimes_load().await.unwrap();
    assert_eq!(
        station.get("lab", "/v1/runtimes/x").await.ok()["digest"],
        added["digest"]
    );
}

#[tokio::test]
async fn a_folder_that_is_no_runtime_is_refused_with_its_fault_and_keeps_no_name() {
    let station = Station::new().await;
    let base: &[u8] = b"base = \"python3\"";
    let bad = async |name, files: &[(&str, &[u8])], code, says| {
        refused(&add(&station, name, files).await, 422, code, says);
    };
    bad("x", &[("a", b"")], "bad_runtime", "no file `runtime.toml`").await;
    bad(
        "x",
        &[("runtime.toml", b"bse = 1")],
        "bad_runtime",
        "line 1: unknown field",
    )
    .await;
    bad("x", &[("runtime.toml", b"\xff\0")], "bad_runtime", "line 1").await;
    bad("sh", &[("runtime.toml", base)], "bad_runtime", "is shipped").await;
    bad(
        "x",
        &[("runtime.toml", b"base = \"perl\"")],
        "bad_runtime",
        "base perl",
    )
    .await;
    bad(
        "x",
        &[("runtime.toml", TOML)],
        "bad_runtime",
        "no file below `packages`",
    )
    .await;
    let main: &[u8] = b"base = \"python3\"\nmain_program = \"m.py\"";
    bad(
        "x",
        &[("runtime.toml", main)],
        "bad_runtime",
        "no file `m.py`",
    )
    .await;
    let files: &[(&str, &[u8])] = &[("runtime.toml", main), ("m.py", b"\xff")];
    bad("x", files, "bad_runtime", "not a text").await;
    let files: &[(&str, &[u8])] = &[("runtime.toml", main), ("m.py", b"a\0b")];
    bad("x", files, "bad_runtime", "not a text").await;
    let files: &[(&str, &[u8])] = &[("runtime.toml", base), ("../m.py", b"")];
    bad("x", files, "bad_path", "..").await;
    let toml = vec![b'#'; (64 << 10) + 1];
    let long = add(&station, "x", &[("runtime.toml", &toml)]).await;
    refused(&long, 413, "too_large", "65536");
    let missing = json!({ "digest": strongroom_core::digest::Digest::of(b"?"), "size_bytes": 1 });
    let body = json!({ "name": "x", "files": { "runtime.toml": missing } });
    let reply = station.post("admin", "/v1/runtimes", body.clone()).await;
    refused(&reply, 422, "blob_missing", "runtime.toml");
    let mut huge = body;
    huge["files"]["runtime.toml"]["size_bytes"] = json!(1u64 << 60);
    let reply = station.post("admin", "/v1/runtimes", huge).await;
    refused(&reply, 413, "too_large", "more than 8 GiB");
    let listed = station.get("lab", "/v1/runtimes").await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 6);
    let shipped = station
        .send("admin", "DELETE", "/v1/runtimes/sh", Sent::nothing())
        .await;
    refused(&shipped, 409, "conflict", "shipped");
}
