//! Scripts in Starlark, in real sandboxes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use serde_json::{Value, json};

use crate::station::{Place, Said, Station, example, snapshot};

/// Builds the guest for Starlark beside the program, unless it is there. The
/// test commands of the repository have built it; a lone `cargo test` has not.
pub fn build() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_strongroom"))
            .parent()
            .unwrap();
        if folder.join("strongroom-star").is_file() {
            return;
        }
        let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect();
        let done = Command::new(env!("CARGO"))
            .args(["build", "--manifest-path", "crates/star/Cargo.toml"])
            .arg("--target-dir")
            .arg(folder.parent().unwrap())
            .current_dir(root)
            .status();
        assert!(done.unwrap().success(), "the Starlark guest does not build");
    });
}

fn place() -> Place {
    build();
    Place::new()
}

#[test]
fn a_script_in_starlark_runs_on_data_and_makes_files() {
    let place = place();
    let (file, data) = (example("mean_mass.star"), example("penguins.csv"));
    let words = [
        "run",
        &file,
        "--on",
        &data,
        "--arg",
        "by=island",
        "--out",
        "result",
    ];
    snapshot!(place.run(&words), @r#"
    {
      "Biscoe": 4716,
      "Dream": 3712,
      "Torgersen": 3706
    }
    ---- stderr
    | groups: 3
    succeeded: USAGE, 163 B out
      result/body.csv, 94 B, sha256:DIGEST
      result/dataset.json, 24 B, sha256:DIGEST
      on starlark sha256:DIGEST
    "#);
}

#[test]
fn a_script_in_starlark_is_pushed_approved_and_run_like_any_other() {
    build();
    let station = Station::start();
    let [lab, _, _] = station.people();
    lab.does(&["function", "push", "lab/means", &example("mean_mass.star")]);
    let said = lab.reads(&["run", "lab/means", "--on", "lab/penguins"]);
    assert_eq!(said["reason"]["code"], "succeeded", "{said}");
    assert_eq!(
        said["value"],
        json!({"Adelie": 3700, "Chinstrap": 3733, "Gentoo": 5076})
    );
}

#[track_caller]
fn fails(script: &str, more: &[&str], reason: &str, part: &str) {
    let place = place();
    let file = place.file("t.star", script);
    let said: Said = place.run(&[&["run", &file, "--json"], more].concat());
    let ended: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(ended["reason"]["code"], reason, "{said}");
    assert!(said.err.contains(part), "{said}");
}

#[test]
fn a_script_that_asks_for_too_much_ends_with_a_reason() {
    let memory = "def transform(ds, ctx):\n  x = 'a'\n  for i in range(60):\n    x = x + x\n";
    fails(memory, &["--limit", "memory=64MiB"], "out_of_memory", "");
    let time = "def transform(ds, ctx):\n  for i in range(1 << 30):\n    for j in range(1 << 30):\n      pass\n";
    fails(time, &["--limit", "time=1s"], "timed_out", "");
    let calls = "def f(): f()\ndef transform(ds, ctx):\n  f()\n";
    fails(calls, &[], "failed", "stack overflow");
    let out = "def transform(ds, ctx):\n  ds.set_body([['x' * 100000]] * 100000)\n";
    fails(
        out,
        &["--limit", "memory=512MiB", "--limit", "out=1MiB"],
        "output_too_large",
        "No space left",
    );
}

#[test]
fn a_script_reaches_no_file_and_no_network() {
    for path in ["/etc/passwd", "../t.star", "/function/t.star", "/data/x"] {
        let script = format!("load({path:?}, 'x')\n");
        fails(&script, &[], "failed", "there is no module");
    }
    let input = "def transform(ds, ctx):\n  load_dataset('../../etc')\n";
    fails(input, &[], "failed", "no input named");
}

#[test]
fn a_script_is_looked_at_before_it_is_pushed_and_nothing_of_it_runs() {
    build();
    let station = Station::start();
    let [lab, _, _] = station.people();
    let script = "load(\"http.star\", \"http\")\n\
        def lost():\n    return \"\x1b[31m\"\n\
        def transform(ds, ctx):\n    print(1)\n    return http.get(\"http://a\")\n";
    let file = station.place.file("t.star", script);
    snapshot!(lab.tries(&["check", &file]), @r"
    t.star:2:5: warning: the function `lost` is never used
      hint: call it, or take it out
    t.star:6:12: error: `http` is used outside of download, where there is no network
      hint: make requests in the function `download`, whose value `ctx.download` carries on
    ---- exit code 1
    ");
    let told = lab.tries(&["check", &file, "--json"]);
    let report: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(report["stages"], json!(["transform"]));
    assert_eq!(report["findings"][1]["rule"], "network");
    let refused = lab.cannot(&["function", "push", "lab/t", &file]);
    assert!(refused.contains("t.star:6:12: error:"), "{refused}");
    assert!(refused.contains("`--no-check`"), "{refused}");
    assert!(
        lab.cannot(&["function", "show", "lab/t"])
            .contains("no such")
    );
    lab.does(&["function", "push", "lab/t", &file, "--no-check"]);
    let warned = station
        .place
        .file("u.star", "def lost():\n    pass\nprint(1)\n");
    let pushed = lab.does(&["function", "push", "lab/u", &warned]);
    assert!(pushed.err.contains("never used"), "{pushed}");
    let missing = lab.tries(&["check", "none.star"]);
    assert_eq!(missing.code, 2, "{missing}");
}

#[test]
fn a_script_in_starlark_is_run_in_its_stages_each_in_a_sandbox_of_its_own() {
    build();
    let station = Station::start();
    let [lab, _, _] = station.people();
    let functions = "state = []\n\
        def download(ctx):\n    state.append(1)\n    return {'factor': 2}\n\
        def transform(ds, ctx):\n    return [ctx.download['factor'] * len(ds.get_body()), state]\n";
    let steps = "# category: setup\n\
        def times(a, b):\n    return a * b\n\
        ---\n# category: download\n\
        factor = 3\n\
        ---\n\
        ds = dataset.latest()\n\
        ds.body = [{'rows': times(len(ds.get_body()), factor)}]\n\
        dataset.commit(ds)\n";
    for (name, script) in [("lab/functions", functions), ("lab/steps", steps)] {
        let file = station.place.file("t.star", script);
        lab.does(&["function", "push", name, &file]);
    }
    let first = lab.reads(&["run", "lab/functions", "--on", "lab/penguins"]);
    assert_eq!(first["value"], json!([688, []]), "{first}");
    let second = lab.reads(&["run", "lab/steps", "--on", "lab/penguins"]);
    assert_eq!(second["reason"]["code"], "succeeded", "{second}");
    let files = second["files"].as_array().unwrap().iter();
    let paths: Vec<&str> = files.map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["body.csv", "dataset.json"]);
}

#[test]
fn a_script_in_starlark_runs_in_the_tier_reduced_too() {
    let place = place();
    place.configure("[jail]\ntier = \"reduced\"\n");
    let (file, data) = (example("mean_mass.star"), example("penguins.csv"));
    let said = place.run(&["run", &file, "--on", &data, "--json"]);
    let ended: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(ended["enforced"]["tier"], "reduced", "{said}");
    assert_eq!(ended["value"]["Gentoo"], 5076, "{said}");
}

const STEPS: &str = r#"# name: one
# category: setup
x = 1
print("one is", x)
---
# name: two
def wait():
    for a in range(1000000000):
        for b in range(1000000000):
            pass
wait()
---
# name: three
print("never")
"#;

#[test]
fn a_run_in_starlark_tells_of_its_steps_and_the_station_of_its_cancel() {
    build();
    let station = Station::start();
    let [lab, _, _] = station.people();
    let file = station.place.file("steps.star", STEPS);
    lab.does(&["function", "push", "lab/steps", &file]);
    let (run, _) = lab.asks(&["lab/steps"]);
    let told = || -> Vec<Value> {
        let said = lab.does(&["logs", &run, "--events", "--json"]);
        let lines = said.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !told().iter().any(|step| step["name"] == "two") {
        assert!(std::time::Instant::now() < deadline, "{:?}", told());
        std::thread::yield_now();
    }
    lab.does(&["cancel", &run]);
    lab.waits_for(&run, "ended");
    let kinds: Vec<(String, Value)> = told()
        .into_iter()
        .map(|step| {
            (
                step["event"].as_str().unwrap().to_owned(),
                step["name"].clone(),
            )
        })
        .collect();
    let wanted = [
        ("start", Value::Null),
        ("step_start", json!("one")),
        ("print", Value::Null),
        ("step_stop", json!("one")),
        ("step_start", json!("two")),
        ("error", Value::Null),
        ("step_stop", json!("two")),
        ("stop", Value::Null),
        ("cancelled", Value::Null),
    ];
    let wanted = wanted.map(|(event, name)| (event.to_owned(), name));
    assert_eq!(kinds, wanted);
    // What was printed is in the log once, and no event is.
    let log = lab.does(&["logs", &run]);
    assert_eq!((log.out.as_str(), log.err.as_str()), ("one is 1\n", ""));
}
