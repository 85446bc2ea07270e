//! A thousand runs at once from two tenants, nine in ten from one of them.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::json;

use super::{
    Bench,
    report::{Bar, Report, Row, percentile},
};
use crate::{http::Http, shell::read};

const TENANTS: [(&str, usize); 2] = [("many", 900), ("few", 100)];
/// How long all of them may take.
const SPAN: Duration = Duration::from_secs(600);

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let (station, _) = bench.station("")?;
    let folder = tempfile::tempdir()?;
    let function = folder.path().join("hello.py");
    fs::write(&function, "print('hello')\n")?;
    let mut tenants = Vec::new();
    for (name, count) in TENANTS {
        let token = station.user(name)?;
        let pushed = format!("{name}/hello");
        read(
            station
                .client(&token)
                .args(["function", "push", &pushed])
                .arg(&function),
        )?;
        tenants.push((name, count, Http::new(&station.url, &token)?, Vec::new()));
    }
    let start = Instant::now();
    for (name, count, http, ids) in &mut tenants {
        let body = json!({ "function": format!("{name}/hello") });
        for _ in 0..*count {
            let run = http.post("/v1/runs", &body)?.good()?.json();
            ids.push(run["id"].as_str().context("no id")?.to_owned());
        }
    }
    let submitted = start.elapsed();
    let mut waits = Vec::new();
    for (name, count, http, ids) in &mut tenants {
        let mut queued = Vec::new();
        for id in ids.iter() {
            queued.push(queueing(http, id, start)?);
        }
        waits.push((*name, *count, queued));
    }
    let all: usize = waits.iter().map(|(_, _, queued)| queued.len()).sum();
    let what = "1,000 runs queued at once that ended right";
    report.add(Row::of_value(
        what,
        all,
        all as f64,
        "runs",
        Bar::AtLeast(1000.0),
    ));
    for (name, count, queued) in &waits {
        let what = format!("queueing of the tenant with {count} of them ({name}), p50");
        let value = percentile(queued, 50).as_secs_f64();
        report.add(Row::of_value(&what, *count, value, "s", Bar::None));
    }
    let peak = peak_mib(station.process_id());
    report.add(Row::of_value(
        "the same: peak resident memory of the station",
        1,
        peak,
        "MiB",
        Bar::None,
    ));
    report.note(format!(
        "The 1,000 were submitted in {:.1} s, first those of one tenant and then those of the other, \
         and had all ended after {:.1} s.",
        submitted.as_secs_f64(),
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// How long a run waited to begin.
fn queueing(http: &mut Http, id: &str, start: Instant) -> anyhow::Result<Duration> {
    loop {
        let run = http.get(&format!("/v1/runs/{id}?wait=30s"))?.good()?.json();
        if run["state"] == "ended" {
            if run["reason"]["code"] != "succeeded" {
                bail!("{id} ended as {}", run["reason"]);
            }
            let (at, began) = (run["at_ms"].as_u64(), run["started_ms"].as_u64());
            let (at, began) = (at.context("no time")?, began.context("no start")?);
            return Ok(Duration::from_millis(began.saturating_sub(at)));
        }
        if SPAN < start.elapsed() {
            bail!("{id} had not ended after {} s", SPAN.as_secs());
        }
    }
}

fn peak_mib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
