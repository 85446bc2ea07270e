//! Versions made by transforms, by command line: scripts of both generations,
//! through the gateway of a station, from a host that the test starts and opens.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    starlark::build,
    station::{PATIENCE, Person, Place, Station, snapshot, text},
};

/// A host that answers everything with this, and how often it was asked.
fn host(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok() {
                counts.fetch_add(1, Ordering::SeqCst);
                let length = answer.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
                );
            }
        }
    });
    (address, asked)
}

/// A station that opens this host.
fn station(host: SocketAddr) -> Station {
    build();
    let place = Place::new();
    let config = std::fs::read_to_string(place.home().join("config.toml")).unwrap();
    place.configure(&format!(
        "{config}[gateway]\nallow_private = [\"{host}\"]\n"
    ));
    Station::start_in(place)
}

const PRICES: &str = r#"{"a": 10, "b": 20}"#;
const TOWNS: &str = "town,people\na,1000\nb,2000\n";

/// A folder with a script and the hosts that it may reach.
fn transform(station: &Station, name: &str, script: &str, host: SocketAddr, more: &str) -> String {
    let manifest = format!("entry = \"main.star\"\n{more}[download]\nhosts = [\"{host}\"]\n");
    station.place.file(
        &format!("{name}/main.star"),
        script.replace("HOST", &host.to_string()),
    );
    let manifest = station
        .place
        .file(&format!("{name}/strongroom.toml"), manifest);
    manifest.replace("/strongroom.toml", "")
}

fn rows(person: &Person<'_>, dataset: &str) -> Value {
    let got = person.does(&["dataset", "get", dataset, "--format", "json"]);
    serde_json::from_str(&got.out).unwrap()
}

fn pushed(station: &Station, person: &Person<'_>) {
    let towns = station.place.file("towns.csv", TOWNS);
    person.does(&["dataset", "push", "lab/towns", &towns]);
}

const FIRST: &str = r#"load("http.star", "http")

def download(ctx):
    return http.get("http://HOST/prices.json").json()

def transform(ds, ctx):
    ds.set_body([[row["town"], row["people"] * ctx.download[row["town"]]] for row in ds.get_body()])
    ds.set_meta("title", "Worth of " + ctx.args["of"])
"#;

