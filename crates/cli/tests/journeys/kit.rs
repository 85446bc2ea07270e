//! The developer kit: the Python package, connectors, a function's first start.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::station::{Place, Said, Station, example, read_until, rest, said, snapshot};

/// The folder of the Python package.
fn package() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python");
    path.canonicalize().unwrap()
}

/// The host's Python with the package, and nothing of the machine's own.
fn python(words: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PYTHONPATH", package().join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-W", "error"])
        .args(words);
    command
}

#[track_caller]
fn passes(said: &Said) {
    assert_eq!(said.code, 0, "{said}");
    assert!(said.err.contains("\nOK\n"), "{said}");
}

#[test]
fn the_python_package_keeps_its_promises_to_functions_and_callers() {
    let tests = package().join("tests");
    let mut command = python(&["-m", "unittest", "discover"]);
    passes(&said(command.arg("-s").arg(tests)));
}

#[test]
fn a_python_program_calls_functions_and_an_owner_answers_from_one() {
    let station = Station::start();
    let mut command = python(&["-m", "unittest", "journey"]);
    command
        .current_dir(package().join("tests"))
        .env("STRONGROOM_TEST_URL", &station.url);
    for name in ["lab", "devs", "guest"] {
        let variable = format!("STRONGROOM_TEST_{}", name.to_uppercase());
        command.env(variable, station.user(name).token);
    }
    passes(&said(&mut command));
}

#[test]
fn a_connector_is_called_like_a_local_function() {
    let station = Station::start();
    let [lab, _, guest] = station.people();
    guest.does(&["connector", "devs/mean-mass", "--out", "mean_mass.py"]);
    guest.cannot(&["connector", "devs/mean-mass", "--out", "mean_mass.py"]);
    let program = "\
import sys, strongroom
from mean_mass import mean_mass
def approve(run):
    with strongroom.Station(token=sys.argv[1]) as lab:
        lab.requests.approve(run.request, args_schema=True, uses=2)
def refuse(run):
    raise AssertionError(run)
print(mean_mass('lab/penguins', by='species', on_pending=approve)['mean_mass_g']['Gentoo'])
print(mean_mass(on='lab/penguins', by='island', on_pending=refuse)['by'])
try: mean_mass('lab/penguins', by='year', timeout=0.01)
except strongroom.PendingApproval as error: print(error.waits_for)
try: mean_mass('lab/penguins', by='wing')
except strongroom.Invalid as error: print(error.code)
";
    let mut command = python(&["-c", program, &lab.token]);
    command
        .current_dir(station.place.path(""))
        .env(
            "PYTHONPATH",
            format!("{}:.", package().join("src").display()),
        )
        .env("STRONGROOM_URL", &station.url)
        .env("STRONGROOM_TOKEN", &guest.token);
    let said = said(&mut command);
    assert_eq!(said.out, "5076.0\nisland\n('lab',)\nbad_args\n", "{said}");
    assert!(said.err.contains(" waits for lab (req-"), "{said}");
    let text = guest.does(&["connector", "devs/mean-mass", "--language", "typescript"]);
    let file = station.place.file("mean_mass.ts", &text.out);
    assert!(text.out.contains("readonly \"by\": \"species\""), "{file}");
}

#[test]
fn what_was_begun_runs_is_tested_inside_and_can_be_pushed() {
    let station = Station::start();
    let lab = station.user("lab");
    let place = &station.place;
    snapshot!(place.run(&["function", "init", "count-rows"]), @r"
    ./count-rows
    ---- stderr
    try it:  strongroom run ./count-rows --on FILE.csv --arg by=COLUMN --watch
    test it: strongroom run ./count-rows --entry test_main.py
    push it: strongroom function push YOU/count-rows ./count-rows
    ");
    let (data, folder) = (example("penguins.csv"), "./count-rows");
    let tested = place.run(&["run", folder, "--entry", "test_main.py"]);
    assert!(
        tested.err.contains("| Ran 3 tests") && tested.code == 0,
        "{tested}"
    );
    let ran = place.run(&["run", folder, "--on", &data, "--arg", "by=island"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        value,
        serde_json::json!({ "Biscoe": 168, "Dream": 124, "Torgersen": 52 })
    );
    lab.does(&["function", "push", "lab/count-rows", folder]);
    snapshot!(place.run(&["function", "init", "count-rows"]), @r"
    ---- stderr
    error: could not make ./count-rows: File exists (os error 17)
    hint: nothing that is there is overwritten
    ---- exit code 2
    ");
    snapshot!(place.run(&["run", folder, "--entry", "../x"]), @r"
    ---- stderr
    error: the function has no file `../x`
    ---- exit code 2
    ");
    snapshot!(lab.tries(&["run", "lab/count-rows", "--watch"]), @r"
    ---- stderr
    error: --entry and --watch are for a local function
    hint: one is a path such as ./f.py
    ---- exit code 2
    ");
}

#[test]
fn a_local_function_is_run_again_when_it_is_saved_and_not_when_it_is_read() {
    let place = Place::new();
    let source =
        |word: &str| format!("def transform(data, ctx):\n    print('{word}', data.text())\n");
    place.file("f/main.py", source("one"));
    place.file("d.txt", "data");
    let mut child = place
        .command()
        .args(["run", "./f", "--on", "d.txt", "--watch"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waits = "watching for changes";
    assert!(read_until(&mut child, waits).contains("| one data"));
    place.file("f/main.py", source("second"));
    // A save that is not one step may be seen in two.
    let said = read_until(&mut child, "| second data");
    assert!(!said.contains("one"), "{said}");
    read_until(&mut child, waits);
    place.file("f/main.py", "def transform(:\n");
    read_until(&mut child, "SyntaxError");
    std::fs::write(place.path("d.new"), "other").unwrap();
    std::fs::rename(place.path("d.new"), place.path("d.txt")).unwrap();
    place.file("f/main.py", source("third"));
    read_until(&mut child, "| third other");
    read_until(&mut child, waits);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let said = rest(child);
    assert!(!said.err.contains("third"), "{said}");
}
