//! Nothing that was acknowledged is lost, and no guest outlives its server,
//! however often the server is killed.
//!
//! One directory, many lives: each life starts the station on it, checks all
//! that earlier lives acknowledged, puts it under load and kills it at a
//! random moment with SIGKILL.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

mod lives;

use lives::{Door, Life, wait_until};
use serde_json::{Value, json};
use strongroom_core::digest::Digest;

const LIVES: usize = 50;
/// As many if a busy machine shows too little in that time.
const LIVES_MAX: usize = 80;
/// How long the last life may take to finish all that was queued.
const SETTLE: Duration = Duration::from_secs(120);

/// What the station acknowledged, and so owes us in every later life.
#[derive(Default)]
struct Owed {
    /// Runs by id, with the end that was reported, if one was.
    runs: BTreeMap<String, Option<Value>>,
    /// Log lines by run and number.
    lines: BTreeMap<(String, i64), String>,
    /// Dataset versions with the digest of their only file.
    versions: BTreeMap<String, (String, Vec<u8>)>,
    /// Requests that were reported as approved.
    approved: BTreeSet<String>,
}

const SCRIPT: &str =
    "import time, json, sys\nprint('begin', flush=True)\ntime.sleep(0.05)\nprint('end')\n";

impl Owed {
    /// Whether there was something of each kind to lose.
    fn has_everything(&self) -> bool {
        let kinds = [self.approved.len(), self.versions.len(), self.lines.len()];
        LIVES < self.runs.len() && kinds.iter().all(|count| *count != 0)
    }
}

/// Submits scripts and follows them for a moment.
fn load_scripts(door: &Door, owed: &Mutex<Owed>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let body = json!({ "client": "crash", "code": SCRIPT });
        let Some((202, status)) = door.post("/run-json", &body) else {
            continue;
        };
        let id = status["id"]
            .as_str()
            .expect("an accepted script has an id")
            .to_owned();
        owed.lock().unwrap().runs.insert(id.clone(), None);
        if let Some((200, run)) = door.get(&format!("/v1/runs/{id}?wait=1s")) {
            note_run(owed, &run);
            note_lines(door, owed, &id);
        }
    }
}

fn note_run(owed: &Mutex<Owed>, run: &Value) {
    if run["state"] == "ended" {
        let id = run["id"].as_str().unwrap().to_owned();
        owed.lock()
            .unwrap()
            .runs
            .insert(id, Some(run["reason"].clone()));
    }
}

fn note_lines(door: &Door, owed: &Mutex<Owed>, id: &str) {
    let Some((200, page)) = door.get(&format!("/v1/runs/{id}/log")) else {
        return;
    };
    let mut owed = owed.lock().unwrap();
    for line in page["items"].as_array().unwrap() {
        let seq = line["seq"].as_i64().unwrap();
        owed.lines.insert(
            (id.to_owned(), seq),
            line["text"].as_str().unwrap().to_owned(),
        );
    }
}

/// Pushes dataset versions.
fn load_datasets(door: &Door, owed: &Mutex<Owed>, stop: &AtomicBool, life: usize) {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let bytes = format!("life,round\n{life},{round}\n")
            .repeat(200)
            .into_bytes();
        if !matches!(door.put_blob(&bytes), Some(200 | 201 | 204)) {
            continue;
        }
        let file = json!({ "digest": Digest::of(&bytes), "size_bytes": bytes.len() });
        let body = json!({ "files": { "rows.csv": file }, "message": format!("{life}.{round}") });
        if let Some((201, version)) = door.post("/v1/datasets/lab/rows/versions", &body) {
            let name = version["version"].as_str().unwrap().to_owned();
            owed.lock()
                .unwrap()
                .versions
                .insert(name, ("rows.csv".to_owned(), bytes));
        }
    }
}

/// Asks as guest and approves as lab.
fn load_requests(guest: &Door, lab: &Door, owed: &Mutex<Owed>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let body = json!({ "function": "lab/count", "on": ["lab/fixed"], "args": {} });
        let Some((202, run)) = guest.post("/v1/runs", &body) else {
            continue;
        };
        let id = run["id"].as_str().unwrap().to_owned();
        let request = run["request"].as_str().unwrap().to_owned();
        owed.lock().unwrap().runs.insert(id, None);
        let path = format!("/v1/requests/{request}/approve");
        if let Some((200, answer)) = lab.post(&path, &json!({ "uses": 1 })) {
            assert_eq!(answer["state"], "approved");
            owed.lock().unwrap().approved.insert(request);
        }
    }
}

/// Everything owed is still there.
fn check(door: &Door, guest: &Door, lab: &Door, owed: &Owed, thorough: bool) {
    // A life is short; each looks at the newest and the last at everything.
    let newest = if thorough { usize::MAX } else { 20 };
    for (id, end) in owed.runs.iter().rev().take(newest) {
        let asker = if guest.get(&format!("/v1/runs/{id}")).unwrap().0 == 200 {
            guest
        } else {
            door
        };
        let (status, run) = asker.get(&format!("/v1/runs/{id}")).unwrap();
        assert_eq!(status, 200, "an accepted run is gone: {id}");
        if let Some(reason) = end {
            assert_eq!(&run["reason"], reason, "a reported end changed: {id}");
        }
    }
    for ((id, seq), text) in owed.lines.iter().rev().take(newest) {
        let (_, page) = door
            .get(&format!("/v1/runs/{id}/log?after={}&limit=1", seq - 1))
            .unwrap();
        assert_eq!(
            page["items"][0]["text"],
            json!(text),
            "a log line is gone: {id} {seq}"
        );
    }
    for (version, (file, bytes)) in owed.versions.iter().rev().take(newest) {
        let path = format!(
            "{}/v1/datasets/lab/rows/versions/{version}/files/{file}",
            lab.url
        );
        let request = lab
            .agent
            .get(path)
            .header("Authorization", format!("Bearer {}", lab.token));
        let mut answer = request.call().unwrap();
        assert_eq!(answer.status(), 200, "a dataset version is gone: {version}");
        assert_eq!(&answer.body_mut().read_to_vec().unwrap(), bytes);
    }
    for request in owed.approved.iter().rev().take(newest) {
        let (_, seen) = lab.get(&format!("/v1/requests/{request}")).unwrap();
        assert_eq!(seen["state"], "approved", "an approval is gone: {request}");
    }
}

