//! The developer kit: the Python package, connectors, a function's first start.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::station::{Said, Station, said};

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
