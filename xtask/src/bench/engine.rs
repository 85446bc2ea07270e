//! Hello without HTTP and without a database: the engine alone.

use std::{process::Command, time::Duration};

use anyhow::Context;

use super::{
    Bench,
    report::{Bar, Report, Row},
};
use crate::shell::read;

/// Milliseconds, warm.
const MOST_MS: f64 = 1.2;

/// The example prints a line for each round: microseconds to prepare and to run.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let example = bench.built.join("examples/engine");
    // The first rounds find nothing waiting yet.
    let rounds = bench.args.rounds + bench.args.rounds / 10;
    let text = read(Command::new(example).arg(rounds.to_string()))?;
    let mut times = Vec::new();
    for line in text.lines() {
        let numbers = line
            .split_whitespace()
            .filter_map(|word| word.parse::<u64>().ok());
        let pair: Vec<u64> = numbers.take(2).collect();
        if let [prepare, run] = pair.as_slice() {
            times.push(Duration::from_micros(prepare + run));
        }
    }
    let warm = times
        .len()
        .checked_sub(bench.args.rounds)
        .map(|from| &times[from..])
        .context("the engine timed too few rounds")?;
    report.add(Row::of_times(
        "strongroom: the engine alone, warm",
        warm,
        Bar::AtMost(MOST_MS),
    ));
    Ok(())
}
