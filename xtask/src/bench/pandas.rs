//! A function that imports pandas and reads a CSV, warm, on a runtime that has both.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::bail;
use serde_json::{Value, json};

use super::{
    Bench,
    report::{Bar, Report, Row},
    sustained,
};
use crate::{
    http::Http,
    shell::{built, read, run},
    station::Station,
};

const MOST_MS: f64 = 12.0;
const LEAST: f64 = 60.0;
const CLIENTS: usize = 4;
/// Runs before the first that is counted.
const WARM_UP: usize = 20;

const RUNTIME: &str = "base = \"python3\"\ndescription = \"pandas\"\npackages = \"packages\"\npreload = [\"pandas\"]\n";
const FUNCTION: &str = "\
# /// script
# [tool.strongroom]
# runtime = \"bench-pandas\"
# [tool.strongroom.limits]
# memory = \"512 MiB\"
# ///
import pandas

def transform(data, ctx):
    return float(pandas.read_csv('/data/table.csv')['mass'].sum())
";

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = folder.path().join("bench-pandas");
    std::fs::create_dir(&runtime)?;
    std::fs::write(runtime.join("runtime.toml"), RUNTIME)?;
    let packages = packages()?;
    run(Command::new("cp")
        .arg("-a")
        .arg(&packages)
        .arg(runtime.join("packages")))?;
    let (station, token) = bench.station("")?;
    let admin = station.admin_token()?;
    read(
        station
            .client(&admin)
            .args(["runtime", "add"])
            .arg(&runtime),
    )?;
    push(&station, &token, folder.path())?;
    let body = json!({ "function": "bench/sum", "on": ["bench/table"] });
    let mut http = Http::new(&station.url, &token)?;
    let mut times = Vec::new();
    for round in 0..WARM_UP + bench.args.rounds {
        let start = Instant::now();
        sum(&mut http, &body)?;
        if WARM_UP <= round {
            times.push(start.elapsed());
        }
    }
    let what = "strongroom: pandas reads a CSV, over HTTP, warm";
    report.add(Row::of_times(what, &times, Bar::AtMost(MOST_MS)));
    let connect = || Http::new(&station.url, &token);
    let (runs, rate) = sustained::rate(CLIENTS, &connect, &|http| sum(http, &body))?;
    let what = format!("strongroom: the same, sustained, {CLIENTS} clients");
    report.add(Row::of_value(
        &what,
        runs,
        rate,
        "a second",
        Bar::AtLeast(LEAST),
    ));
    Ok(())
}

fn push(station: &Station, token: &str, folder: &Path) -> anyhow::Result<()> {
    let table = folder.join("table.csv");
    let rows: String = (0..1000).map(|row| format!("{row},{row}\n")).collect();
    std::fs::write(&table, format!("id,mass\n{rows}"))?;
    let function = folder.join("sum.py");
    std::fs::write(&function, FUNCTION)?;
    read(
        station
            .client(token)
            .args(["dataset", "push", "bench/table"])
            .arg(&table),
    )?;
    read(
        station
            .client(token)
            .args(["function", "push", "bench/sum"])
            .arg(&function),
    )?;
    Ok(())
}

fn sum(http: &mut Http, body: &Value) -> anyhow::Result<()> {
    let run = http.post("/v1/runs?wait=60s", body)?.good()?.json();
    if run["value"] != json!(499_500.0) {
        bail!("the station answered: {run}");
    }
    Ok(())
}

/// pandas as the package index has it, fetched once and kept below the target folder.
fn packages() -> anyhow::Result<PathBuf> {
    let folder = built("bench")?.join("pandas");
    let done = folder.join("pandas/__init__.py");
    if done.exists() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder)?;
    let python = "/usr/bin/python3";
    run(Command::new(python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--only-binary",
            ":all:",
            "--no-compile",
            "--target",
        ])
        .arg(&folder)
        .arg("pandas"))?;
    // A station keeps no times of files, by which ordinary bytecode is judged.
    run(Command::new(python)
        .args([
            "-m",
            "compileall",
            "-q",
            "-f",
            "--invalidation-mode",
            "unchecked-hash",
        ])
        .arg(&folder))?;
    Ok(folder)
}
