//! A body of one gigabyte of CSV: pushed, and read for what it has, beside
//! `sha256sum` of the same file; and the most memory that the station took.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{
    Bench,
    report::{Bar, Report, Row, percentile},
};
use crate::{shell::read, station::Station};

const BYTES: u64 = 1_000_000_000;
/// Rounds, each of some seconds.
const ROUNDS: usize = 3;
/// How long the station may take to read the body.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the station may take of memory for a body of any size.
const MEMORY_MIB: f64 = 256.0;

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rows.csv");
    let bytes = write_table(&path)?;
    let (station, token) = bench.station("")?;
    let (mut plain, mut pushed, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        plain.push(hashed(&path)?);
        // One byte more, so that nothing of it is there already.
        File::options().append(true).open(&path)?.write_all(b"\n")?;
        let start = Instant::now();
        push(&station, &token, round, &path)?;
        pushed.push(start.elapsed());
        wait_until_read(&station, &token, round, start)?;
        known.push(start.elapsed());
    }
    let rate = |times: &[Duration]| bytes as f64 / 1e6 / percentile(times, 50).as_secs_f64();
    let mut add = |what: &str, value, unit, bar| {
        report.add(Row::of_value(what, ROUNDS, value, unit, bar));
    };
    add(
        "`sha256sum` of 1 GB of CSV",
        rate(&plain),
        "MB/s",
        Bar::None,
    );
    let what = "strongroom: push of that file, by the command line over HTTP";
    add(what, rate(&pushed), "MB/s", Bar::None);
    let what = "strongroom: push, and its columns, types and statistics known";
    add(what, rate(&known), "MB/s", Bar::None);
    let memory = station_memory_mib(&station)?;
    let what = "strongroom: the most memory of the station meanwhile";
    add(what, memory, "MiB", Bar::AtMost(MEMORY_MIB));
    Ok(())
}

/// Rows as people have them: numbers, names, a few words, a code, a fraction.
fn write_table(path: &Path) -> anyhow::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut row) = (0, 0u64);
    let mut line = "id,name,mass,island,year,code,score\n".to_owned();
    while written < BYTES {
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
        let (mass, island) = (row % 5000, ["a", "b", "c"][(row % 3) as usize]);
        let (year, code) = (2000 + row % 20, row.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        line.clear();
        use std::fmt::Write as _;
        let name = row % 977;
        let score = code % 1_000_000;
        writeln!(
            line,
            "{row},name{name},{mass}.25,{island},{year},{code:016x},0.{score:06}"
        )?;
        row += 1;
    }
    out.into_inner().context("the table could not be written")?;
    Ok(written)
}

fn hashed(path: &Path) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut command = Command::new("sha256sum");
    let status = command.arg(path).stdout(Stdio::null()).status()?;
    match status.success() {
        true => Ok(start.elapsed()),
        false => bail!("sha256sum failed"),
    }
}

fn push(station: &Station, token: &str, round: usize, path: &Path) -> anyhow::Result<()> {
    let name = format!("bench/table{round}");
    let mut client = station.client(token);
    read(client.args(["dataset", "push", &name]).arg(path)).map(drop)
}

/// Waits until the station tells how many rows there are.
fn wait_until_read(
    station: &Station,
    token: &str,
    round: usize,
    start: Instant,
) -> anyhow::Result<()> {
    let name = format!("bench/table{round}");
    while start.elapsed() < PATIENCE {
        let shown = read(station.client(token).args(["dataset", "show", &name]))?;
        if shown.contains(" rows of csv") {
            return Ok(());
        }
    }
    bail!("the body was not read in time")
}

fn station_memory_mib(station: &Station) -> anyhow::Result<f64> {
    let path = format!("/proc/{}/status", station.process_id());
    let status = std::fs::read_to_string(path)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = number.context("the station has no memory")?.parse()?;
    Ok(kib / 1024.0)
}
