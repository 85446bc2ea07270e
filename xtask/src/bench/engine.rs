//! The engine alone: guests that waited, without HTTP and without a database.
//!
//! `crates/run/examples/engine.rs` does the rounds in a process of its own,
//! which is its own warden, and says how long each took; the first, for which
//! nobody could wait, is not counted.

use std::{process::Command, time::Duration};

use anyhow::bail;

use super::Row;
use crate::shell::{built, cargo, read, run};

pub(super) fn alone(rounds: usize) -> anyhow::Result<Row> {
    run(&mut cargo(&[
        "build",
        "--release",
        "-p",
        "strongroom-run",
        "--example",
        "engine",
    ]))?;
    let program = built("release")?.join("examples/engine");
    let text = read(Command::new(program).arg((rounds + 1).to_string()))?;
    let times = text.lines().skip(1).map(time).collect::<Result<_, _>>()?;
    Ok(Row {
        name: "strongroom: engine alone",
        times,
    })
}

/// `prepare 1 run 2`, in microseconds.
fn time(line: &str) -> anyhow::Result<Duration> {
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["prepare", ready, "run", ran] => {
            let micros = ready.parse::<u64>()? + ran.parse::<u64>()?;
            Ok(Duration::from_micros(micros))
        }
        _ => bail!("the engine said {line:?}"),
    }
}
