//! The developer's trial run: no station, the same result.

use serde_json::{Value, json};

use crate::station::{Place, Station, example, snapshot};

#[test]
fn a_trial_run_needs_no_station_and_no_login() {
    let place = Place::new();
    let (code, data) = (example("mean_mass.py"), example("penguins.csv"));
    let said = place.run(&[
        "run",
        &code,
        "--on",
        &data,
        "--arg",
        "by=island",
        "--out",
        "result",
    ]);
    snapshot!(said, @r##"
    {
      "by": "island",
      "mean_mass_g": {
        "Biscoe": 4716.0,
        "Dream": 3712.9,
        "Torgersen": 3706.4
      }
    }
    ---- stderr
    | 342 penguins weighed, 2 not
    succeeded: USAGE, 176 B out
      result/mean_mass.csv, 87 B, sha256:DIGEST
      on python3 sha256:DIGEST
    "##);
    let written = std::fs::read_to_string(place.path("result/mean_mass.csv")).unwrap();
    assert!(
        written.starts_with("island,penguins,mean_mass_g"),
        "{written}"
    );
    snapshot!(place.run(&["run", &example("mean_mass.sh"), "--on", &data]), @r"
    ---- stderr
    | 3 groups
    succeeded: USAGE, 85 B out
      mean_mass.csv, 85 B, sha256:DIGEST
      on sh sha256:DIGEST
    `--out DIR` keeps the files
    ");
}

#[test]
fn a_trial_run_gives_what_a_station_gives() {
    let station = Station::start();
    let [lab, _, _] = station.people();
    lab.does(&[
        "function",
        "push",
        "lab/mean-mass",
        &example("mean_mass.py"),
    ]);
    let by = ["--arg", "by=year"];
    let there = lab.reads(&[&["run", "lab/mean-mass", "--on", "lab/penguins"], &by[..]].concat());
    let (code, data) = (example("mean_mass.py"), example("penguins.csv"));
    let here = lab.reads(&[&["run", &code, "--on", &data], &by[..]].concat());
    for key in ["value", "files", "reason", "enforced", "state"] {
        assert_eq!(there[key], here[key], "{key}");
        assert_ne!(there[key], Value::Null, "{key}");
    }
}

#[test]
fn a_folder_with_a_manifest_and_named_inputs_can_be_tried() {
    let place = Place::new();
    place.file(
        "f/strongroom.toml",
        "entry = \"go.py\"\n[inputs]\na = \"one\"\nb = \"other\"\n",
    );
    place.file(
        "f/go.py",
        "from lib import join\ndef transform(data, ctx):\n    return join(data)\n",
    );
    place.file(
        "f/lib.py",
        "def join(data):\n    return [data[n].text() for n in ('a', 'b')]\n",
    );
    let (a, b) = (place.file("a.txt", "1"), place.file("b.txt", "2"));
    let (a, b) = (format!("a={a}"), format!("b={b}"));
    let said = place.run(&["run", "./f", "--on", &a, "--on", &b, "--json"]);
    assert_eq!(said.code, 0, "{said}");
    let ended: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(ended["value"], json!(["1", "2"]));
    snapshot!(place.run(&["run", "./f", "--on", &a]), @r"
    ---- stderr
    error: the function takes the inputs a, b, not a
    ---- exit code 2
    ");
}

#[test]
fn a_function_is_tried_on_a_runtime_of_ones_own() {
    let place = Place::new();
    let toml = "base = \"python3\"\npackages = \"p\"\n";
    place.file("birds/runtime.toml", toml);
    place.file("birds/p/bird.py", "name = 'robin'");
    place.file("home/runtimes/owls/runtime.toml", toml);
    place.file("home/runtimes/owls/p/bird.py", "name = 'owl'");
    place.file("home/runtimes/broken/runtime.toml", "base = 3");
    let tries = |runtime: &str, more: &[&str]| {
        let source = format!(
            "# /// script\n# [tool.strongroom]\n# runtime = \"{runtime}\"\n# ///\n\
             import bird\ndef transform(data, ctx):\n    return bird.name\n"
        );
        place.file("f.py", source);
        place.run(&[&["run", "./f.py", "--json"], more].concat())
    };
    let value = |said: crate::station::Said| {
        let ended: Value = serde_json::from_str(&said.out).unwrap();
        ended["value"].clone()
    };
    assert_eq!(
        value(tries("birds", &["--runtime-folder", "birds"])),
        "robin"
    );
    assert_eq!(
        value(tries("own", &["--runtime-folder", "own=birds"])),
        "robin"
    );
    assert_eq!(value(tries("owls", &[])), "owl");
    snapshot!(tries("broken", &[]), @r"
    ---- stderr
    error: the runtime broken: runtime.toml: line 1: invalid type: integer `3`, expected a string
    ---- exit code 2
    ");
    snapshot!(tries("birds", &[]), @r"
    ---- stderr
    error: ./f.py: there is no runtime `birds` here; there are python3, sh, starlark, python3-data, node, binary and owls
    ---- exit code 2
    ");
    snapshot!(place.run(&["run", "a/b", "--runtime-folder", "birds"]), @r"
    ---- stderr
    error: --runtime-folder is for a local function
    hint: `strongroom runtime add` gives a runtime to a station
    ---- exit code 2
    ");
}

#[test]
fn what_cannot_be_tried_is_told_in_one_line() {
    let place = Place::new();
    place.file(
        "bad.py",
        "# /// script\n# [tool.strongroom]\n# memory = 3\n# ///\n",
    );
    snapshot!(place.run(&["run", "./none.py"]), @r"
    ---- stderr
    error: could not read ./none.py: No such file or directory (os error 2)
    hint: a trial run takes local files; what a station has is named owner/name
    ---- exit code 2
    ");
    snapshot!(place.run(&["run", "./bad.py"]), @r"
    ---- stderr
    error: ./bad.py: bad.py: [tool.strongroom]: unknown field `memory`, expected one of `runtime`, `entry`, `description`, `inputs`, `args`, `limits`, `stages`, `download`, `secrets`, `config`, `dependencies`, `release`
    ---- exit code 2
    ");
    snapshot!(place.run(&["run", "./bad.py", "--detach"]), @r"
    ---- stderr
    error: a local function runs here and now
    hint: `--detach`, `--wait` and `--idempotency-key` are for functions of a station
    ---- exit code 2
    ");
    snapshot!(place.run(&["run", "./bad.py", "--limit", "speed=1"]), @r"
    ---- stderr
    error: there is no limit `speed`; there are cpu, memory, time, processes, out, out_files, log and tmp
    ---- exit code 2
    ");
    snapshot!(place.run(&["run", &example("mean_mass.py"), "--arg", "by=wing"]), @r##"
    ---- stderr
    error: argument /by: "wing" is not one of "species", "island" or 2 other candidates
    ---- exit code 2
    "##);
}

#[test]
fn what_a_developer_gets_wrong_is_one_line_that_says_what_to_do() {
    let place = Place::new();
    place.file("misspelt.py", "def tranform(data, ctx):\n    return 1\n");
    place.file("none/readme.txt", "hello");
    place.file("slow.py", "import time\ntime.sleep(100)\n");
    place.file("big.py", "x = bytearray(1 << 30)\n");
    place.file(
        "takes.py",
        "# /// script\n# [tool.strongroom.args]\n# required = [\"n\"]\n# properties.n = { type = \"integer\" }\n# ///\n",
    );
    for (words, code, said) in [
        (
            &["./misspelt.py"][..],
            0,
            "what is called is `transform(data, ctx)`",
        ),
        (&["./none"], 2, "`readme.txt` is none of .py, .sh"),
        (
            &["./slow.py", "--limit", "time=300ms"],
            1,
            "hint: `--limit time=…` asks for more",
        ),
        (&["./big.py"], 1, "hint: `--limit memory=…` asks for more"),
        (
            &["./takes.py"],
            2,
            "error: the arguments: \"n\" is a required property",
        ),
        (
            &["./takes.py", "--arg", "n=x"],
            2,
            "error: argument /n: \"x\" is not of type",
        ),
    ] {
        let ran = place.run(&[&["run"], words].concat());
        assert!(
            ran.code == code && ran.err.contains(said),
            "{words:?}: {ran}"
        );
    }
}
