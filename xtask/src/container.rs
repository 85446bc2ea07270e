//! The tier `reduced` inside a real, unmodified container, and the full tier in
//! one that may build sandboxes.
//!
//! An engine of our own is started beside any other, with its own data and no
//! network. The image is made of files of this host: the programs under test,
//! Python, a shell, and the libraries they load. Inside, the jail's suite of
//! the tier runs, then a station on which a stranger's function is approved
//! and run. Nothing is installed and nothing stays.

use std::{fs, process::Command};

use anyhow::bail;

use crate::{
    peers::Docker,
    shell::{built, cargo, print, run, say},
    vm::{image, suites},
};

/// What a station does from its start to the result of an approved run.
const WALK: &str = include_str!("container/walk.sh");
/// What the container is allowed for the full tier, as deploy/README.md says.
const FULL: [&str; 10] = [
    "--cap-add",
    "SYS_ADMIN",
    "--security-opt",
    "seccomp=deploy/docker/seccomp.json",
    "--security-opt",
    "apparmor=unconfined",
    "--security-opt",
    "systempaths=unconfined",
    "-v",
    "/sys/fs/cgroup:/sys/fs/cgroup:rw",
];

/// Runs everything, and fails unless all of it held.
pub fn run_here() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let suites = suites::build()?;
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--package",
        "strongroom-cli",
    ]))?;
    let Some(engine) = Docker::start(folder.path())? else {
        bail!("this needs docker and dockerd, and a user who may start an engine");
    };
    let root = folder.path().join("image");
    image::container(&root, &suites, &built("debug")?.join("strongroom"))?;
    fs::write(root.join("walk.sh"), WALK)?;
    engine.image(&root, "strongroom-container")?;
    say("the jail's suite of the tier, in an unmodified container");
    let suite = ["/vm/tests/reduced", "--test-threads", "2"];
    run(&mut inside(&engine, &[], &suite))?;
    say("a station of the tier, in an unmodified container");
    run(&mut inside(
        &engine,
        &[],
        &["/bin/sh", "/walk.sh", "reduced"],
    ))?;
    say("a station of the full tier, in a container that may build sandboxes");
    run(&mut inside(
        &engine,
        &FULL,
        &["/bin/sh", "/walk.sh", "full"],
    ))?;
    print("everything held");
    Ok(())
}

fn inside(engine: &Docker, flags: &[&str], program: &[&str]) -> Command {
    let mut command = engine.docker();
    command.args(["run", "--rm", "--network", "none"]);
    command
        .args(flags)
        .arg("strongroom-container")
        .args(program);
    command
}
