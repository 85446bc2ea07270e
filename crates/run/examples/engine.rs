//! Times the engine alone: no HTTP and no database, one hello after another.
//!
//! Prints one line for each round, in microseconds: how long it took to
//! prepare the guest and how long to run it. Before each round it waits until
//! a guest waits for it, unless told not to have any (`engine ROUNDS 0`); with a
//! third number there are that many zygotes, and the guests become copies of
//! one (`engine ROUNDS 2 1`). The program is its own warden. Deliberately absent: statistics; who reads the
//! lines makes them.

use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{Duration, Instant},
};

use strongroom_core::{
    digest::Digest,
    id::RunId,
    limits::Limits,
    permit::Permit,
    plan::{Inputs, Plan, Stage},
    runtime::RuntimeName,
};
use strongroom_run::{Job, Local, LocalConfig, Reach};
use tokio::sync::{mpsc, oneshot};

/// Guests that wait, unless told otherwise.
const POOL_MAX: u32 = 2;
/// Between two looks whether somebody waits.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// More than a hello writes.
const LINES_MAX: usize = 16;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    strongroom_run::become_warden_if_asked();
    let rounds: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 200,
    };
    let pool_max = match std::env::args().nth(2) {
        Some(text) => text.parse()?,
        None => POOL_MAX,
    };
    let zygotes_max = match std::env::args().nth(3) {
        Some(text) => text.parse()?,
        None => 0,
    };
    let local = Local::start(LocalConfig {
        pool_max,
        zygotes_max,
        ..LocalConfig::default()
    })?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("hello.py"), "print('hello')\n")?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(&local, folder.path(), rounds, pool_max))
}

async fn measure(
    local: &Local,
    folder: &std::path::Path,
    rounds: usize,
    pool_max: u32,
) -> Result<(), Failure> {
    let plan = Plan {
        function: Digest::of(b"hello"),
        runtime: local.pin(&RuntimeName::python3())?,
        inputs: Inputs::None,
        args: serde_json::json!({}),
        limits: Limits::DEFAULT,
        stages: vec![Stage::Transform],
        download: None,
        secrets: std::collections::BTreeMap::new(),
        config: std::collections::BTreeMap::new(),
        answers: strongroom_core::network::Answers::Live,
    };
    for round in 0..rounds {
        while 0 < round && 0 < pool_max && local.waiting(&plan.runtime.name) == 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let job = Job {
            tenant: "bench".parse()?,
            plan: plan.clone(),
            entry: "hello.py".parse()?,
            function_dir: folder.to_owned(),
            inputs: Inputs::None,
            dependencies: None,
            reach: Reach::Nothing,
            secrets: BTreeMap::new(),
            stage_dir: None,
            program_dir: None,
            terminal: None,
            begun: true,
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
