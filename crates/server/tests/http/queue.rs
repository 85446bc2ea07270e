//! A long queue, in the real jail: everything in it ends right, whoever comes
//! late has his turn, and the station stays small.

use std::time::{Duration, Instant};

use crate::support::{Station, text};
use serde_json::{Value, json};

/// Runs of one caller, queued at once.
const RUNS: usize = 1000;
/// What a queued run may cost the station in memory, the tests' own part included.
const BYTES_PER_RUN_MAX: u64 = 64 * 1024;
/// Long enough for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(540);

async fn runs_of(station: &Station, who: &str) -> Vec<Value> {
    let mut runs = Vec::new();
    let mut path = "/v1/runs?limit=200".to_owned();
    loop {
        let page = station.get(who, &path).await.ok();
        runs.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/runs?limit=200&after={next}"),
            None => return runs,
        }
    }
}

/// What this process, which is the station, holds in memory.
fn resident_bytes() -> u64 {
    let said = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_thousand_runs_queued_at_once_all_end_right_and_who_comes_late_has_his_turn() {
    let mut station = Station::working().await;
    let body = json!({ "files": { "main.sh": "cat > /out/args.json\n" } });
    station
        .post("devs", "/v1/functions/devs/echo/versions", body)
        .await
        .ok();
    // What the first run brings into memory is there whatever the queue is.
    let first = station.ask("guest", "devs/echo", &[], json!({})).await;
    let path = format!("/v1/runs/{}?wait=60s", text(&first, "id"));
    assert_eq!(station.get("guest", &path).await.ok()["state"], "ended");
    let before = resident_bytes();
    for n in 0..RUNS {
        station
            .ask("guest", "devs/echo", &[], json!({ "n": n }))
            .await;
    }
    let late = station.ask("lab", "devs/echo", &[], json!({})).await;
    let deadline = Instant::now() + PATIENCE;
    for run in runs_of(&station, "guest").await.iter().rev().chain([&late]) {
        let path = format!("/v1/runs/{}?wait=30s", text(run, "id"));
        while station.get(text(run, "caller"), &path).await.ok()["state"] != "ended" {
            assert!(Instant::now() < deadline, "never ended: {run}");
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(
        grown < RUNS as u64 * BYTES_PER_RUN_MAX,
        "{grown} bytes more"
    );
    let runs = runs_of(&station, "guest").await;
    assert_eq!(runs.len(), RUNS + 1);
    for run in &runs {
        assert_eq!(run["reason"]["code"], "succeeded", "{run}");
    }
    let late = runs_of(&station, "lab").await.remove(0);
    let (asked, started) = (late["at_ms"].as_i64(), late["started_ms"].as_i64());
    let passed = runs.iter().filter(|run| {
        let other = run["started_ms"].as_i64();
        asked < other && other < started
    });
    // Two places: what was claimed for each when he came, and one turn.
    assert!(passed.count() <= 4, "he waited behind a queue: {late}");
    station.stop().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_at_any_moment_leaves_no_run_that_nobody_runs() {
    let mut station = Station::working().await;
    let body = json!({ "files": { "main.sh": "true\n" } });
    station
        .post("devs", "/v1/functions/devs/none/versions", body)
        .await
        .ok();
    for moments in 0..40 {
        let hangs_up = async {
            for _ in 0..moments {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = station.ask("guest", "devs/none", &[], json!({})) => {}
            () = hangs_up => {}
        }
    }
    // Whatever was accepted before this one is there now.
    let last = station.ask("guest", "devs/none", &[], json!({})).await;
    let deadline = Instant::now() + PATIENCE;
    for run in runs_of(&station, "guest").await.iter().chain([&last]) {
        let path = format!("/v1/runs/{}?wait=30s", text(run, "id"));
        while station.get("guest", &path).await.ok()["state"] != "ended" {
            assert!(Instant::now() < deadline, "never ended: {run}");
        }
    }
    station.stop().await;
}
