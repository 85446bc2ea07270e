//! Every test, and all that continuous integration does.

use crate::{
    needs::{
        self, COMPILER, CURL, ENGINE, LIBC, NODE, Need, POSTGRES, PYTHON, REGISTRY, SKOPEO, UMOCI,
    },
    openapi::{self, OpenapiArgs},
    shell::{STAR, cargo, read, say},
    tidy, tools,
};

/// Which tests.
#[derive(clap::Args)]
pub struct TestArgs {
    /// Passed on to the test runner: a name or a part of one
    filter: Vec<String>,
}

/// What the tests start or speak with.
const NEEDS: [Need; 10] = [
    COMPILER, LIBC, PYTHON, NODE, POSTGRES, CURL, ENGINE, REGISTRY, SKOPEO, UMOCI,
];

/// Runs every test: rules, promises on both databases, journeys with real sandboxes.
pub fn run(args: &TestArgs) -> anyhow::Result<()> {
    needs::install(&NEEDS)?;
    if !needs::is_root() {
        say(
            "NOT RUN: the half of the conformance suite that needs an engine, which only root may start",
        );
    }
    tools::install()?;
    // The tests start these programs, so they are built first.
    run_cargo(&["build", "--workspace", "--bins"])?;
    run_cargo(&["build", "--manifest-path", STAR, "--target-dir", "target"])?;
    let mut command = if has_nextest() {
        cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        say("cargo-nextest is not installed; `cargo test` runs the same tests, slower");
        // Some tests count what their process holds, so they must not share it at one time.
        cargo(&[
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--test-threads=1",
        ])
    };
    run_command(command.args(&args.filter))?;
    let star = ["test", "--manifest-path", STAR, "--target-dir", "target"];
    run_command(cargo(&star).args(&args.filter))
}

/// What continuous integration does, in the order that fails soonest.
pub fn ci() -> anyhow::Result<()> {
    needs::install(&NEEDS)?;
    run_cargo(&["fmt", "--all", "--check"])?;
    run_cargo(&["fmt", "--manifest-path", STAR, "--check"])?;
    tidy::run()?;
    run_cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])?;
    run_cargo(&[
        "clippy",
        "--manifest-path",
        STAR,
        "--target-dir",
        "target",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])?;
    openapi::run(&OpenapiArgs { check: true })?;
    run(&TestArgs { filter: Vec::new() })
}

fn run_cargo(args: &[&str]) -> anyhow::Result<()> {
    run_command(&mut cargo(args))
}

fn run_command(command: &mut std::process::Command) -> anyhow::Result<()> {
    crate::shell::run(command)
}

fn has_nextest() -> bool {
    read(&mut cargo(&["nextest", "--version"])).is_ok()
}
