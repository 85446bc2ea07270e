//! Takes away one wall of the station at a time and shows who misses it.
//!
//! The work of `cargo xtask mutation`, by a test that runs itself once for each
//! wall: inside it tries everything and says what got out, outside it gathers
//! that into rows of a table.

use std::process::Command;

use serde_json::{Value, json};

const VARIABLE: &str = "STRONGROOM_REMOVED";
/// How the name of a row begins.
const STATION: &str = "Station: ";

/// Whether this is the inner half.
pub fn is_inside() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Says what became of one attempt.
pub fn show(attempt: &str, got_out: bool, detail: impl ToString) {
    let verdict = if got_out { "GotOut" } else { "Contained" };
    let line = json!({ "attempt": attempt, "verdict": verdict, "detail": detail.to_string() });
    println!("\n{line}");
}

/// The outer half: with every wall, and then without each of these in turn.
pub fn each(test: &str, walls: &[&str]) {
    println!("\n{}", row(test, ""));
    for wall in walls {
        println!("{}", row(test, wall));
    }
}

fn row(test: &str, wall: &str) -> Value {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, wall)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let out = said.iter().filter(|one| one["verdict"] == "GotOut");
    let missed: Vec<&Value> = out.map(|one| &one["attempt"]).collect();
    let refused =
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned());
    json!({
        "wall": format!("{STATION}{wall}"), "without": [], "tried": said.len(),
        "missed_by": missed, "broken": [], "refused": refused,
    })
}