#[test]
fn a_script_of_functions_downloads_by_the_gateway_and_makes_a_version() {
    let (host, asked) = host(PRICES);
    let station = station(host);
    let [lab, _, guest] = station.people();
    pushed(&station, &lab);
    let script = transform(&station, "worth", FIRST, host, "");
    let what = ["--file", &script, "lab/towns", "--arg", "of=towns"];
    snapshot!(lab.does(&[&["apply", "--key", "town"][..], &what].concat()), @r##"
    changes    files, meta
    file       towns.csv, 28 B, has the rows
    rows       2
    column     town: string
    column     people: integer
    meta       {"title":"Worth of towns"}
    | {"people":10000,"town":"a"}
    | {"people":40000,"town":"b"}
    - 1 {"people":1000,"town":"a"}
    + 1 {"people":10000,"town":"a"}
    - 2 {"people":2000,"town":"b"}
    + 2 {"people":40000,"town":"b"}
    ---- stderr
    succeeded: USAGE, 118 B out
    0 added, 0 removed, 2 changed; 2 before, 2 after.
    Nothing was saved; `strongroom save` does.
    "##);
    assert_eq!(
        rows(&lab, "lab/towns")[0]["people"],
        1000,
        "nothing was saved"
    );
    let save = [&["save", "-m", "worth"][..], &what].concat();
    snapshot!(lab.does(&save), @r##"
    lab/towns@sha256:DIGEST
    ---- stderr
    succeeded: USAGE, 118 B out
    Saved: 1 file, 28 B.
    "##);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(
        rows(&lab, "lab/towns"),
        json!([{"town": "a", "people": 10000}, {"town": "b", "people": 40000}])
    );
    let shown = lab.reads(&["dataset", "show", "lab/towns"]);
    assert_eq!(shown["body"], "towns.csv");
    assert_eq!(shown["meta"]["title"], "Worth of towns");
    let run = text(&shown["made_by"], "run");
    let network = lab.does(&["network", &run]).out;
    assert!(
        network.contains("/prices.json") && network.contains("answered"),
        "{network}"
    );
    snapshot!(lab.does(&["dataset", "diff", "lab/towns~1", "lab/towns", "--key", "town"]), @r##"
    - 1 {"people":1000,"town":"a"}
    + 1 {"people":10000,"town":"a"}
    - 2 {"people":2000,"town":"b"}
    + 2 {"people":40000,"town":"b"}
    ---- stderr
    0 added, 0 removed, 2 changed; 2 before, 2 after.
    "##);
    // It was written by this script, so doing it on its own result changes it again;
    // one that does nothing changes nothing.
    let same = station.place.file(
        "same.star",
        "def transform(ds, ctx):\n    ds.set_body(ds.get_body())\n    ds.set_meta(ds.get_meta())\n",
    );
    snapshot!(lab.does(&["save", "--file", &same, "lab/towns"]), @r##"
    lab/towns@sha256:DIGEST
    ---- stderr
    succeeded: USAGE, 103 B out
    unchanged: nothing differs from the version before
    "##);
    let stranger = guest.cannot(&["save", "--file", &same, "lab/towns"]);
    assert!(stranger.contains("only lab can"), "{stranger}");
}

const EXPOSING: &str = r#"load("http.star", "http")

def expose(ds, ctx):
    return [row["town"] for row in ds.get_body()]

def download(ctx):
    url = "http://HOST/" + "+".join(ctx.expose)
    return http.get(url).json()

def transform(ds, ctx):
    ds.set_body([[town, price] for town, price in ctx.download.items()])
"#;

#[test]
fn a_script_that_exposes_saves_only_when_that_is_said() {
    let (host, asked) = host(PRICES);
    let station = station(host);
    let [lab, _, _] = station.people();
    pushed(&station, &lab);
    let script = transform(&station, "exposing", EXPOSING, host, "");
    let save = ["save", "--file", &script, "lab/towns"];
    let refused = lab.cannot(&save);
    assert!(
        refused.contains("off unless the data's owners allow it"),
        "{refused}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let said = [&save[..], &["--transform-expose-all-datasets"]].concat();
    let made = lab.reads(&said);
    assert_eq!(made["outcome"]["state"], "saved", "{made}");
    let run = text(&made["run"], "id");
    assert_eq!(
        lab.does(&["output", &run, "--exposed"]).out.trim(),
        r#"["a","b"]"#
    );
    assert!(lab.does(&["network", &run]).out.contains("/a+b"));
    assert_eq!(rows(&lab, "lab/towns").as_array().unwrap().len(), 2);
}

#[test]
fn a_script_is_applied_and_saved_over_http_as_well() {
    let (host, _) = host(PRICES);
    let station = station(host);
    let [lab, _, _] = station.people();
    pushed(&station, &lab);
    let agent = ureq::Agent::config_builder().proxy(None).build();
    let agent: ureq::Agent = agent.into();
    let at = format!("{}/v1/datasets/lab/towns/transforms?wait=60s", station.url);
    let manifest = format!("entry = \"main.star\"\n[download]\nhosts = [\"{host}\"]\n");
    let script = FIRST.replace("HOST", &host.to_string());
    for (mode, wanted) in [("apply", Value::Null), ("save", json!("saved"))] {
        let body = json!({
            "mode": mode,
            "files": { "main.star": script, "strongroom.toml": manifest },
            "args": { "of": "towns" },
        });
        let sent = agent
            .post(&at)
            .header("Authorization", format!("Bearer {}", lab.token))
            .send_json(&body);
        let mut answer = sent.unwrap();
        let made: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(made["outcome"]["state"], wanted, "{made}");
        assert_eq!(made["preview"].is_null(), mode == "save", "{made}");
    }
    assert_eq!(rows(&lab, "lab/towns")[1]["people"], 40000);
}

const SECOND: &str = r##"# name: fetch
# category: download
load("http.star", "http")
prices = http.get("http://HOST/prices.json").json()
---
# name: change
ds = dataset.latest()
other = load_dataset("zoo/animals")
df = ds.body
df["people"] = df["people"] * prices["a"]
ds.body = df
ds.set_readme("# " + str(len(other.get_body())) + " animals")
---
dataset.commit(ds)
"##;

#[test]
fn a_script_of_steps_commits_a_version_once_its_owners_agree() {
    let (host, _) = host(PRICES);
    let station = station(host);
    let [lab, _, _] = station.people();
    let zoo = station.user("zoo");
    pushed(&station, &lab);
    let animals = station.place.file("animals.csv", "name\nzebra\nlion\n");
    zoo.does(&["dataset", "push", "zoo/animals", &animals]);
    let script = transform(&station, "steps", SECOND, host, "");
    let save = [
        "save",
        "--file",
        &script,
        "lab/towns",
        "--on",
        "animals=zoo/animals",
        "--no-wait",
    ];
    let asked = lab.reads(&save);
    assert_eq!(asked["run"]["waits_for"], json!(["zoo"]), "{asked}");
    let (run, request) = (text(&asked["run"], "id"), text(&asked["run"], "request"));
    let shown = zoo.does(&["request", "show", &request]).out;
    assert!(shown.contains("/data/previous is lab/towns@"), "{shown}");
    let saves = "saves      a version of lab/towns, after sha256:";
    assert!(shown.contains(saves), "{shown}");
    zoo.does(&["request", "approve", &request]);
    lab.does(&["status", &run, "--wait", "60s"]);
    // Nobody waits for the version: the station saves it by itself.
    let deadline = Instant::now() + PATIENCE;
    while lab.reads(&["dataset", "show", "lab/towns"])["made_by"]["run"] != run.as_str() {
        assert!(Instant::now() < deadline, "it was never saved");
    }
    let version = lab.reads(&["dataset", "show", "lab/towns"]);
    assert_eq!(version["readme"], "# 2 animals");
    let origins = version["derived_from"].as_array().unwrap();
    assert!(
        origins.iter().any(|one| one["dataset"] == "zoo/animals"),
        "{version}"
    );
}

#[test]
fn a_script_of_steps_that_never_commits_saves_nothing_and_is_warned() {
    let (host, _) = host(PRICES);
    let station = station(host);
    let [lab, _, _] = station.people();
    pushed(&station, &lab);
    let script = "ds = dataset.latest()\nds.body = [[1, 2]]\n";
    let script = station.place.file("never.star", script);
    snapshot!(lab.does(&["save", "--file", &script, "lab/towns"]), @r##"
    lab/towns@sha256:DIGEST
    ---- stderr
    | warning: this script did not call dataset.commit, no changes will be saved
    succeeded: USAGE, 0 B out
    unchanged: nothing differs from the version before
    "##);
    let fails = station
        .place
        .file("fails.star", "x = 1\n---\nerror('no ' + 'towns')\n");
    snapshot!(lab.tries(&["save", "--file", &fails, "lab/towns"]), @r##"
    ---- stderr
    | Traceback (most recent call last):
    |   File fails.star:3:1, in <module>
    |     error('no ' + 'towns')
    | error: fails.star:3:1: transform error: no towns
    |     error('no ' + 'towns')
    |     ^
    failed(exit 1): USAGE, 0 B out
    lab/towns is as it was.
    ---- exit code 1
    "##);
    let structure = station.place.file(
        "structure.json",
        r#"{"columns": [{"name": "town", "type": "string"}, {"name": "people", "type": "integer"}]}"#,
    );
    let towns = station.place.file("towns.csv", TOWNS);
    lab.does(&[
        "dataset",
        "push",
        "lab/towns",
        &towns,
        "--structure",
        &structure,
    ]);
    let before = lab.reads(&["dataset", "show", "lab/towns"]);
    let breaks = station.place.file(
        "breaks.star",
        "def transform(ds, ctx):\n    ds.set_body([['a', 'many']])\n",
    );
    snapshot!(lab.tries(&["save", "--file", &breaks, "lab/towns"]), @r##"
    ---- stderr
    succeeded: USAGE, 47 B out
    not saved (structure_broken): the body is not as its structure says: towns.csv: row 1, `people`: `many` is no integer
    lab/towns is as it was.
    ---- exit code 1
    "##);
    assert_eq!(lab.reads(&["dataset", "show", "lab/towns"]), before);
}

#[test]
fn a_secret_is_told_to_the_download_alone_and_shown_nowhere() {
    let (host, _) = host(PRICES);
    let station = station(host);
    let [lab, _, _] = station.people();
    pushed(&station, &lab);
    let mut child = lab
        .command(&["secret", "set", "api_key"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"hunter2hunter2\n")
        .unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    snapshot!(lab.does(&["secret", "list"]), @r##"
    SECRET   SET
    api_key  TIME
    "##);
    let script = r#"load("http.star", "http")

def download(ctx):
    key = ctx.get_secret("api_key")
    print("the key is", key)
    return http.get("http://HOST/", params={"key": key}).status_code

def transform(ds, ctx):
    ds.set_body([[ctx.download]])
"#;
    let more = "[secrets]\ndownload = [\"api_key\"]\n";
    let script = transform(&station, "keyed", script, host, more);
    let made = lab.reads(&["save", "--file", &script, "lab/new"]);
    assert_eq!(made["outcome"]["state"], "saved", "{made}");
    let run = text(&made["run"], "id");
    let said = lab.does(&["logs", &run]).out + &lab.does(&["network", &run]).out;
    assert!(said.contains("the key is"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    lab.does(&["secret", "remove", "api_key"]);
    let without = lab.reads(&["save", "--file", &script, "lab/new"]);
    assert_eq!(without["outcome"]["code"], "refused", "{without}");
}
