//! Functions that bring packages: locked and installed when they are pushed,
//! from an index that the test starts, in the real jail.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use crate::support::{self, Reply, Station, text};
use serde_json::{Value, json};
use strongroom_server::{
    Config,
    config::JailConfig,
    dependencies::Uv,
    trial::{self, Trial},
};

/// A package index on the loopback. It ends with the test.
struct Index {
    child: Child,
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Index {
    fn start() -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-I", "-c", include_str!("dependencies/index.py")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                hears.lock().unwrap().push(line);
            }
        });
        Self { child, port, heard }
    }

    fn asked_for(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// What it answers, whole.
    fn get(&self, path: &str) -> String {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let asked = format!(
            "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\n\r\n",
            self.port
        );
        stream.write_all(asked.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// From now on there is a newer version of `base`.
    fn has_newer(&self) {
        self.get("/newer");
        // It was asked; what it prints of that is heard a little later.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while self
            .heard
            .lock()
            .unwrap()
            .iter()
            .all(|line| line != "GET /newer")
        {
            assert!(std::time::Instant::now() < deadline, "nothing is heard");
            std::thread::yield_now();
        }
    }

    async fn station(&self) -> Station {
        let station = Station::with(|config| self.configure(config)).await;
        station.at_work(|_| {})
    }

    fn configure(&self, config: &mut Config) {
        let host = format!("127.0.0.1:{}", self.port);
        config.gateway.allow_private = vec![host.parse().unwrap()];
        config.index.python = format!("http://{host}/simple");
        config.index.node = format!("http://{host}/");
        config.index.hosts = Vec::new();
        config.index.uv = Uv::At(uv());
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that `cargo xtask test` installs beside what is built.
fn uv() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut beside = own.ancestors().map(|folder| folder.join("tools/uv"));
    let found = beside.find(|path| path.exists());
    let found = found.or_else(|| Uv::LookedUp.find());
    found.expect("there is no uv: `cargo xtask test` installs it, and so does `pip install uv`")
}

async fn push(station: &Station, name: &str, files: Value) -> Reply {
    pushed(station, name, files, false).await
}

async fn pushed(station: &Station, name: &str, files: Value, relock: bool) -> Reply {
    let body = json!({ "files": files, "relock": relock });
    let path = format!("/v1/functions/{name}/versions");
    station.post("devs", &path, body).await
}

async fn shown(station: &Station, name: &str) -> Value {
    let path = format!("/v1/functions/{name}/versions/latest");
    station.get("devs", &path).await.ok()
}

async fn packages(station: &Station, name: &str) -> Vec<String> {
    let version = shown(station, name).await;
    let packages = version["packages"].as_array().cloned().unwrap_or_default();
    packages
        .iter()
        .map(|one| format!("{} {}", text(one, "name"), text(one, "version")))
        .collect()
}

async fn run(station: &Station, name: &str) -> Value {
    let body = json!({ "function": name, "on": [], "args": {} });
    let run = station.post("devs", "/v1/runs?wait=60s", body).await.ok();
    assert_eq!(run["state"], "ended", "{run}");
    run
}

const HELLO: &str = "
import os, sys
import hello, base

def transform(data, ctx):
    return [hello.greet(), base.greet(), os.environ.get('HOOKED'), hello.__file__, hello.__cached__ is not None]
";

#[tokio::test]
async fn packages_are_locked_and_installed_once_and_runs_are_given_them() {
    let index = Index::start();
    let mut station = index.station().await;
    let files =
        |more: &str| json!({ "main.py": format!("{HELLO}{more}"), "requirements.txt": "hello\n" });
    let first = push(&station, "devs/hello", files("")).await.ok();
    assert_eq!(first["manifest"]["dependencies"]["from"], "requirements");
    let steps = first["installed"]["steps"].as_array().unwrap();
    let steps: Vec<&str> = steps.iter().map(|step| text(step, "step")).collect();
    assert_eq!(steps, ["lock", "install"]);
    assert_eq!(
        packages(&station, "devs/hello").await,
        ["base 1.0", "hello 1.0"]
    );
    let ran = run(&station, "devs/hello").await;
    // Nothing of what `.pth` files and `sitecustomize` say has been run.
    let greeted = json!([
        "hello 1.0",
        "base 1.0",
        null,
        "/deps/hello/__init__.py",
        true
    ]);
    assert_eq!(ran["value"], greeted, "{ran}");

    // Another line of code, and a newer package: nobody asks the index.
    index.has_newer();
    let asked = index.asked_for();
    let second = push(&station, "devs/hello", files("\n# changed"))
        .await
        .ok();
    assert_ne!(first["version"], second["version"]);
    let lock = |version: &Value| version["manifest"]["dependencies"]["lock"].clone();
    assert_eq!(lock(&first), lock(&second));
    assert_eq!(index.asked_for(), asked);
    let again = run(&station, "devs/hello").await;
    assert_eq!(again["value"], greeted);

    // Only who asks for it is given what is newer.
    let third = pushed(&station, "devs/hello", files("\n# changed"), true)
        .await
        .ok();
    assert_ne!(lock(&second), lock(&third));
    assert_eq!(
        packages(&station, "devs/hello").await,
        ["base 2.0", "hello 1.0"]
    );
    station.stop().await;
}

#[tokio::test]
async fn an_owner_sees_the_packages_and_what_changed_of_them_since_he_approved() {
    let index = Index::start();
    let mut station = index.station().await;
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    let files = json!({ "main.py": HELLO, "requirements.txt": "hello" });
    push(&station, "devs/hello", files.clone()).await.ok();
    let ask = async |station: &Station| {
        let run = station
            .ask("guest", "devs/hello", &["lab/d"], json!({}))
            .await;
        let path = format!("/v1/requests/{}", text(&run, "request"));
        (path.clone(), station.get("lab", &path).await.ok())
    };
    let (path, first) = ask(&station).await;
    let listed = first["detail"]["packages"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "{first}");
    assert!(
        first["detail"]["files"]["strongroom.lock"].is_string(),
        "the whole lock is shown"
    );
    station
        .post("lab", &format!("{path}/approve"), json!({}))
        .await
        .ok();
    index.has_newer();
    pushed(&station, "devs/hello", files, true).await.ok();
    let (_, second) = ask(&station).await;
    let changed = json!([{ "name": "base", "before": "1.0", "after": "2.0" }]);
    assert_eq!(second["detail"]["packages_changed"], changed);
    assert_eq!(second["state"], "pending", "it is another version");
    station.stop().await;
}

#[tokio::test]
async fn where_nothing_is_said_the_imports_tell_and_code_is_only_read() {
    let index = Index::start();
    let mut station = index.station().await;
    let source = "
from typing import TYPE_CHECKING
import json, barcode
try:
    import spoiled
except ImportError:
    spoiled = None
if TYPE_CHECKING:
    import sources
raise SystemExit(0 if barcode.greet() == 'barcode 3.0' and spoiled is None else 3)
";
    let pushed = push(&station, "devs/code", json!({ "main.py": source }))
        .await
        .ok();
    assert_eq!(pushed["manifest"]["dependencies"]["from"], "imports");
    assert_eq!(
        packages(&station, "devs/code").await,
        ["python-barcode 3.0"]
    );
    let ran = run(&station, "devs/code").await;
    assert_eq!(ran["reason"]["code"], "succeeded", "{ran}");
    let plain = push(
        &station,
        "devs/plain",
        json!({ "main.py": "import json\n" }),
    )
    .await
    .ok();
    assert!(plain["manifest"].get("dependencies").is_none());
    station.stop().await;
}

#[track_caller]
fn fails(reply: &Reply, step: &str, word: &str) {
    assert_eq!(reply.refused(422), "build_failed", "{reply:?}");
    let problem = reply.json();
    let detail = text(&problem, "detail");
    assert!(
        detail.starts_with(&format!("build_failed({step}): ")),
        "{detail}"
    );
    assert!(detail.contains(word), "{detail}");
}

#[tokio::test]
async fn what_cannot_be_resolved_or_installed_is_refused_with_the_line_that_matters() {
    let index = Index::start();
    let mut station = index.station().await;
    for (needs, step, word) in [
        ("nosuch", "lock", "nosuch"),
        ("clash", "lock", "base>5"),
        ("hello==7", "lock", "hello==7"),
        ("sources", "lock", "sources"),
        ("spoiled", "install", "is not one that the lock names"),
        ("climber", "install", "a wheel holds the path"),
    ] {
        let files = json!({ "main.py": "1", "requirements.txt": needs });
        fails(&push(&station, "devs/bad", files).await, step, word);
    }
    let reply = push(
        &station,
        "devs/bad",
        json!({ "main.py": "import nosuch\ndef (", }),
    )
    .await;
    fails(&reply, "imports", "main.py, line 2");
    let evil = json!({ "main.py": "1", "requirements.txt": "--index-url http://x\nhello" });
    assert_eq!(
        push(&station, "devs/bad", evil).await.refused(422),
        "bad_dependencies"
    );
    let nothing = station.get("devs", "/v1/functions/devs/bad").await;
    assert_eq!(
        nothing.refused(404),
        "not_found",
        "nothing of them was kept"
    );

    drop(index);
    let files = json!({ "main.py": "1", "requirements.txt": "hello" });
    fails(&push(&station, "devs/bad", files).await, "lock", "error");
    station.stop().await;
}

#[tokio::test]
async fn a_lock_that_somebody_wrote_cannot_name_files_that_the_index_has_not() {
    let index = Index::start();
    let mut station = index.station().await;
    let files = json!({ "main.py": HELLO, "requirements.txt": "hello" });
    let first = push(&station, "devs/hello", files).await.ok();
    let version = shown(&station, "devs/hello").await;
    let lock = text(&version["files"], "strongroom.lock").to_owned();
    assert!(lock.contains("hello==1.0"), "{first}");
    let brought = |lock: String| json!({ "main.py": HELLO, "requirements.txt": "hello", "strongroom.lock": lock });
    // Its own lock is taken as it is.
    let same = push(&station, "devs/copy", brought(lock.clone()))
        .await
        .ok();
    assert_eq!(
        same["manifest"]["dependencies"],
        version["manifest"]["dependencies"]
    );
    let at = lock.find("--hash=sha256:").unwrap() + 14;
    let mut other = lock.clone();
    other.replace_range(at..at + 8, "00000000");
    let reply = push(&station, "devs/copy", brought(other)).await;
    fails(
        &reply,
        "install",
        "no file with a digest that the lock names",
    );
    // Nor may one version be called another.
    index.has_newer();
    let files = json!({ "main.py": HELLO, "requirements.txt": "hello" });
    pushed(&station, "devs/newer", files, true).await.ok();
    let newer = shown(&station, "devs/newer").await;
    let newer = text(&newer["files"], "strongroom.lock");
    assert!(newer.contains("base==2.0"), "{newer}");
    let called = newer.replace("base==2.0", "base==1.0");
    let reply = push(&station, "devs/copy", brought(called)).await;
    fails(
        &reply,
        "install",
        "base 1.0: the index has no file with a digest that the lock names",
    );
    let open = lock.replace("base==1.0", "base>=1.0");
    assert_eq!(
        push(&station, "devs/copy", brought(open))
            .await
            .refused(422),
        "bad_lock"
    );
    station.stop().await;
}

#[tokio::test]
async fn what_no_function_names_is_removed_and_what_one_names_comes_back_for_its_run() {
    let index = Index::start();
    let mut station = index.station().await;
    let files = json!({ "main.py": HELLO, "requirements.txt": "hello" });
    push(&station, "devs/hello", files).await.ok();
    assert_eq!(
        station.app.dependencies_clear().await.unwrap(),
        0,
        "it is named"
    );
    let none = std::collections::BTreeSet::new();
    assert_eq!(station.app.installer.clear(none).await, 1);
    let ran = run(&station, "devs/hello").await;
    assert_eq!(ran["reason"]["code"], "succeeded", "{ran}");
    station.app.installer.clear(Default::default()).await;
    drop(index);
    let ran = run(&station, "devs/hello").await;
    assert_eq!(ran["reason"]["code"], "build_failed", "{ran}");
    station.stop().await;
}

#[test]
fn a_trial_installs_what_a_function_needs_and_asks_the_index_once() {
    let index = Index::start();
    let home = tempfile::tempdir().unwrap();
    let function = home.path().join("f");
    std::fs::create_dir(&function).unwrap();
    std::fs::write(function.join("main.py"), HELLO).unwrap();
    std::fs::write(function.join("requirements.txt"), "hello").unwrap();
    let mut config = Config::new(home.path().join("home"));
    index.configure(&mut config);
    let trial = Trial {
        function,
        args: json!({}),
        jail: JailConfig {
            program: Some(support::jail_program()),
            uid_base: Some(1_350_000_000 + std::process::id() % 100_000 * 64),
            ..JailConfig::default()
        },
        packages: Some(config),
        ..Trial::default()
    };
    let first = trial::run(&trial, |_, _| {}).unwrap();
    assert_eq!(first.value.unwrap()[0], "hello 1.0", "{}", first.reason);
    let asked = index.asked_for();
    let second = trial::run(&trial, |_, _| {}).unwrap();
    assert_eq!(second.value.unwrap()[0], "hello 1.0");
    assert_eq!(index.asked_for(), asked);
}

const NODE: &str = "
const hello = require('nodehello');
console.log(hello());
";

/// The command that runs JavaScript, where this machine has one and npm too.
fn has_npm() -> bool {
    let places = ["/usr/lib/node_modules/npm", "/usr/share/nodejs/npm"];
    places
        .iter()
        .any(|place| std::path::Path::new(place).exists())
}

#[tokio::test]
async fn a_runtime_that_cannot_start_the_resolver_is_told_what_it_lacks() {
    use std::os::unix::fs::PermissionsExt as _;
    let index = Index::start();
    let folder = tempfile::tempdir().unwrap();
    let strange = folder.path().join("uv");
    // A program whose loader is nowhere, as on an image with another C library.
    let mut program = std::fs::read("/bin/true").unwrap();
    let loader = b"/ld-linux";
    let at = program
        .windows(loader.len())
        .position(|some| some == loader);
    program[at.unwrap() + 1..][..2].copy_from_slice(b"xx");
    std::fs::write(&strange, program).unwrap();
    std::fs::set_permissions(&strange, std::fs::Permissions::from_mode(0o755)).unwrap();
    let station = Station::with(|config| {
        index.configure(config);
        config.index.uv = Uv::At(strange.clone());
    });
    let mut station = station.await.at_work(|_| {});
    let files = json!({ "main.py": "import base", "requirements.txt": "base" });
    let pushed = push(&station, "devs/base", files).await;
    let detail = format!("{pushed:?}");
    assert_eq!(pushed.refused(422), "build_failed", "{detail}");
    assert!(
        detail.contains("its image has another C library"),
        "{detail}"
    );
    station.stop().await;
}

/// A runtime of JavaScript on this machine's Node.
async fn add_nodes(station: &mut Station) {
    let toml = "command = ['/usr/bin/node', '/function/{entry}']\n\
                [function]\nsuffix = '.js'\nmain = 'main.js'\n";
    let files = station
        .upload("admin", &[("runtime.toml", toml.as_bytes())])
        .await;
    let body = json!({ "name": "nodes", "files": files });
    station.post("admin", "/v1/runtimes", body).await.ok();
}

#[tokio::test]
async fn a_package_of_node_that_lies_elsewhere_is_the_one_that_the_index_has_or_none() {
    let index = Index::start();
    let mut station = index.station().await;
    add_nodes(&mut station).await;
    let files = |lock: Option<Value>| {
        let mut files = json!({
            "main.js": "console.log(require('afar')())",
            "package.json": r#"{ "dependencies": { "afar": "1.2.0" } }"#,
            "strongroom.toml": "runtime = 'nodes'\n[limits]\nmemory = '512MiB'\n",
        });
        if let Some(lock) = lock {
            files["package-lock.json"] = lock.to_string().into();
        }
        files
    };
    let pushed = push(&station, "devs/afar", files(None)).await;
    if !has_npm() {
        pushed.refused(422);
        return station.stop().await;
    }
    pushed.ok();
    assert_eq!(packages(&station, "devs/afar").await, ["afar 1.2.0"]);
    let ran = run(&station, "devs/afar").await;
    assert_eq!(ran["reason"]["code"], "succeeded", "{ran}");
    // A lock that somebody wrote calls another file by this name.
    let answer = index.get("/nodehello");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let packument: Value = serde_json::from_str(body).unwrap();
    let other = &packument["versions"]["1.2.0"]["dist"];
    let lock = json!({
        "lockfileVersion": 3,
        "packages": {
            "": { "dependencies": { "afar": "1.2.0" } },
            "node_modules/afar": {
                "version": "1.2.0",
                "resolved": format!("http://127.0.0.1:{}/download/0123", index.port),
                "integrity": other["integrity"],
            },
        },
    });
    let pushed = push(&station, "devs/afar", files(Some(lock))).await;
    let detail = format!("{pushed:?}");
    assert_eq!(pushed.refused(422), "build_failed", "{detail}");
    assert!(detail.contains("no afar 1.2.0 with the digest"), "{detail}");
    station.stop().await;
}

#[tokio::test]
async fn packages_of_node_are_locked_and_installed_by_npm_without_their_scripts() {
    let index = Index::start();
    let mut station = index.station().await;
    add_nodes(&mut station).await;
    let package =
        r#"{ "dependencies": { "nodehello": "^1.0.0" }, "scripts": { "install": "exit 9" } }"#;
    let files = |source: &str| {
        json!({
            "main.js": source,
            "package.json": package,
            "strongroom.toml": "runtime = 'nodes'\n[limits]\nmemory = '512MiB'\n",
        })
    };
    let pushed = push(&station, "devs/node", files(NODE)).await;
    if !has_npm() {
        // Then it is said what is missing, and nothing is kept.
        let code = pushed.refused(422);
        assert!(code == "build_failed" || code == "no_runtime", "{pushed:?}");
        return station.stop().await;
    }
    let pushed = pushed.ok();
    assert_eq!(pushed["manifest"]["dependencies"]["from"], "package_json");
    assert_eq!(packages(&station, "devs/node").await, ["nodehello 1.2.0"]);
    let ran = run(&station, "devs/node").await;
    assert_eq!(ran["reason"]["code"], "succeeded", "{ran}");
    let log = format!("/v1/runs/{}/log", text(&ran, "id"));
    let said = station.get("devs", &log).await;
    assert!(
        String::from_utf8_lossy(&said.body).contains("hello from node"),
        "{said:?}"
    );
    let asked = index.asked_for();
    push(&station, "devs/node", files("require('nodehello')"))
        .await
        .ok();
    assert_eq!(index.asked_for(), asked);
    let foreign = json!({
        "main.js": NODE,
        "package.json": package,
        "package-lock.json": r#"{ "packages": { "": {}, "node_modules/x": { "version": "1", "resolved": "git+ssh://x" } } }"#,
        "strongroom.toml": "runtime = 'nodes'",
    });
    assert_eq!(
        push(&station, "devs/node", foreign).await.refused(422),
        "bad_lock"
    );
    station.stop().await;
}

#[tokio::test]
async fn what_is_installed_for_another_interpreter_is_given_to_no_run() {
    let index = Index::start();
    let mut station = index.station().await;
    for (needs, kind, code) in [
        // The host's Python is another now: of the same kind, and of another.
        ("hello", None, "succeeded"),
        ("base", Some("cpython-310-x86_64-linux-gnu"), "build_failed"),
    ] {
        let name = format!("devs/{needs}");
        let files = json!({ "main.py": format!("import {needs}"), "requirements.txt": needs });
        let pushed = push(&station, &name, files).await.ok();
        let lock = text(&pushed["manifest"]["dependencies"], "lock");
        let lock = lock.trim_start_matches("sha256:");
        let record = station
            .app
            .config
            .home
            .join("deps")
            .join(lock)
            .join("record.json");
        let mut told: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
        told["runtime"] = json!(format!("sha256:{}", "0".repeat(64)));
        if let Some(kind) = kind {
            told["interpreter"] = json!(kind);
        }
        std::fs::write(&record, told.to_string()).unwrap();
        let ran = run(&station, &name).await;
        assert_eq!(ran["reason"]["code"], code, "{ran}");
    }
    station.stop().await;
}

async fn script(station: &Station, code: &str) -> Reply {
    let body = json!({ "script_name": "main.py", "client": "", "code": code });
    station.post("guest", "/run-json", body).await
}

#[tokio::test]
async fn a_script_is_given_the_packages_that_it_imports_or_names() {
    let index = Index::start();
    let mut station = index.station().await;
    let imports = "import barcode\nprint(barcode.greet(), barcode.__file__)\n";
    let first = script(&station, imports).await.ok();
    assert_eq!(first["reason"]["code"], "succeeded", "{first}");
    assert_eq!(
        text(&first, "stdout").trim(),
        "barcode 3.0 /deps/barcode.py"
    );
    // Another that needs the same asks the index nothing.
    let asked = index.asked_for();
    let second = script(&station, &format!("{imports}print(1)\n")).await.ok();
    assert_eq!(second["reason"]["code"], "succeeded", "{second}");
    assert_eq!(index.asked_for(), asked);
    let named =
        "# /// script\n# dependencies = [\"hello\"]\n# ///\nimport hello\nprint(hello.greet())\n";
    let named = script(&station, named).await.ok();
    assert_eq!(text(&named, "stdout").trim(), "hello 1.0", "{named}");
    // What there is none of is said at once, and what cannot be read by itself.
    fails(
        &script(&station, "import nosuchthing\n").await,
        "lock",
        "nosuchthing",
    );
    let broken = script(&station, "import barcode\n1 +\n").await.ok();
    assert_eq!(broken["reason"]["code"], "failed", "{broken}");
    assert!(text(&broken, "stderr").contains("SyntaxError"), "{broken}");
    station.stop().await;
}
