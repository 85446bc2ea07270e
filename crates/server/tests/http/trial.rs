//! The trial run: no station, the same jail, the same view, the same limits.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde_json::json;
use strongroom_core::{
    network::{Answers, made::Outcome},
    run::{Reason, Stream},
};
use strongroom_server::{
    config::JailConfig,
    trial::{self, Trial, TrialEnded, TrialError},
};

use crate::support::jail_program;

/// A trial of `function`, which lies in `folder`.
fn of(folder: &Path, function: &str) -> Trial {
    let uid_base = Some(1_300_000_000 + std::process::id() % 100_000 * 64);
    let jail = JailConfig {
        program: Some(jail_program()),
        uid_base,
        ..JailConfig::default()
    };
    Trial {
        function: folder.join(function),
        args: json!({}),
        jail,
        ..Trial::default()
    }
}

fn run(trial: &Trial) -> (TrialEnded, Vec<(Stream, String)>) {
    let mut lines = Vec::new();
    let ended = trial::run(trial, |stream, line| lines.push((stream, line.to_owned()))).unwrap();
    (ended, lines)
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

const COUNT: &str = "\
def transform(data, ctx):
    print('counting')
    (ctx.out / 'sub').mkdir()
    (ctx.out / 'sub' / 'n.txt').write_text('2')
    return {'names': sorted(data.names()), 'by': ctx.args.get('by')}
";

#[test]
fn a_file_is_tried_on_a_file_and_its_outputs_are_written() {
    let folder = folder(&[("f.py", COUNT), ("d.csv", "a\n1\n2\n")]);
    let out = tempfile::tempdir().unwrap();
    let mut trial = of(folder.path(), "f.py");
    trial.on = vec![folder.path().join("d.csv").display().to_string()];
    trial.args = json!({ "by": "a" });
    trial.out = Some(out.path().join("results"));
    let (ended, lines) = run(&trial);
    assert_eq!(ended.reason, Reason::Succeeded, "{lines:?}");
    assert_eq!(ended.value, Some(json!({ "names": ["d.csv"], "by": "a" })));
    assert_eq!(lines, [(Stream::Stdout, "counting".to_owned())]);
    assert_eq!(
        fs::read_to_string(out.path().join("results/sub/n.txt")).unwrap(),
        "2"
    );
    assert_eq!(ended.enforced.tier, "full");
    let (again, _) = run(&trial);
    assert_eq!(
        again.reason,
        Reason::Succeeded,
        "outputs of an earlier trial are replaced"
    );
}

#[test]
fn files_that_only_their_owner_may_read_are_seen_by_the_guest() {
    let folder = folder(&[("f.py", COUNT), ("data/a.csv", "1"), ("data/b/c.csv", "2")]);
    for private in ["f.py", "data/a.csv", "data/b/c.csv"] {
        fs::set_permissions(folder.path().join(private), Permissions::from_mode(0o600)).unwrap();
    }
    let mut trial = of(folder.path(), "f.py");
    trial.on = vec![format!("x={}", folder.path().join("data").display())];
    fs::write(folder.path().join("f.py"), "import os\ndef transform(data, ctx):\n    return open('/data/x/b/c.csv').read() + open('/data/x/a.csv').read()").unwrap();
    let (ended, lines) = run(&trial);
    assert_eq!(ended.value, Some(json!("21")), "{lines:?}");
}

#[test]
fn the_limits_hold_and_the_reason_says_which() {
    let folder = folder(&[("f.py", "import time\ntime.sleep(60)")]);
    let mut trial = of(folder.path(), "f.py");
    trial.limits.set("time", "300ms").unwrap();
    assert_eq!(run(&trial).0.reason, Reason::TimedOut { limit_ms: 300 });
}

#[test]
fn what_could_not_be_pushed_is_not_tried() {
    let folder = folder(&[("f.py", ""), ("data/a", "1")]);
    let mut trial = of(folder.path(), "f.py");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("data/link")).unwrap();
    trial.on = vec![folder.path().join("data").display().to_string()];
    let refused = |trial: &Trial| trial::run(trial, |_, _| ()).unwrap_err();
    assert!(matches!(
        refused(&trial),
        TrialError::Kind {
            kind: "a symbolic link",
            ..
        }
    ));
    fs::remove_file(folder.path().join("data/link")).unwrap();
    fs::write(folder.path().join("data/A"), "1").unwrap();
    assert!(matches!(refused(&trial), TrialError::Tree { .. }));
    assert!(matches!(
        refused(&of(folder.path(), "none.py")),
        TrialError::Read { .. }
    ));
    fs::write(
        folder.path().join("bad.py"),
        "# /// script\n# wat = 1\n# ///\n",
    )
    .unwrap();
    assert!(matches!(
        refused(&of(folder.path(), "bad.py")),
        TrialError::Manifest { .. }
    ));
    trial.on = vec!["x".to_owned(), "y".to_owned()];
    assert!(matches!(refused(&trial), TrialError::TwoUnnamed));
}

const FETCHES: &str = r#"
import urllib.request
def download(ctx):
    def fetch(url):
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.headers.get("Strongroom-Refused")
    return [fetch(url) for url in ctx.args["urls"]]
def transform(data, ctx):
    return ctx.download
"#;

#[test]
fn a_trial_downloads_by_the_gateway_from_the_hosts_of_its_manifest_alone_and_is_replayed() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // One answer, and nobody is there any more.
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nrows");
    });
    let manifest = format!("[download]\nhosts = ['{host}']\n");
    let folder = folder(&[("f/main.py", FETCHES), ("f/strongroom.toml", &manifest)]);
    let url = format!("http://{host}/a");
    let mut trial = of(folder.path(), "f");
    trial.args = json!({ "urls": [url, "http://127.0.0.1:1/"] });
    trial.answers = Answers::Record;
    trial.recorded = Some(folder.path().join("trials"));
    // What the operator does not open stays closed for a trial too.
    let (closed, _) = run(&trial);
    assert_eq!(closed.value, Some(json!(["private_address", "host"])));
    trial.gateway.allow_private = vec![host.to_string().parse().unwrap()];
    let (ended, lines) = run(&trial);
    assert_eq!(ended.reason, Reason::Succeeded, "{lines:?}");
    assert_eq!(ended.value, Some(json!(["rows", "host"])));
    let outcomes: Vec<&Outcome> = ended.requests.iter().map(|made| &made.outcome).collect();
    assert!(
        matches!(outcomes[..], [Outcome::Answered, Outcome::Refused { .. }]),
        "{outcomes:?}"
    );
    trial.gateway = Default::default();
    trial.answers = Answers::Replay(ended.run);
    let (again, _) = run(&trial);
    assert_eq!(again.value, Some(json!(["rows", "host"])));
    assert_eq!(again.requests[0].outcome, Outcome::Replayed);
    trial.answers = Answers::Replay(again.run);
    let unknown = trial::run(&trial, |_, _| {}).unwrap_err();
    assert!(matches!(unknown, TrialError::NotRecorded(_)), "{unknown}");
}
