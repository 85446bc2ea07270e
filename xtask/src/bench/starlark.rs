//! A transform in Starlark over a million rows, beside the same loop in
//! CPython's `csv`, both in the sandbox; and an empty one of each, over HTTP.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{
    Bench,
    report::{Bar, Report, Row, percentile},
};
use crate::{
    http::Http,
    shell::{cargo, read, run},
    station::Station,
};

const ROWS: usize = 1_000_000;
/// Rounds of the loops, each a second or so.
const LOOPS: usize = 5;
/// Runs before the first that is counted.
const WARM_UP: usize = 20;
const LIMITS: [&str; 4] = ["--limit", "memory=512MiB", "--limit", "time=5m"];

const STARLARK: &str = "\
def transform(ds, ctx):
    total = 0.0
    for row in ds.get_body():
        if row[3] == \"a\":
            total += row[2]
    return total
";
const PYTHON: &str = "\
import csv

def transform(data, ctx):
    total = 0.0
    with data.open() as file:
        rows = csv.reader(file)
        next(rows)
        for row in rows:
            if row[3] == \"a\":
                total += float(row[2])
    return total
";
/// The same text is an empty transform in both.
const EMPTY: &str = "def transform(ds, ctx):\n    return None\n";
const EMPTY_OF: [(&str, &str); 2] = [("Starlark", "empty.star"), ("Python", "empty.py")];

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let mut build = cargo(&["star"]);
    if !bench.args.debug_build {
        build.arg("--release");
    }
    run(&mut build)?;
    loops(bench, report)?;
    let (station, token) = bench.station("")?;
    for (language, file) in EMPTY_OF {
        let times = empty(bench, (&station, &token), file)?;
        let what =
            format!("strongroom: an empty transform in {language}, submit to result over HTTP");
        report.add(Row::of_times(&what, &times, Bar::None));
    }
    Ok(())
}

/// How one loop went.
struct Turn {
    wall: Duration,
    memory_peak_bytes: f64,
    value: Value,
}

fn loops(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let rows = file("rows.csv", &table())?;
    let (starlark, python) = (file("loop.star", STARLARK)?, file("loop.py", PYTHON)?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..LOOPS {
        ours.push(turn(bench, &starlark, &rows)?);
        theirs.push(turn(bench, &python, &rows)?);
    }
    if ours[0].value != theirs[0].value {
        bail!("the sums differ: {} and {}", ours[0].value, theirs[0].value);
    }
    let rate = |turns: &[Turn]| {
        let walls: Vec<Duration> = turns.iter().map(|turn| turn.wall).collect();
        ROWS as f64 / percentile(&walls, 50).as_secs_f64()
    };
    let what = "CPython's csv in the sandbox: a loop over 1,000,000 rows";
    let theirs = rate(&theirs);
    report.add(Row::of_value(
        what,
        LOOPS,
        theirs,
        "rows a second",
        Bar::None,
    ));
    let what = "strongroom: the same loop in Starlark";
    let bar = Bar::AtLeast(theirs);
    report.add(Row::of_value(
        what,
        LOOPS,
        rate(&ours),
        "rows a second",
        bar,
    ));
    let peak = ours.iter().map(|turn| turn.memory_peak_bytes);
    let peak = peak.fold(0.0, f64::max) / f64::from(1 << 20);
    let what = "strongroom: the most memory of that loop";
    report.add(Row::of_value(what, LOOPS, peak, "MiB", Bar::None));
    Ok(())
}

fn turn(bench: &Bench<'_>, script: &Path, rows: &Path) -> anyhow::Result<Turn> {
    let mut command = std::process::Command::new(bench.program());
    command.arg("run").arg(script).arg("--on").arg(rows);
    let ended: Value = serde_json::from_str(&read(command.args(LIMITS).arg("--json"))?)?;
    let usage = |name: &str| {
        let value = ended["usage"][name].as_f64();
        value.with_context(|| format!("the run tells no {name}: {ended}"))
    };
    Ok(Turn {
        wall: Duration::from_secs_f64(usage("wall_ms")? / 1000.0),
        memory_peak_bytes: usage("memory_peak_bytes")?,
        value: ended["value"].clone(),
    })
}

fn table() -> String {
    let mut text = "id,name,mass,island,year\n".to_owned();
    for row in 0..ROWS {
        let (island, mass) = (["a", "b", "c"][row % 3], row % 5000);
        let year = 2000 + row % 20;
        let _ = writeln!(text, "{row},name{},{mass}.25,{island},{year}", row % 977);
    }
    text
}

/// Submits an empty transform and waits for its stored result, again and again.
fn empty(
    bench: &Bench<'_>,
    (station, token): (&Station, &str),
    file: &str,
) -> anyhow::Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join(file);
    std::fs::write(&script, EMPTY)?;
    let name = format!("bench/{}", file.replace('.', "-"));
    let mut push = station.client(token);
    read(push.args(["function", "push", &name]).arg(&script))?;
    let mut http = Http::new(&station.url, token)?;
    let body = json!({ "function": name });
    let mut times = Vec::new();
    for round in 0..WARM_UP + bench.args.rounds {
        let start = Instant::now();
        let ended = http.post("/v1/runs?wait=60s", &body)?.good()?.json();
        if ended["reason"]["code"] != "succeeded" {
            bail!("the station answered: {ended}");
        }
        if WARM_UP <= round {
            times.push(start.elapsed());
        }
    }
    Ok(times)
}
