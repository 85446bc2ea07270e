//! The walk by curl alone: `examples/walk.sh` against a fresh station.

#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

#[test]
fn the_whole_walk_works_by_curl_alone() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let mut station = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(["serve", "--listen", "127.0.0.1:0", "--home"])
        .arg(&home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(station.stdout.take().unwrap()).lines();
    let line = lines
        .find(|line| line.as_ref().unwrap().contains("http://"))
        .unwrap()
        .unwrap();
    let url = line[line.find("http://").unwrap()..]
        .split_whitespace()
        .next()
        .unwrap();
    let admin = std::fs::read_to_string(home.join("admin.token")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/walk.sh");
    let walked = Command::new(script)
        .args([url, admin.trim()])
        .output()
        .unwrap();
    station.kill().unwrap();
    station.wait().unwrap();
    let said = String::from_utf8_lossy(&walked.stdout);
    let wrong = String::from_utf8_lossy(&walked.stderr);
    assert!(walked.status.success(), "{said}\n{wrong}");
    assert!(said.ends_with("the walk is done\n"), "{said}");
}
