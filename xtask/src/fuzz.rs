//! The laws of everything that strangers write, tried for longer than in the tests.
//!
//! With `cargo-fuzz` and a nightly toolchain libFuzzer tries them, guided by
//! coverage. Without, the edits of the corpus go on for as long. What libFuzzer
//! finds interesting stays below the target folder; the corpus that is checked
//! in grows by hand.

use std::{fs, process::Command};

use anyhow::bail;

use crate::shell::{built, cargo, read, root, run, say};

/// How long, and which.
#[derive(clap::Args)]
pub struct FuzzArgs {
    /// The target, as the folders of fuzz/corpus are called; all without it
    target: Option<String>,
    /// How long each is tried
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Do not use libFuzzer, even if it is installed
    #[arg(long)]
    edits: bool,
}

/// The toolchain that libFuzzer's instrumentation needs.
const NIGHTLY: &str = "+nightly";

/// Tries one target, or all in turn.
pub fn run_targets(args: &FuzzArgs) -> anyhow::Result<()> {
    let known = targets()?;
    let chosen: Vec<&String> = match &args.target {
        None => known.iter().collect(),
        Some(target) => known.iter().filter(|one| *one == target).collect(),
    };
    if chosen.is_empty() {
        bail!("there is no such target; there are {}", known.join(", "));
    }
    let guided = !args.edits && has_cargo_fuzz();
    if !guided {
        say(
            "the corpus is edited without guidance by coverage; libFuzzer needs `cargo install cargo-fuzz` and a nightly toolchain",
        );
    }
    for target in chosen {
        if guided {
            by_libfuzzer(target, args.seconds)?;
        } else {
            by_edits(target, args.seconds)?;
        }
    }
    Ok(())
}

fn targets() -> anyhow::Result<Vec<String>> {
    let folders = fs::read_dir(root().join("fuzz/corpus"))?.flatten();
    let mut names: Vec<String> = folders
        .map(|folder| folder.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    Ok(names)
}

fn has_cargo_fuzz() -> bool {
    read(Command::new("cargo").args([NIGHTLY, "fuzz", "--version"])).is_ok()
}

fn by_libfuzzer(target: &str, seconds: u64) -> anyhow::Result<()> {
    let grown = built("fuzz")?.join(target);
    fs::create_dir_all(&grown)?;
    // The crates allocate as they like below their own bounds; what matters is
    // that nothing grows far beyond its input.
    run(Command::new("cargo")
        .args([NIGHTLY, "fuzz", "run", "--sanitizer", "none", target])
        .arg(&grown)
        .arg(root().join("fuzz/corpus").join(target))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]))
}

/// Each law's test names its target.
fn by_edits(target: &str, seconds: u64) -> anyhow::Result<()> {
    let (package, law) = law_of(target)?;
    let test = format!("fuzzing::tests::{law}");
    run(cargo(&[
        "test",
        "--package",
        &package,
        "--lib",
        "--",
        "--exact",
        &test,
    ])
    .env("STRONGROOM_FUZZ_SECONDS", seconds.to_string()))
}

/// The package and the test that try `target`.
fn law_of(target: &str) -> anyhow::Result<(String, String)> {
    let tried = format!("try_law(\"{target}\"");
    for folder in fs::read_dir(root().join("crates"))?.flatten() {
        let Ok(text) = fs::read_to_string(folder.path().join("src/fuzzing.rs")) else {
            continue;
        };
        let Some(at) = text.find(&tried) else {
            continue;
        };
        let before = text[..at].rsplit("fn ").next().unwrap_or_default();
        let law = before.split('(').next().unwrap_or_default().to_owned();
        let package = format!("strongroom-{}", folder.file_name().to_string_lossy());
        return Ok((package, law));
    }
    bail!("no law tries {target}")
}
