//! What people read: help, errors, and strangers' text made harmless.

use serde_json::Value;

use crate::station::{Place, Station, snapshot};

#[test]
fn help_is_the_documentation() {
    let place = Place::new();
    snapshot!(place.run(&["--help"]), @r"
    Run other people's code next to your data, and let nothing out but what you allowed

    Data goes to stdout, talk to stderr. The exit code is 0 when it went well, 1 when the answer is no
    (a run did not succeed, a wall is missing) and 2 when there is no answer.

    STRONGROOM_URL and STRONGROOM_TOKEN come before what `strongroom login` stored.

    Usage: strongroom [OPTIONS] <COMMAND>

    Commands:
      serve      Run a station
      login      Remember a station and a token for it
      doctor     Try whether this host can keep every promise
      dataset    Share data that others may compute on but not read
      function   Publish functions that others may run
      check      Look at a script in Starlark without running it
      connector  Write code that calls a function as if it were a local one
      run        Run a function on data
      save       Make a new version of a dataset by running a transform
      apply      Show what a transform would make of a dataset, and save nothing
      runs       List your runs, newest first
      status     Show where a run stands
      logs       Show what a run's guest wrote
      network    Show what a run asked of the network
      output     Show or fetch what came out of a run
      cancel     Cancel a run, whatever its state
      runtime    See what functions can run on, and add to it as an admin
      request    Answer those who ask to run functions on your data
      rule       Answer future requests by rules
      secret     Keep what your runs may be told and nobody else is
      audit      Read the audit record
      user       Add and list users, as an admin
      token      Make, list and revoke tokens
      help       Print this message or the help of the given subcommand(s)

    Options:
          --json
              Print what the station answers as JSON

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version
    ");
    snapshot!(place.run(&["run", "--help"]), @r##"
    Run a function on data

    OWNER/NAME asks the station. Nothing runs until every owner of the data has agreed, in person or by
    a rule; then it starts by itself. A path (one that begins with `.` or `/`, or ends in `.py`, `.sh`,
    `.js` or `.star`) is tried here without a station or anyone's approval, on local data in the same
    sandbox, with the same view and the same limits.

    The returned value goes to stdout, as JSON. What the guest writes goes to stderr, each line behind a
    `|`. Ctrl-C cancels the run. The exit code is 0 if the run succeeded, 1 if not.

    Usage: strongroom run [OPTIONS] <FUNCTION>

    Arguments:
      <FUNCTION>
              The function: OWNER/NAME, OWNER/NAME~1, OWNER/NAME@DIGEST, or a local file or folder

    Options:
          --json
              Print what the station answers as JSON

          --on <DATASET>
              What it runs on: OWNER/DATASET, or INPUT=OWNER/DATASET each; local paths for a local
              function

          --arg <KEY=VALUE>
              One argument; VALUE is read as JSON if it is JSON, and else as text ('n="3"' is the text
              3)

          --args-json <JSON>
              All arguments as one JSON document; `--arg` adds to it

          --config <KEY=VALUE>
              One setting of the function's `[config]`; VALUE is read as for `--arg`

          --limit <KEY=VALUE>
              A bound: cpu=0.5, memory=256MiB, time=30s, processes=64, out=64MiB, out_files=1000,
              log=1MiB, tmp=64MiB

          --out <DIR>
              Write the files from /out below this folder, in place of those of an earlier run

          --runtime-folder <[NAME=]DIR>
              A folder with a `runtime.toml`, for a local function that names this runtime

          --entry <FILE>
              Run this file of a local folder in place of its entry, with any arguments: its tests

          --watch
              Run a local function again whenever its code or its data change, until Ctrl-C

          --backend <BACKEND>
              Where a local function runs: `local`, or `docker` for a container [default: as configured]

          --shell
              In place of a local function run a shell where it would run: the same user, paths, limits
              and walls, but for an hour unless `--limit time=` says otherwise

          --purpose <PURPOSE>
              What the result is for, told to the owners

          --expose
              For a function that defines `expose`, which sends data to its network stage: ask the
              owners of the data, each of whom has to name it in his yes

          --transform-expose-all-datasets
              The same without asking, if you own all of the data and wrote the function

          --record
              Keep every answer that its download gets, so that it can be replayed

          --replay <RUN>
              Give the answers of an earlier run again, which was recorded; nobody is asked

          --lend-secrets
              Let a function of somebody else be told the secrets of yours that it names

          --events
              Tell the steps of the function too, where it has some

          --detach
              Ask, and do not wait

          --wait <TIME>
              Wait at most this long: 30s, 10m; the run goes on [default: to its end]

          --idempotency-key <KEY>
              Asking twice with the same key is asking once

      -h, --help
              Print help (see a summary with '-h')
    "##);
    snapshot!(place.run(&["request", "approve", "--help"]), @r"
    Approve requests

    Exactly this plan, to the byte, as often as the caller likes, until you revoke it; or what the
    options say. Another version of the function, other data or another caller is asked again.

    Usage: strongroom request approve [OPTIONS] <REQUEST>...

    Arguments:
      <REQUEST>...
              What is asked, as listed by `strongroom request list`

    Options:
          --args-schema <SCHEMA>
              Cover any arguments that satisfy this JSON Schema, not only these; JSON, or a file with it

          --json
              Print what the station answers as JSON

          --uses <N>
              Good for so many runs, this one included

          --until <TIME>
              Good until then: TIME, 7d, 12h

          --expose
              Let what `expose` makes of your data reach the network stage of the function

          --limit <KEY=VALUE>
              Cut runs down to this bound, such as time=10s or memory=128MiB

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn wrong_use_is_told_before_anything_is_asked() {
    let place = Place::new();
    for words in [
        &["nonsense"][..],
        &["status", "req-1"],
        &["dataset", "push", "Lab/x", "."],
        &["request", "approve"],
        &["request", "approve", "--until", "yesterday", "req-0"],
        &["status", "run-0", "--wait", "soon"],
        &["run"],
    ] {
        assert_eq!(place.run(words).code, 2, "{words:?}");
    }
}

#[test]
fn no_stranger_s_text_can_command_a_terminal() {
    let station = Station::start();
    let (lab, evil) = (station.user("lab"), station.user("evil"));
    let data = station.place.file("d.csv", "a\n1\n");
    lab.does(&["dataset", "push", "lab/d", &data]);
    let bad = "\u{1b}]0;gone\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}";
    let code = format!(
        "# {bad}\nimport sys\n\
         bad = '\\x1b]0;gone\\x07\\x1b[2J\\x9b31m\\u202e\\u2066'\n\
         def transform(data, ctx):\n\
         \x20   print(bad)\n    print(bad, file=sys.stderr)\n    return {{bad: bad}}\n"
    );
    let code = station.place.file("evil.py", code);
    evil.does(&["function", "push", "evil/f", &code, "-m", bad]);
    let (run, request) = evil.asks(&[
        "evil/f",
        "--on",
        "lab/d",
        "--purpose",
        bad,
        "--args-json",
        "{\"a\":\"\\u009b\"}",
    ]);
    lab.does(&[
        "request",
        "approve",
        &request,
        "--args-schema",
        "{\"title\":\"\\u009b2J\"}",
    ]);
    evil.waits_for(&run, "ended");
    let asked = [
        lab.does(&["request", "list", "--all"]),
        lab.does(&["request", "show", &request]),
        lab.does(&["request", "show", &request, "--json"]),
        lab.does(&["request", "approvals"]),
        lab.does(&["function", "log", "evil/f"]),
        lab.does(&["function", "show", "evil/f"]),
        lab.does(&["audit"]),
        evil.does(&["function", "show", "evil/f"]),
        evil.does(&["logs", &run]),
        evil.does(&["logs", &run, "--json"]),
        evil.does(&["logs", &run, "--follow"]),
        evil.does(&["output", &run]),
        evil.does(&["status", &run, "--json"]),
        evil.does(&["run", &code]),
    ];
    for said in asked {
        let all = format!("{}{}", said.out, said.err);
        let harmful = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
        assert!(!all.contains(harmful), "{all:?}");
    }
    assert!(evil.does(&["logs", &run]).out.contains("\\u{1b}[2J"));
}

#[test]
fn the_program_prints_the_document_that_the_station_serves() {
    let station = Station::start();
    let printed = station.place.run(&["openapi"]);
    assert_eq!(printed.code, 0, "{printed}");
    let printed: Value = serde_json::from_str(&printed.out).unwrap();
    let mut served = ureq::get(format!("{}/openapi.json", station.url))
        .call()
        .unwrap();
    assert_eq!(served.body_mut().read_json::<Value>().unwrap(), printed);
}

#[test]
fn the_doctor_says_of_every_wall_whether_it_stands() {
    let place = Place::new();
    let said = place.run(&["doctor", "--json"]);
    let rows: Value = serde_json::from_str(&said.out).unwrap();
    let rows = rows.as_array().unwrap();
    let stands = |name: &str| {
        rows.iter()
            .any(|row| row["name"] == name && row["enforced"] == true)
    };
    for wall in [
        "seccomp",
        "landlock",
        "cgroup",
        "private_root",
        "runtime python3",
        "tier",
    ] {
        assert!(stands(wall), "{wall}: {}", said.out);
    }
    let users = rows.iter().find(|row| row["name"] == "users").unwrap();
    let is_root = rustix::process::geteuid().is_root();
    assert!(!is_root || users["enforced"] == true, "{users}");
    assert!(is_root || users["fix"].is_string(), "{users}");
    let all = rows
        .iter()
        .all(|row| row["enforced"] == true || row["required"] == false);
    assert_eq!(said.code, i32::from(!all));
    let told = place.run(&["doctor"]);
    let shown = told.out.lines().filter(|line| !line.starts_with(' '));
    assert_eq!(shown.count(), rows.len(), "{told}");
}

#[test]
fn a_station_whose_port_is_taken_says_so() {
    let (station, place) = (Station::start(), Place::new());
    let address = station.url.strip_prefix("http://").unwrap();
    snapshot!(place.run(&["serve", "--listen", address]).err.replace(address, "ADDRESS"), @r"
    error: could not listen on ADDRESS: Address already in use (os error 98)
    hint: `--listen 127.0.0.1:0` takes any free port
    ");
    place.configure("worker = 3\n");
    snapshot!(place.run(&["serve"]), @r"
    ---- stderr
    error: DIR/home/config.toml: TOML parse error at line 1, column 1
      |
    1 | worker = 3
      | ^^^^^^
    unknown field `worker`, expected one of `listen`, `database`, `workers`, `request_ttl`, `limits_max`, `script`, `backend`, `docker`, `jail`, `gateway`, `index`
    ---- exit code 2
    ");
}
