//! Thousands of runs, good and hostile, after which the host counts what it
//! counted before.
//!
//! One station, several users with several clients each, cancelled runs and
//! clients that hang up among them. What counts as before is taken after some
//! runs, when caches, spares and waiting slots are there; what may grow, and by
//! how much, stands beside each counter.

mod counters;
mod load;
mod programs;

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::{
    machine,
    needs::{self, COMPILER, LIBC, PYTHON},
    shell::{print, root, say},
    station::{Station, program},
};
use counters::{Counter, SLOTS, Subject, count};
use load::{CLIENTS, Load, USERS};

/// How many runs.
#[derive(clap::Args)]
pub struct SoakArgs {
    #[arg(long, default_value_t = 10_000)]
    runs: usize,
    /// Store the report as docs/soak.md
    #[arg(long)]
    write: bool,
    /// Build and soak a release build
    #[arg(long)]
    release: bool,
}

/// Runs that fill caches before the first count, out of all.
const WARM_UP: usize = 120;
/// How long the host may take to come to rest.
const REST: Duration = Duration::from_secs(180);
/// Where the report goes.
const REPORT: &str = "docs/soak.md";
/// The first host user of the guests, apart from other stations'.
const UID_BASE: u32 = 1_610_000_000;
const UIDS: u32 = 4096;

/// What was counted before and after.
struct Soaked {
    rows: Vec<(Counter, u64)>,
    ends: Vec<(String, String, usize)>,
    took: Duration,
}

/// Soaks a station and fails if anything grew.
pub fn run(args: &SoakArgs) -> anyhow::Result<()> {
    needs::install(&[COMPILER, LIBC, PYTHON])?;
    let soaked = soak(&program(args.release)?, args.runs)?;
    let report = report(&soaked, args)?;
    print(&report);
    if args.write {
        std::fs::write(root().join(REPORT), &report)?;
        say(&format!("wrote {REPORT}"));
    }
    verdict(&soaked)
}

fn soak(program: &Path, runs: usize) -> anyhow::Result<Soaked> {
    let uid_base = UID_BASE + std::process::id() % 10_000 * UIDS;
    let config = format!("workers = 4\n[jail]\nuid_base = {uid_base}\npool = {SLOTS}\n");
    let station = Station::start_with(program, &config)?;
    let subject = Subject {
        station: station.process_id(),
        home: station.home.clone(),
        temporary: station.temporary.clone(),
        guests: (uid_base, UIDS),
    };
    let mut load = Load::set_up(&station)?;
    load.go(WARM_UP, &|_| {})?;
    load::drained(&station, &load)?;
    let before = at_rest(&subject);
    let started = Instant::now();
    let progress = |run: usize| {
        if run.is_multiple_of(1000) {
            let rate = (run - WARM_UP.min(run)) as f64 / started.elapsed().as_secs_f64();
            say(&format!("{run} runs, {rate:.0} a second"));
        }
    };
    load.go(runs, &progress)?;
    load::drained(&station, &load)?;
    let took = started.elapsed();
    let rows = settle(&subject, before);
    let ends = load.ends.into_inner().unwrap_or_default();
    Ok(Soaked {
        rows,
        ends: ends
            .into_iter()
            .map(|((program, end), count)| (program, end, count))
            .collect(),
        took,
    })
}

/// The counters once they say the same twice.
fn at_rest(subject: &Subject) -> Vec<Counter> {
    let until = Instant::now() + REST;
    let mut last = count(subject);
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let now = count(subject);
        let same = |(one, other): (&Counter, &Counter)| {
            one.growth_max.is_none() || one.what.contains("memory") || one.value == other.value
        };
        if last.iter().zip(&now).all(same) || until < Instant::now() {
            return now;
        }
        last = now;
    }
}

/// Waits until nothing is over what it may be, or for as long as that may take.
fn settle(subject: &Subject, before: Vec<Counter>) -> Vec<(Counter, u64)> {
    let until = Instant::now() + REST;
    loop {
        let now = count(subject);
        let value_of = |what| {
            now.iter()
                .find(|row| row.what == what)
                .map_or(0, |row| row.value)
        };
        let grew = before.iter().any(|row| is_over(row, value_of(row.what)));
        if !grew || until < Instant::now() {
            let pairs = before.into_iter().map(|row| {
                let after = value_of(row.what);
                (row, after)
            });
            return pairs.collect();
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn is_over(before: &Counter, after: u64) -> bool {
    before
        .growth_max
        .is_some_and(|most| before.value + most < after)
}

fn verdict(soaked: &Soaked) -> anyhow::Result<()> {
    let over: Vec<String> = soaked
        .rows
        .iter()
        .filter(|(before, after)| is_over(before, *after))
        .map(|(before, after)| format!("{}: {} became {after}", before.what, before.value))
        .collect();
    if !over.is_empty() {
        bail!("something grew:\n  {}", over.join("\n  "));
    }
    Ok(())
}

fn report(soaked: &Soaked, args: &SoakArgs) -> anyhow::Result<String> {
    let mut text = String::from("# Soak\n\n");
    let build = if args.release { "release" } else { "debug" };
    writeln!(
        text,
        "{} runs of good and hostile programs by {CLIENTS} clients of {} users, on {} on {}, a {build} build, in {} s. \
         Before means after {WARM_UP} runs that filled caches; up to {SLOTS} slots may wait for the next run, before and after. `cargo xtask soak --write` makes this page.\n",
        args.runs,
        USERS.len(),
        machine::today()?,
        machine::kind(),
        soaked.took.as_secs(),
    )?;
    text.push_str("| counter | before | after | may grow by | |\n|---|---|---|---|---|\n");
    for (before, after) in &soaked.rows {
        let (most, verdict) = match before.growth_max {
            None => ("not judged".to_owned(), ""),
            Some(most) if is_over(before, *after) => (most.to_string(), "**grew**"),
            Some(most) => (most.to_string(), "holds"),
        };
        writeln!(
            text,
            "| {} | {} | {after} | {most} | {verdict} |",
            before.what, before.value
        )?;
    }
    text.push_str("\n| program | end | runs |\n|---|---|---|\n");
    for (program, end, count) in &soaked.ends {
        writeln!(text, "| {program} | {end} | {count} |")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program that the workspace's other tests use; built first by `cargo xtask test`.
    #[test]
    fn runs_of_every_kind_leave_the_host_as_it_was() {
        let program = crate::shell::built("debug").map(|folder| folder.join("strongroom"));
        let soaked = program.and_then(|program| soak(&program, 200));
        let soaked = soaked.expect("the soak comes to its end");
        verdict(&soaked).expect("nothing grew");
    }
}
