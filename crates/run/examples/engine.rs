//! Times the engine alone: no HTTP and no database, one hello after another.
//!
//! Prints one line for each round, in microseconds: how long it took to
//! prepare the guest and how long to run it. The program is its own warden.
//! Deliberately absent: statistics; who reads the lines makes them.

use std::{io::Write as _, time::Instant};

use strongroom_core::{
    digest::Digest,
    id::RunId,
    limits::Limits,
    permit::Permit,
    plan::{Inputs, Plan, Stage},
    runtime::RuntimeName,
};
use strongroom_run::{Job, Local, LocalConfig};
use tokio::sync::{mpsc, oneshot};

/// More than a hello writes.
const LINES_MAX: usize = 16;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    strongroom_run::become_warden_if_asked();
    let rounds: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 200,
    };
    let local = Local::start(LocalConfig::default())?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("hello.py"), "print('hello')\n")?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(&local, folder.path(), rounds))
}

async fn measure(local: &Local, folder: &std::path::Path, rounds: usize) -> Result<(), Failure> {
    let plan = Plan {
        function: Digest::of(b"hello"),
        runtime: local.pin(&RuntimeName::python3())?,
        inputs: Inputs::None,
        args: serde_json::json!({}),
        limits: Limits::DEFAULT,
        stages: vec![Stage::Transform],
    };
    for _ in 0..rounds {
        let job = Job {
            plan: plan.clone(),
            entry: "hello.py".parse()?,
            function_dir: folder.to_owned(),
            inputs: Inputs::None,
        };
        let permit = Permit::trial(RunId::new(1, *b"0123456789"), &job.plan);
        let (lines, mut taken) = mpsc::channel(LINES_MAX);
        let (_keep, cancel) = oneshot::channel();
        let start = Instant::now();
        let prepared = local.prepare(permit, job).await?;
        let ready = start.elapsed();
        let ended = prepared.run(lines, cancel).await;
        let whole = start.elapsed();
        if taken.recv().await.is_none_or(|line| line.text != "hello") {
            return Err(format!("no hello: {ended:?}").into());
        }
        writeln!(
            std::io::stdout(),
            "prepare {} run {}",
            ready.as_micros(),
            (whole - ready).as_micros()
        )?;
    }
    Ok(())
}
