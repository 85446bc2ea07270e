//! What it costs, beside the peers that are installed and the bars we set, in one run.
//!
//! Contenders of one question take turns, so that a busy moment of the machine
//! meets all of them. Each row has the value, the bar and whether it is met;
//! ratios are to the plain interpreter of the same run. A figure is never part
//! of a test: machines differ.

mod cold;
mod datasets;
mod engine;
mod idle;
mod images;
mod packages;
mod pandas;
mod queue;
mod report;
mod starlark;
mod sustained;
mod turns;

use std::{path::PathBuf, time::Duration};

use crate::{
    machine,
    needs::{self, COMPILER, LIBC, PYTHON},
    shell::{self, built, cargo, print, root, say},
    station::Station,
};
use report::Report;

/// How much to measure.
#[derive(clap::Args)]
pub struct BenchArgs {
    /// Rounds of everything that is timed one by one
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Only these parts: turns, engine, sustained, pandas, packages, cold, idle, queue, starlark, datasets, images
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How long the station must be idle for
    #[arg(long, default_value_t = 30)]
    idle_seconds: u64,
    /// Measure a debug build, to try the measurements
    #[arg(long)]
    debug_build: bool,
    /// Store the report as docs/bench.md
    #[arg(long)]
    write: bool,
}

/// Where the report goes.
const REPORT: &str = "docs/bench.md";

/// What every part is given.
struct Bench<'a> {
    args: &'a BenchArgs,
    /// Where the program is, and the example that times the engine alone.
    built: PathBuf,
}

type Part = (
    &'static str,
    fn(&Bench<'_>, &mut Report) -> anyhow::Result<()>,
);

const PARTS: [Part; 11] = [
    ("turns", turns::measure),
    ("engine", engine::measure),
    ("sustained", sustained::measure),
    ("pandas", pandas::measure),
    ("packages", packages::measure),
    ("cold", cold::measure),
    ("idle", idle::measure),
    ("queue", queue::measure),
    ("starlark", starlark::measure),
    ("datasets", datasets::measure),
    ("images", images::measure),
];

/// Measures, and prints the table.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    needs::install(&[COMPILER, LIBC, PYTHON])?;
    let bench = Bench {
        args,
        built: build(!args.debug_build)?,
    };
    let mut report = Report::default();
    for (name, part) in PARTS {
        if args.only.is_empty() || args.only.iter().any(|only| only == name) {
            say(&format!("measuring: {name}"));
            // One part that cannot be measured here takes no other with it.
            if let Err(error) = part(&bench, &mut report) {
                say(&format!("{name} could not be measured: {error:#}"));
                report.note(format!("Not measured here: {name}."));
            }
        }
    }
    let text = report.text(&machine::today()?, &machine::kind(), args.debug_build);
    print(&text);
    if args.write {
        std::fs::write(root().join(REPORT), &text)?;
        say(&format!("wrote {REPORT}"));
    }
    Ok(())
}

/// Builds both together, so that what they share is built once.
fn build(release: bool) -> anyhow::Result<PathBuf> {
    let mut args = vec![
        "build",
        "--package",
        "strongroom-cli",
        "--bin",
        "strongroom",
    ];
    args.extend(["--package", "strongroom-run", "--example", "engine"]);
    if release {
        args.push("--release");
    }
    shell::run(&mut cargo(&args))?;
    built(if release { "release" } else { "debug" })
}

impl Bench<'_> {
    fn program(&self) -> PathBuf {
        self.built.join("strongroom")
    }

    /// A station on a fresh directory, and the token of a user of his own.
    fn station(&self, config: &str) -> anyhow::Result<(Station, String)> {
        let station = Station::start_with(&self.program(), config)?;
        let token = station.user("bench")?;
        Ok((station, token))
    }
}

/// The script that everybody runs, as a body of `/run-json`.
fn hello_body() -> serde_json::Value {
    serde_json::json!({ "client": "bench", "code": "print('hello')" })
}

/// Submits the script and waits for its stored result.
fn hello(http: &mut crate::http::Http, body: &serde_json::Value) -> anyhow::Result<()> {
    let answer = http.post("/run-json", body)?.good()?.json();
    match answer["stdout"].as_str() {
        Some("hello\n") => Ok(()),
        _ => anyhow::bail!("the station answered: {answer}"),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
