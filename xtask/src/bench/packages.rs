//! Functions with packages: a push whose lock is known, and the first run after it.
//!
//! The index is a small one of our own on the loopback, so that no network is
//! measured; how large a package is changes nothing of either.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{
    Bench,
    report::{Bar, Report, Row},
};
use crate::{http::Http, tools};

const PUSH_MOST_MS: f64 = 20.0;
const RUN_MOST_MS: f64 = 60.0;
const INDEX: &str = include_str!("../../../crates/server/tests/http/dependencies/index.py");

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let uv = tools::uv()?;
    let index = Index::start()?;
    let config = format!(
        "[index]\nuv = {uv:?}\npython = \"http://{0}/simple\"\nhosts = []\n\
         [gateway]\nallow_private = [\"{0}\"]\n",
        index.address
    );
    let (station, token) = bench.station(&config)?;
    let mut http = Http::new(&station.url, &token)?;
    let begun = Instant::now();
    push(&mut http, 0)?;
    let first = begun.elapsed();
    let (mut pushes, mut runs) = (Vec::new(), Vec::new());
    for round in 1..=bench.args.rounds.min(100) {
        let begun = Instant::now();
        push(&mut http, round)?;
        pushes.push(begun.elapsed());
        let begun = Instant::now();
        run(&mut http, round)?;
        runs.push(begun.elapsed());
    }
    report.note(format!(
        "A function whose two small packages had to be resolved and installed was pushed in {} ms.",
        first.as_millis()
    ));
    let what = "strongroom: push of a changed function with a known lock";
    report.add(Row::of_times(what, &pushes, Bar::AtMost(PUSH_MOST_MS)));
    let what = "strongroom: its first run after that push";
    report.add(Row::of_times(what, &runs, Bar::AtMost(RUN_MOST_MS)));
    Ok(())
}

fn push(http: &mut Http, round: usize) -> anyhow::Result<()> {
    let source = format!("import hello\ndef transform(data, ctx):\n    return {round}\n");
    let body = json!({ "files": { "main.py": source, "requirements.txt": "hello\n" } });
    http.post("/v1/functions/bench/hello/versions", &body)?
        .good()?;
    Ok(())
}

fn run(http: &mut Http, round: usize) -> anyhow::Result<()> {
    let body: Value = json!({ "function": "bench/hello", "on": [] });
    let run = http.post("/v1/runs?wait=60s", &body)?.good()?.json();
    if run["value"] != round {
        bail!("the station answered: {run}");
    }
    Ok(())
}

/// The index, which ends with the measurement.
struct Index {
    child: Child,
    address: String,
}

impl Index {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-I", "-c", INDEX])
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("the index has no output")?;
        let mut lines = BufReader::new(out).lines();
        let port = lines.next().context("the index did not start")??;
        // It says what it is asked for, and somebody has to take that.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            child,
            address: format!("127.0.0.1:{port}"),
        })
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