/// Host processes whose environment names one of our runs.
fn guests_alive(runs: &BTreeMap<String, Option<Value>>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else {
            continue;
        };
        let text = String::from_utf8_lossy(&environment).into_owned();
        let ours = text
            .split('\0')
            .filter_map(|pair| pair.strip_prefix("STRONGROOM_RUN_ID="));
        if ours.into_iter().any(|id| runs.contains_key(id)) {
            found.push(entry.path());
        }
    }
    found
}

struct Users {
    admin: String,
    lab: String,
    guest: String,
}

fn set_up(home: &Path) -> Users {
    let life = Life::start(home);
    let admin = std::fs::read_to_string(home.join("admin.token"))
        .unwrap()
        .trim()
        .to_owned();
    let door = life.door(&admin);
    let mut secrets = Vec::new();
    for name in ["lab", "guest"] {
        assert_eq!(
            door.post("/v1/users", &json!({ "name": name })).unwrap().0,
            201
        );
        let (status, token) = door.post("/v1/tokens", &json!({ "user": name })).unwrap();
        assert_eq!(status, 201, "{token}");
        secrets.push(token["secret"].as_str().unwrap().to_owned());
    }
    let (lab, guest) = (secrets[0].clone(), secrets[1].clone());
    let owner = life.door(&lab);
    let bytes = b"a,b\n1,2\n";
    owner.put_blob(bytes).unwrap();
    let file = json!({ "digest": Digest::of(bytes), "size_bytes": bytes.len() });
    let body = json!({ "files": { "fixed.csv": file } });
    assert_eq!(
        owner
            .post("/v1/datasets/lab/fixed/versions", &body)
            .unwrap()
            .0,
        201
    );
    let code = "print('begin', flush=True)\nprint(len(open('/data/fixed.csv').read()))\n";
    let body = json!({ "files": { "count.py": code } });
    assert_eq!(
        owner
            .post("/v1/functions/lab/count/versions", &body)
            .unwrap()
            .0,
        201
    );
    life.kill();
    Users { admin, lab, guest }
}

/// One life under load, ended by SIGKILL after `span`.
fn live(home: &Path, users: &Users, owed: &Arc<Mutex<Owed>>, number: usize, span: Duration) {
    let life = Life::start(home);
    let (admin, lab, guest) = (
        life.door(&users.admin),
        life.door(&users.lab),
        life.door(&users.guest),
    );
    check(&admin, &guest, &lab, &owed.lock().unwrap(), false);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| load_scripts(&admin, owed, &stop));
        scope.spawn(|| load_datasets(&lab, owed, &stop, number));
        scope.spawn(|| load_requests(&guest, &lab, owed, &stop));
        thread::park_timeout(span);
        life.kill();
        stop.store(true, Ordering::Relaxed);
    });
    let owed = owed.lock().unwrap();
    wait_until(
        "no guest outlives its server",
        Duration::from_secs(2),
        || guests_alive(&owed.runs).is_empty(),
    );
}

#[test]
fn nothing_acknowledged_is_lost_however_often_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let users = set_up(&home);
    let owed = Arc::new(Mutex::new(Owed::default()));
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    let mut number = 0;
    while number < LIVES || (number < LIVES_MAX && !owed.lock().unwrap().has_everything()) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // A machine that others load acknowledges little in a short life.
        let longer = if number < LIVES { 1 } else { 10 };
        let span = Duration::from_millis((20 + random % 380) * longer);
        live(&home, &users, &owed, number, span);
        number += 1;
    }
    let life = Life::start(&home);
    let (admin, lab, guest) = (
        life.door(&users.admin),
        life.door(&users.lab),
        life.door(&users.guest),
    );
    let owed = owed.lock().unwrap();
    assert!(
        owed.has_everything(),
        "the load was too light to show anything"
    );
    check(&admin, &guest, &lab, &owed, true);
    all_end_and_none_ran_twice(&[&admin, &guest], &owed);
    life.kill();
}

/// What was queued runs; what was interrupted says so; no guest began twice.
fn all_end_and_none_ran_twice(doors: &[&Door], owed: &Owed) {
    let deadline = Instant::now() + SETTLE;
    for id in owed.runs.keys() {
        let door = doors
            .iter()
            .find(|door| door.get(&format!("/v1/runs/{id}")).unwrap().0 == 200);
        let door = door.expect("every accepted run is known to its caller");
        let run = loop {
            let (_, run) = door.get(&format!("/v1/runs/{id}")).unwrap();
            // A request that was not approved before a crash still waits.
            if run["state"] == "ended" || run["state"] == "waiting" {
                break run;
            }
            door.get(&format!("/v1/runs/{id}?wait=10s")).unwrap();
            assert!(Instant::now() < deadline, "never ended: {run}");
        };
        let (_, log) = door.get(&format!("/v1/runs/{id}/log")).unwrap();
        let begun = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| line["text"] == "begin");
        assert!(begun.count() <= 1, "a guest began twice: {id}");
        if run["state"] == "ended" {
            let code = run["reason"]["code"].as_str().unwrap();
            assert!(["succeeded", "host_error"].contains(&code), "{run}");
        }
    }
}
