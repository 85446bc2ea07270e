//! A stage that downloads, through the router, in the real jail and by the
//! gateway of a station, from a host that the test starts and opens.

use std::{net::SocketAddr, sync::Arc};

use crate::support::{self, Station, text};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Mutex,
};

/// Fetches what its arguments say, by the standard library, and says what came.
const FETCH: &str = r#"
import json, os, urllib.error, urllib.request

def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.headers.get("Strongroom-Refused")]
    except OSError as error:
        return [0, type(error).__name__]

def download(ctx):
    secrets = json.loads(os.environ.get("STRONGROOM_SECRETS", "{}"))
    for name, value in secrets.items():
        print("told", name, value)
    return [fetch(url.format(**secrets)) for url in ctx.args["urls"]]

def transform(data, ctx):
    return {
        "got": ctx.download,
        "here": fetch("http://127.0.0.1:3128/"),
        "secrets": os.environ.get("STRONGROOM_SECRETS"),
    }
"#;

/// A host that answers with a number that grows, and the requests it heard.
async fn host() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let mut heard = hears.lock().await;
            heard.push(String::from_utf8_lossy(&head[..length]).into_owned());
            let body = format!("rows {}", heard.len());
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, heard)
}

/// A station that opens this host, with a function of `lab`'s that names it.
async fn station(host: SocketAddr, more: &str) -> Station {
    let station = Station::with(|config| {
        config.gateway.allow_private = vec![host.to_string().parse().unwrap()];
    })
    .await
    .at_work(|_| {});
    let manifest = format!("entry = 'main.py'\n{more}\n[download]\nhosts = ['{host}']\n");
    let body = json!({ "files": { "main.py": FETCH, "strongroom.toml": manifest } });
    station
        .post("lab", "/v1/functions/lab/fetch/versions", body)
        .await
        .ok();
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    station.push_dataset("zoo/d", "d.csv", b"a\n1\n").await;
    station
}

async fn asked(station: &Station, who: &str, urls: Value, more: Value) -> support::Reply {
    let mut body = json!({ "function": "lab/fetch", "on": ["lab/d"], "args": { "urls": urls } });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    station.post(who, "/v1/runs?wait=60s", body).await
}

async fn ran(station: &Station, urls: Value, more: Value) -> Value {
    let run = asked(station, "lab", urls, more).await.ok();
    assert_eq!(run["state"], "ended", "{run}");
    run
}

