//! A station that has nothing to do, with its slots waiting: what it takes of the
//! processor, and what of memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
    time::Duration,
};

use super::{
    Bench, hello, hello_body,
    report::{Bar, Report, Row},
};
use crate::http::Http;

const SLOT_MIB: f64 = 10.0;
/// Runs that make a station want slots to wait.
const WARM_UP: usize = 50;
/// How long a station is given to come to rest.
const REST: Duration = Duration::from_secs(3);

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let (station, token) = bench.station("")?;
    let mut http = Http::new(&station.url, &token)?;
    for _ in 0..WARM_UP {
        hello(&mut http, &hello_body())?;
    }
    drop(http);
    thread::sleep(REST);
    let slots = slots(station.process_id());
    let before = ticks(station.process_id());
    thread::sleep(Duration::from_secs(bench.args.idle_seconds));
    let used = ticks(station.process_id()).saturating_sub(before);
    let what = format!(
        "processor time of an idle station and {} waiting slots in {} s",
        slots.len(),
        bench.args.idle_seconds
    );
    report.add(Row::of_value(
        &what,
        1,
        used as f64,
        "ticks",
        Bar::AtMost(0.0),
    ));
    let most = slots.iter().copied().max().unwrap_or(0) as f64 / 1024.0;
    if slots.is_empty() {
        report.note("No slots were waiting, so their memory has no row.".to_owned());
    } else {
        let what = "private memory of a waiting slot, the largest";
        report.add(Row::of_value(
            what,
            slots.len(),
            most,
            "MiB",
            Bar::AtMost(SLOT_MIB),
        ));
    }
    Ok(())
}

/// Children by parent.
fn children() -> BTreeMap<u32, Vec<u32>> {
    let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            found.entry(parent).or_default().push(pid);
        }
    }
    found
}

/// The fields of `/proc/PID/stat` after the name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(')')?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

fn family(of: u32, children: &BTreeMap<u32, Vec<u32>>) -> BTreeSet<u32> {
    let (mut found, mut open) = (BTreeSet::new(), vec![of]);
    while let Some(pid) = open.pop() {
        if found.insert(pid) {
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// Processor time of the station and all below it, that of the dead included.
fn ticks(station: u32) -> u64 {
    let number = |fields: &Vec<String>, at: usize| fields.get(at)?.parse::<u64>().ok();
    let used = |pid: &u32| {
        let fields = stat(*pid).unwrap_or_default();
        (11..15).filter_map(|at| number(&fields, at)).sum::<u64>()
    };
    family(station, &children()).iter().map(used).sum()
}

/// Private memory of each slot that has an interpreter waiting, in KiB: of its
/// keeper and all below it.
fn slots(station: u32) -> Vec<u64> {
    let children = children();
    let below = |pid: u32| children.get(&pid).cloned().unwrap_or_default();
    let keepers = below(station).into_iter().flat_map(below);
    let families = keepers.map(|keeper| family(keeper, &children));
    families
        .filter(|family| 2 < family.len())
        .map(|family| family.iter().map(|pid| private_kib(*pid)).sum())
        .collect()
}

fn private_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    lines
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}
