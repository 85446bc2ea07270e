//! Bad input: each gets one clear refusal with the right status and code,
//! that says what and where, and nothing is half done.

use crate::support::{Reply, Sent, Station};
use serde_json::{Value, json};
use strongroom_core::digest::Digest;

/// Expects a refusal whose detail names `what`.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(reply.refused(status), code, "{reply:?}");
    let problem = reply.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(what), "`{detail}` does not name `{what}`");
}

/// Sends `body` to `POST /v1/runs` as a user who may.
async fn run(station: &Station, body: impl Into<Sent>) -> Reply {
    station.send("guest", "POST", "/v1/runs", body).await
}

#[tokio::test]
async fn a_body_that_is_no_json_document_is_refused_with_its_place() {
    let station = Station::new().await;
    refused(&run(&station, "").await, 400, "bad_json", "line 1");
    refused(
        &run(&station, "{").await,
        400,
        "bad_json",
        "line 1, column 1",
    );
    refused(&run(&station, "{} {}").await, 400, "bad_json", "column 4");
    refused(
        &run(&station, r#"{"on":[],"on":[]}"#).await,
        400,
        "bad_json",
        "`on` is there twice",
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused(
        &run(&station, &*deep).await,
        400,
        "bad_json",
        "nests deeper",
    );
    refused(
        &run(&station, r#"{"args":1e999}"#).await,
        400,
        "bad_json",
        "out of range",
    );
    refused(
        &run(
            &station,
            Sent::of("application/json", vec![b'"', 0xff, b'"']),
        )
        .await,
        400,
        "bad_json",
        "line 1",
    );
}

#[tokio::test]
async fn a_body_of_another_shape_is_refused_with_its_field() {
    let station = Station::new().await;
    refused(&run(&station, json!([])).await, 400, "bad_body", "body");
    refused(&run(&station, json!({})).await, 400, "bad_body", "function");
    refused(
        &run(&station, json!({ "function": 3 })).await,
        400,
        "bad_body",
        "function",
    );
    refused(
        &run(&station, json!({ "function": "lab/f", "unknown": 1 })).await,
        400,
        "bad_body",
        "unknown",
    );
    refused(
        &run(&station, json!({ "function": "LAB/f" })).await,
        400,
        "bad_body",
        "function: a name starts",
    );
    refused(
        &run(&station, json!({ "function": "lab" })).await,
        400,
        "bad_body",
        "owner/name",
    );
    refused(
        &run(&station, json!({ "function": "lab/f@sha256:12" })).await,
        400,
        "bad_body",
        "digest",
    );
    let limits = json!({ "function": "lab/f", "limits": { "memry": 1 } });
    refused(
        &run(&station, limits).await,
        400,
        "bad_body",
        "limits.memry",
    );
}

#[tokio::test]
async fn a_body_of_the_wrong_kind_or_size_is_refused_before_it_is_read() {
    let station = Station::new().await;
    refused(
        &run(&station, Sent::of("text/plain", "{}")).await,
        415,
        "not_json",
        "application/json",
    );
    let long = format!("\"{}\"", "x".repeat(3 << 20));
    refused(&run(&station, &*long).await, 413, "too_large", "2097152");
    let endless = futures::stream::repeat(Ok::<_, std::fmt::Error>(vec![b' '; 1 << 16]));
    let endless = Sent::of("application/json", axum::body::Body::from_stream(endless));
    refused(&run(&station, endless).await, 413, "too_large", "2097152");
}

#[tokio::test]
async fn bad_paths_and_queries_are_refused_with_their_part() {
    let station = Station::new().await;
    let get = async |path: &str| station.get("lab", path).await;
    refused(&get("/v1/nowhere").await, 404, "not_found", "no such page");
    refused(
        &get("/v1/datasets/LAB/d").await,
        400,
        "bad_path",
        "a name starts with",
    );
    refused(
        &get("/v1/datasets/lab/d/versions/sha256:00").await,
        400,
        "bad_path",
        "digest",
    );
    refused(
        &get("/v1/datasets/lab/d/versions/~x").await,
        400,
        "bad_path",
        "number of versions",
    );
    refused(
        &get("/v1/datasets/lab/d/versions/latest/files/..%2fx").await,
        400,
        "bad_path",
        "`..`",
    );
    refused(&get("/v1/datasets/lab/%ff").await, 400, "bad_path", "UTF-8");
    refused(&get("/v1/runs/run-1").await, 400, "bad_path", "run-");
    refused(&get("/v1/runs?limit=0").await, 400, "bad_query", "limit");
    refused(&get("/v1/runs?limit=201").await, 400, "bad_query", "limit");
    refused(&get("/v1/runs?limit=x").await, 400, "bad_query", "limit");
    refused(&get("/v1/runs?state=done").await, 400, "bad_query", "state");
    refused(&get("/v1/runs?wat=1").await, 400, "bad_query", "wat");
    refused(
        &get("/v1/requests?role=king").await,
        400,
        "bad_query",
        "role",
    );
    refused(&get("/v1/audit?after=-1").await, 400, "bad_query", "after");
    let id = "run-01arz3ndektsv4rrffq69g5fav";
    refused(
        &get(&format!("/v1/runs/{id}?wait=61s")).await,
        400,
        "bad_query",
        "60s",
    );
    refused(
        &get(&format!("/v1/runs/{id}?wait=soon")).await,
        400,
        "bad_query",
        "soon",
    );
    let reply = station
        .send("lab", "PATCH", "/v1/runs", Sent::nothing())
        .await;
    refused(&reply, 405, "method_not_allowed", "method");
}

#[tokio::test]
async fn a_token_that_is_not_valid_any_more_is_one_and_the_same_refusal() {
    let station = Station::new().await;
    let me = async |secret: &str| {
        station
            .send_as(Some(secret), "GET", "/v1/me", &[], Sent::nothing())
            .await
    };
    let expected = me("srt_wrong").await.json();
    let made = station
        .post(
            "lab",
            "/v1/tokens",
            json!({ "until_ms": station.app.now_ms() + 60_000 }),
        )
        .await
        .ok();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(me(&secret).await.ok()["user"], "lab");
    station.app.clock.advance(61_000);
    assert_eq!(me(&secret).await.json(), expected, "expired");
    let made = station.post("lab", "/v1/tokens", json!({})).await.ok();
    let (id, secret) = (
        made["id"].as_str().unwrap(),
        made["secret"].as_str().unwrap(),
    );
    assert_eq!(me(secret).await.status, 200);
    assert_eq!(
        station
            .send(
                "lab",
                "DELETE",
                &format!("/v1/tokens/{id}"),
                Sent::nothing()
            )
            .await
            .status,
        204
    );
    assert_eq!(me(secret).await.json(), expected, "revoked");
    assert_eq!(
        me(&format!("srt_{}", "A".repeat(43))).await.json(),
        expected,
        "unknown"
    );
    let listed = station.get("lab", "/v1/tokens").await.ok().to_string();
    assert!(
        !listed.contains("srt_") && !listed.contains("secret"),
        "{listed}"
    );
}

#[tokio::test]
async fn users_and_tokens_follow_their_laws() {
    let station = Station::new().await;
    let post = async |path: &str, body: Value| station.post("admin", path, body).await;
    refused(
        &post("/v1/users", json!({ "name": "lab" })).await,
        409,
        "conflict",
        "lab",
    );
    refused(
        &post("/v1/users", json!({ "name": "station" })).await,
        422,
        "reserved_name",
        "station",
    );
    refused(
        &post("/v1/users", json!({ "name": "a b" })).await,
        400,
        "bad_body",
        "name",
    );
    refused(
        &post("/v1/tokens", json!({ "label": "x".repeat(201) })).await,
        422,
        "too_long",
        "label",
    );
    refused(
        &post("/v1/tokens", json!({ "until_ms": 1 })).await,
        422,
        "bad_time",
        "until_ms",
    );
    refused(
        &post("/v1/tokens", json!({ "user": "unknown" })).await,
        404,
        "not_found",
        "user",
    );
    let reply = station
        .post("lab", "/v1/tokens", json!({ "user": "zoo" }))
        .await;
    refused(&reply, 404, "not_found", "user");
}

#[tokio::test]
async fn a_dataset_that_breaks_a_law_leaves_no_version() {
    let station = Station::new().await;
    let bytes = b"x".to_vec();
    let digest = Digest::of(&bytes);
    let upload = async |who: &str, digest: Digest| {
        station
            .send(who, "PUT", &format!("/v1/blobs/{digest}"), bytes.clone())
            .await
    };
    refused(
        &upload("lab", Digest::of(b"y")).await,
        422,
        "digest_mismatch",
        &digest.to_string(),
    );
    assert_eq!(upload("lab", digest).await.status, 204);
    let file = json!({ "digest": digest, "size_bytes": 1 });
    let push = async |files: Value| {
        station
            .post(
                "lab",
                "/v1/datasets/lab/d/versions",
                json!({ "files": files }),
            )
            .await
    };
    refused(&push(json!({})).await, 422, "bad_path", "no files");
    refused(
        &push(json!({ "../x": file })).await,
        422,
        "bad_path",
        "`..`",
    );
    refused(
        &push(json!({ "/x": file })).await,
        422,
        "bad_path",
        "absolute",
    );
    refused(
        &push(json!({ "a": file, "A": file })).await,
        422,
        "bad_path",
        "differ only in case",
    );
    refused(
        &push(json!({ "a": file, "a/b": file })).await,
        422,
        "bad_path",
        "both a file and a folder",
    );
    refused(
        &push(json!({ "a\u{202e}": file })).await,
        422,
        "bad_path",
        "direction",
    );
    let other = json!({ "digest": Digest::of(b"z"), "size_bytes": 1 });
    refused(
        &push(json!({ "a": other })).await,
        422,
        "blob_missing",
        "`a`",
    );
    let lied = json!({ "digest": digest, "size_bytes": 2 });
    refused(
        &push(json!({ "a": lied })).await,
        422,
        "blob_missing",
        "`a`",
    );
    // Another user's file is nobody else's, whoever knows its digest.
    let stolen = station
        .post(
            "zoo",
            "/v1/datasets/zoo/d/versions",
            json!({ "files": { "a": file } }),
        )
        .await;
    refused(&stolen, 422, "blob_missing", "`a`");
    let missing = station
        .post("zoo", "/v1/blobs/missing", json!({ "digests": [digest] }))
        .await
        .ok();
    assert_eq!(missing["missing"], json!([digest]));
    assert_eq!(
        station.get("lab", "/v1/datasets").await.ok()["items"],
        json!([])
    );
    assert_eq!(push(json!({ "a": file })).await.status, 201);
    assert_eq!(
        push(json!({ "a": file })).await.status,
        200,
        "the same again is no new version"
    );
}

#[tokio::test]
async fn a_function_that_breaks_a_law_leaves_no_version() {
    let station = Station::new().await;
    let push = async |files: Value| {
        station
            .post(
                "lab",
                "/v1/functions/lab/f/versions",
                json!({ "files": files }),
            )
            .await
    };
    refused(&push(json!({})).await, 422, "bad_manifest", "entry");
    refused(
        &push(json!({ "a.txt": "x" })).await,
        422,
        "bad_manifest",
        "runtime",
    );
    let toml = |text: &str| json!({ "main.py": "", "strongroom.toml": text });
    refused(
        &push(toml("unknown = 1")).await,
        422,
        "bad_manifest",
        "strongroom.toml: line 1",
    );
    refused(
        &push(toml("runtime = \"ruby\"")).await,
        422,
        "bad_manifest",
        "ruby",
    );
    refused(
        &push(toml("entry = \"x.py\"")).await,
        422,
        "bad_manifest",
        "x.py",
    );
    refused(
        &push(toml("[limits]\nmemory = \"1 TiB\"")).await,
        422,
        "bad_manifest",
        "memory",
    );
    refused(
        &push(toml("[limits]\ntime = 1000000")).await,
        422,
        "bad_manifest",
        "time_ms",
    );
    refused(
        &push(toml("[download]\nhosts = []")).await,
        422,
        "bad_manifest",
        "line 1: a download names its `hosts`",
    );
    refused(
        &push(toml("[download]\nhosts = [\"a.org\"]")).await,
        422,
        "bad_manifest",
        "for a function with the stage `download`",
    );
    refused(
        &push(toml("stages = [\"expose\", \"transform\"]")).await,
        422,
        "bad_manifest",
        "no `download`",
    );
    refused(
        &push(toml("[args]\ntype = 3")).await,
        422,
        "bad_manifest",
        "args",
    );
    let inline = "# /// script\n# dependencies = [\"pandas\"]\n# ///\n";
    refused(
        &push(json!({ "a.py": inline })).await,
        422,
        "no_installer",
        "installs no packages",
    );
    refused(
        &push(json!({ "a.py": { "base64": "*" } })).await,
        400,
        "bad_base64",
        "a.py",
    );
    let large = "#".repeat((16 << 20) + 1);
    refused(
        &push(json!({ "a.py": large })).await,
        413,
        "too_large",
        "16 MiB",
    );
    assert_eq!(
        station.get("lab", "/v1/functions").await.ok()["items"],
        json!([])
    );
}

#[tokio::test]
async fn arguments_inputs_and_limits_are_held_against_what_the_function_says() {
    let station = Station::new().await;
    let manifest = "[inputs]\nleft = \"\"\nright = \"\"\n[args]\ntype = \"object\"\n\
        required = [\"by\"]\n[args.properties.by]\nenum = [\"species\", \"island\"]\n";
    let files = json!({ "files": { "main.py": "", "strongroom.toml": manifest } });
    station
        .post("devs", "/v1/functions/devs/f/versions", files)
        .await
        .ok();
    station.push_dataset("lab/d", "d.csv", b"1").await;
    let ask = async |change: Value| {
        let mut body = json!({
            "function": "devs/f", "on": ["left=lab/d", "right=lab/d"], "args": { "by": "island" },
        });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        run(&station, body).await
    };
    refused(
        &ask(json!({ "args": { "by": "sex" } })).await,
        422,
        "bad_args",
        "/by",
    );
    refused(&ask(json!({ "args": {} })).await, 422, "bad_args", "by");
    refused(
        &ask(json!({ "args": { "by": "x".repeat(1 << 20) } })).await,
        422,
        "bad_args",
        "longer",
    );
    refused(
        &ask(json!({ "on": ["lab/d"] })).await,
        422,
        "bad_inputs",
        "left, right",
    );
    refused(
        &ask(json!({ "on": ["left=lab/d"] })).await,
        422,
        "bad_inputs",
        "left, right",
    );
    refused(
        &ask(json!({ "on": ["lab/d", "lab/d"] })).await,
        422,
        "bad_inputs",
        "lone",
    );
    refused(
        &ask(json!({ "on": ["left=lab/d", "left=lab/d"] })).await,
        422,
        "bad_inputs",
        "twice",
    );
    refused(
        &ask(json!({ "on": ["left=LAB/d", "right=lab/d"] })).await,
        422,
        "bad_inputs",
        "LAB/d",
    );
    refused(
        &ask(json!({ "on": ["left=lab/none", "right=lab/d"] })).await,
        404,
        "not_found",
        "dataset",
    );
    refused(
        &ask(json!({ "function": "devs/none" })).await,
        404,
        "not_found",
        "function",
    );
    refused(
        &ask(json!({ "limits": { "memory": "1 KiB" } })).await,
        422,
        "bad_limits",
        "memory_bytes",
    );
    refused(
        &ask(json!({ "limits": { "time": "2 weeks" } })).await,
        422,
        "bad_limits",
        "2 weeks",
    );
    refused(
        &ask(json!({ "purpose": "x".repeat(2001) })).await,
        422,
        "too_long",
        "purpose",
    );
    assert_eq!(
        station.get("guest", "/v1/runs").await.ok()["items"],
        json!([])
    );
    assert_eq!(ask(json!({})).await.status, 202);
}

#[tokio::test]
async fn rules_that_cannot_be_taken_are_refused_with_their_place() {
    let station = Station::new().await;
    for path in ["/v1/rules/check", "/v1/rules"] {
        let method = if path == "/v1/rules" { "PUT" } else { "POST" };
        let send = async |text: &str| {
            station
                .send("lab", method, path, json!({ "text": text }))
                .await
        };
        refused(
            &send("permit(\n  principal").await,
            422,
            "bad_rules",
            "line 2",
        );
        let misspelt = "permit(principal, action, resource) when {\n  context.porpoise == \"x\" };";
        refused(&send(misspelt).await, 422, "bad_rules", "line 2");
    }
    assert_eq!(
        station.get("lab", "/v1/rules").await.refused(404),
        "not_found"
    );
}

#[tokio::test]
async fn scripts_with_names_or_clients_that_are_none_are_refused() {
    let station = Station::new().await;
    let send = async |body: Value| station.post("guest", "/run-json", body).await;
    let code = "print(1)";
    refused(&send(json!({})).await, 400, "bad_body", "code");
    refused(
        &send(json!({ "code": code, "script_name": "../x.py" })).await,
        422,
        "bad_path",
        "..",
    );
    refused(
        &send(json!({ "code": code, "script_name": "/x.py" })).await,
        422,
        "bad_path",
        "absolute",
    );
    refused(
        &send(json!({ "code": code, "script_name": "x.sh" })).await,
        422,
        "bad_script",
        "x.sh",
    );
    refused(
        &send(json!({ "code": code, "client": "../../etc" })).await,
        422,
        "bad_client",
        "client",
    );
    let form = async |text: &str| {
        let body = Sent::of(
            "multipart/form-data; boundary=x",
            text.replace('\n', "\r\n"),
        );
        station.send("guest", "POST", "/run-file", body).await
    };
    let part = |name: &str, file: &str| {
        format!(
            "--x\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}\"\n\nprint(1)\n"
        )
    };
    refused(&form("--x--\n").await, 400, "no_file", "files[]");
    refused(
        &form(&(part("files[]", "a.sh") + "--x--\n")).await,
        422,
        "bad_script",
        "a.sh",
    );
    refused(
        &form(&(part("files[]", "../a.py") + "--x--\n")).await,
        422,
        "bad_path",
        "..",
    );
    refused(
        &form(&(part("other", "a.py") + "--x--\n")).await,
        400,
        "bad_form",
        "other",
    );
    let two = part("files[]", "a.py") + &part("files[]", "b.py") + "--x--\n";
    refused(&form(&two).await, 422, "bad_script", "main.py");
    let twice = part("files[]", "a.py") + &part("files[]", "a.py") + "--x--\n";
    refused(&form(&twice).await, 422, "bad_path", "twice");
    refused(&form(&part("files[]", "a.py")).await, 400, "bad_form", "");
    let large = Sent::of("multipart/form-data; boundary=x", vec![b'x'; 18 << 20]);
    refused(
        &station.send("guest", "POST", "/run-file", large).await,
        413,
        "too_large",
        "body",
    );
    refused(
        &station.send("guest", "POST", "/run-file", "{}").await,
        415,
        "not_multipart",
        "",
    );
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_question_is_refused() {
    let station = Station::new().await;
    station.push_dataset("lab/d", "d.csv", b"1").await;
    station.push_function("devs/f", "").await;
    let asked = station
        .ask("guest", "devs/f", &["lab/d"], json!({ "n": 3 }))
        .await;
    let path = format!(
        "/v1/requests/{}/approve",
        asked["request"].as_str().unwrap()
    );
    let approve = async |body: Value| station.post("lab", &path, body).await;
    refused(
        &approve(json!({ "uses": 0 })).await,
        422,
        "bad_uses",
        "uses",
    );
    refused(
        &approve(json!({ "until_ms": 5 })).await,
        422,
        "bad_time",
        "until_ms",
    );
    refused(
        &approve(json!({ "args_schema": { "type": 3 } })).await,
        422,
        "bad_args",
        "schema",
    );
    let outside = json!({ "args_schema": { "properties": { "n": { "maximum": 2 } } } });
    refused(&approve(outside).await, 422, "bad_args", "/n");
    refused(
        &approve(json!({ "limits": { "memory": "1 KiB" } })).await,
        422,
        "bad_limits",
        "memory_bytes",
    );
    refused(&approve(json!({ "use": 1 })).await, 400, "bad_body", "use");
    assert_eq!(
        approve(json!({ "uses": 1 })).await.ok()["state"],
        "approved"
    );
    refused(&approve(json!({})).await, 409, "conflict", "");
}