async fn made(station: &Station, run: &Value) -> Vec<Value> {
    let path = format!("/v1/runs/{}/requests-made", text(run, "id"));
    let page = station.get("lab", &path).await.ok();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_download_reaches_the_hosts_of_its_plan_alone_and_all_of_it_is_noted() {
    let (host, heard) = host().await;
    let mut station = station(host, "").await;
    let other = format!("http://127.0.0.1:{}/", host.port() ^ 1);
    let urls = json!([
        format!("http://{host}/a"),
        other,
        format!("https://{host}/b"),
        "http://169.254.169.254/"
    ]);
    let run = ran(&station, urls, json!({})).await;
    let got = json!([
        [200, "rows 1"],
        [403, "host"],
        [0, "URLError"],
        [403, "host"]
    ]);
    assert_eq!(run["value"]["got"], got, "{run}");
    // The stage that sees data has neither a gateway nor a socket.
    assert_eq!(run["value"]["here"], json!([0, "URLError"]));
    let made = made(&station, &run).await;
    let seen: Vec<(&str, &str)> = made
        .iter()
        .map(|one| (text(one, "method"), text(&one["outcome"], "kind")))
        .collect();
    assert_eq!(
        seen,
        [
            ("GET", "answered"),
            ("GET", "refused"),
            ("CONNECT", "refused"),
            ("GET", "refused")
        ]
    );
    assert_eq!(made[0]["url"], format!("http://{host}/a"));
    assert_eq!(
        (&made[0]["status"], &made[0]["received_bytes"]),
        (&json!(200), &json!(6))
    );
    assert_eq!(made[2]["outcome"]["code"], "tunnel");
    assert_eq!(heard.lock().await.len(), 1);
    station.stop().await;
}

#[tokio::test]
async fn a_download_that_was_recorded_is_replayed_with_the_host_gone() {
    let (host, heard) = host().await;
    let mut station = station(host, "").await;
    let url = format!("http://{host}/a");
    let urls = || json!([url, url]);
    let recorded = ran(&station, urls(), json!({ "answers": "record" })).await;
    let got = json!([[200, "rows 1"], [200, "rows 2"]]);
    assert_eq!(recorded["value"]["got"], got, "{recorded}");
    let replay = json!({ "answers": { "replay": text(&recorded, "id") } });
    let again = ran(&station, urls(), replay.clone()).await;
    assert_eq!(again["value"]["got"], got, "{again}");
    assert_eq!(heard.lock().await.len(), 2, "nobody was asked again");
    let kinds: Vec<Value> = made(&station, &again).await;
    assert!(
        kinds.iter().all(|one| one["outcome"]["kind"] == "replayed"),
        "{kinds:?}"
    );
    let more = ran(&station, json!([url, url, url]), replay.clone()).await;
    assert_eq!(more["value"]["got"][2], json!([403, "not_recorded"]));
    // What is nobody else's business is not there for him.
    let stranger = asked(&station, "zoo", urls(), replay).await;
    assert_eq!(stranger.status.as_u16(), 404);
    station.stop().await;
}

#[tokio::test]
async fn a_secret_reaches_the_stage_that_the_plan_names_and_is_masked_in_what_is_kept() {
    let (host, heard) = host().await;
    let mut station = station(host, "secrets.download = ['api_key']").await;
    let urls = json!([format!("http://{host}/?key={{api_key}}")]);
    let without = ran(&station, urls.clone(), json!({})).await;
    assert_eq!(without["reason"]["code"], "refused", "{without}");
    let secret = json!({ "value": "s3cr3t-key" });
    station
        .send("lab", "PUT", "/v1/secrets/api_key", secret)
        .await
        .ok();
    let run = ran(&station, urls, json!({})).await;
    assert_eq!(run["value"]["got"], json!([[200, "rows 1"]]), "{run}");
    assert_eq!(
        run["value"]["secrets"],
        Value::Null,
        "transform was told it"
    );
    assert!(heard.lock().await[0].starts_with("GET /?key=s3cr3t-key "));
    let made = made(&station, &run).await;
    assert_eq!(made[0]["url"], format!("http://{host}/?key=[secret]"));
    let log = station
        .get("lab", &format!("/v1/runs/{}/log", text(&run, "id")))
        .await
        .ok();
    assert_eq!(log["items"][0]["text"], "told api_key [secret]");
    station.stop().await;
}

#[tokio::test]
async fn secrets_are_lent_only_by_who_says_so_and_never_meet_data_of_others() {
    let (host, _heard) = host().await;
    let mut station = station(host, "secrets.download = ['api_key']").await;
    let secret = json!({ "value": "s3cr3t-key" });
    station
        .send("zoo", "PUT", "/v1/secrets/api_key", secret)
        .await
        .ok();
    let on = |name: &str| json!({ "on": [name] });
    let refused = asked(&station, "zoo", json!([]), on("zoo/d")).await;
    assert_eq!(refused.refused(422), "secrets_not_lent");
    let lent = json!({ "on": ["zoo/d"], "lend_secrets": true });
    let run = asked(&station, "zoo", json!([]), lent).await.ok();
    assert_eq!(run["reason"]["code"], "succeeded", "{run}");
    let manifest = "entry = 'main.py'\nsecrets.transform = ['api_key']\n";
    let files = json!({ "main.py": FETCH, "strongroom.toml": manifest });
    station
        .post(
            "zoo",
            "/v1/functions/zoo/both/versions",
            json!({ "files": files }),
        )
        .await
        .ok();
    let body = json!({ "function": "zoo/both", "on": ["lab/d"], "args": { "urls": [] } });
    let refused = station.post("zoo", "/v1/runs", body).await;
    assert_eq!(refused.refused(409), "conflict");
    station.stop().await;
}

#[tokio::test]
async fn owners_see_where_a_download_went_that_their_data_was_exposed_to_and_no_other() {
    let (host, _heard) = host().await;
    let mut station = station(host, "").await;
    let exposing = format!("{FETCH}\ndef expose(data, ctx):\n    return len(data.text())\n");
    let manifest = format!("entry = 'main.py'\n[download]\nhosts = ['{host}']\n");
    let files = json!({ "main.py": exposing, "strongroom.toml": manifest });
    station
        .post(
            "devs",
            "/v1/functions/devs/exposes/versions",
            json!({ "files": files }),
        )
        .await
        .ok();
    let args = json!({ "urls": [format!("http://{host}/a"), "http://127.0.0.1:1/"] });
    let ask = async |function: &str, expose: &str| {
        let body = json!({ "function": function, "on": ["lab/d"], "args": args, "expose": expose });
        let asked = station.post("guest", "/v1/runs", body).await.ok();
        let approve = format!("/v1/requests/{}/approve", text(&asked, "request"));
        let named = json!({ "expose": expose != "off" });
        station.post("lab", &approve, named).await.ok();
        let path = format!("/v1/runs/{}?wait=30s", text(&asked, "id"));
        let run = station.get("guest", &path).await.ok();
        assert_eq!(run["reason"]["code"], "succeeded", "{run}");
        format!("/v1/runs/{}/requests-made", text(&run, "id"))
    };
    let exposed = ask("devs/exposes", "ask_owners").await;
    let page = station.get("lab", &exposed).await.ok();
    let seen = page["items"].as_array().unwrap();
    assert_eq!(seen[0]["url"], format!("http://{host}/a"), "{page}");
    assert_eq!(
        (&seen[0]["status"], &seen[0]["digest"]),
        (&json!(200), &Value::Null),
        "the answer is the caller's"
    );
    assert_eq!(seen[1]["outcome"]["code"], "host");
    let page = station.get("guest", &exposed).await.ok();
    assert!(page["items"][0]["digest"].is_string(), "{page}");
    assert_eq!(station.get("zoo", &exposed).await.refused(404), "not_found");
    // Where nothing was exposed it is the caller's business alone.
    let plain = ask("lab/fetch", "off").await;
    assert_eq!(station.get("lab", &plain).await.refused(404), "not_found");
    station.stop().await;
}

#[tokio::test]
async fn a_rule_that_comes_while_data_is_being_exposed_keeps_it_from_the_network() {
    let (host, heard) = host().await;
    let mut station = station(host, "").await;
    let exposing = format!(
        "import time\n{FETCH}\ndef expose(data, ctx):\n    time.sleep(ctx.args['rest_s'])\n    return 1\n"
    );
    let manifest = format!("entry = 'main.py'\n[download]\nhosts = ['{host}']\n");
    let files = json!({ "main.py": exposing, "strongroom.toml": manifest });
    let push = "/v1/functions/devs/exposes/versions";
    let body = json!({ "files": files });
    station.post("devs", push, body).await.ok();
    let mut came_in_time = false;
    // The longer it rests the slower the host may be that this is tried on.
    for rest_s in [2, 20] {
        heard.lock().await.clear();
        let args = json!({ "urls": [format!("http://{host}/a")], "rest_s": rest_s });
        let body = json!({ "function": "devs/exposes", "on": ["lab/d"], "args": args, "expose": "ask_owners" });
        let run = station.post("guest", "/v1/runs", body).await.ok();
        let approve = format!("/v1/requests/{}/approve", text(&run, "request"));
        let named = json!({ "expose": true });
        station.post("lab", &approve, named).await.ok();
        let path = format!("/v1/runs/{}", text(&run, "id"));
        let stages = async || station.get("guest", &path).await.ok()["stages"].clone();
        while stages().await.as_array().is_none_or(Vec::is_empty) {
            tokio::task::yield_now().await;
        }
        let forbid = json!({ "text": r#"forbid(principal == User::"guest", action, resource);"# });
        station.send("lab", "PUT", "/v1/rules", forbid).await.ok();
        came_in_time = stages().await[0]["ended_ms"].is_null();
        let ended = station.get("guest", &format!("{path}?wait=60s")).await.ok();
        assert_eq!(ended["state"], "ended", "{ended}");
        if came_in_time {
            let by_lab = json!({ "code": "cancelled", "by": "lab" });
            assert_eq!(ended["reason"], by_lab, "{ended}");
            assert_eq!(ended["stages"].as_array().unwrap().len(), 1, "{ended}");
            assert_eq!(*heard.lock().await, Vec::<String>::new());
            break;
        }
        station.send("lab", "DELETE", "/v1/rules", json!({})).await;
    }
    assert!(came_in_time, "the rule came too late each time");
    station.stop().await;
}

#[tokio::test]
async fn answers_of_a_run_that_exposes_are_not_replayed_whether_or_not_it_has_begun() {
    let (host, _heard) = host().await;
    let mut station = station(host, "").await;
    let exposing = format!("{FETCH}\ndef expose(data, ctx):\n    return len(data.text())\n");
    let manifest = format!("entry = 'main.py'\n[download]\nhosts = ['{host}']\n");
    let files = json!({ "main.py": exposing, "strongroom.toml": manifest });
    let push = "/v1/functions/devs/exposes/versions";
    let body = json!({ "files": files });
    station.post("devs", push, body).await.ok();
    let args = json!({ "urls": [format!("http://{host}/a")] });
    let ask = async |function: &str, on: &str, more: Value| {
        let mut body = json!({ "function": function, "on": [on], "args": args });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        station.post("guest", "/v1/runs", body).await
    };
    let record = json!({ "answers": "record", "expose": "ask_owners" });
    let exposes = ask("devs/exposes", "lab/d", record).await.ok();
    let replay = |run: &Value| json!({ "answers": { "replay": text(run, "id") } });
    let again = ask("lab/fetch", "zoo/d", replay(&exposes)).await;
    assert_eq!(again.refused(422), "replay_exposed");
    let plain = ask("lab/fetch", "lab/d", json!({ "answers": "record" })).await;
    let again = ask("lab/fetch", "zoo/d", replay(&plain.ok())).await;
    assert_eq!(again.refused(409), "conflict", "it has not ended");
    station.stop().await;
}

#[tokio::test]
async fn answers_of_a_stage_that_is_told_secrets_are_not_recorded() {
    let (host, heard) = host().await;
    let mut station = station(host, "secrets.download = ['api_key']").await;
    let secret = json!({ "value": "s3cr3t-key" });
    let at = "/v1/secrets/api_key";
    station.send("lab", "PUT", at, secret).await.ok();
    let urls = json!([format!("http://{host}/?key={{api_key}}")]);
    let refused = asked(&station, "lab", urls, json!({ "answers": "record" })).await;
    assert_eq!(refused.refused(422), "record_secrets");
    assert_eq!(*heard.lock().await, Vec::<String>::new());
    station.stop().await;
}
