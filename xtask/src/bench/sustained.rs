//! As many hellos as the machine bears, all isolated, none reused.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Bench, hello, hello_body,
    report::{Bar, Report, Row},
};
use crate::http::Http;

/// Clients that ask again as soon as they have their answer.
const CLIENTS: usize = 8;
/// What is not counted at first.
const WARM_UP: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(10);
/// Runs a second.
const LEAST: f64 = 400.0;

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let (station, token) = bench.station("")?;
    let body = hello_body();
    let (runs, rate) = rate(CLIENTS, &|| Http::new(&station.url, &token), &|http| {
        hello(http, &body)
    })?;
    let what = format!("strongroom: sustained hello runs, {CLIENTS} clients");
    report.add(Row::of_value(
        &what,
        runs,
        rate,
        "a second",
        Bar::AtLeast(LEAST),
    ));
    Ok(())
}

/// How many acts end in a second when so many clients never rest.
pub fn rate(
    clients: usize,
    connect: &(dyn Fn() -> anyhow::Result<Http> + Sync),
    act: &(dyn Fn(&mut Http) -> anyhow::Result<()> + Sync),
) -> anyhow::Result<(usize, f64)> {
    let (stop, counting) = (AtomicBool::new(false), AtomicBool::new(false));
    let count = AtomicUsize::new(0);
    let client = || -> anyhow::Result<()> {
        let mut http = connect()?;
        while !stop.load(Ordering::Relaxed) {
            act(&mut http)?;
            if counting.load(Ordering::Relaxed) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        thread::sleep(WARM_UP);
        counting.store(true, Ordering::Relaxed);
        let start = Instant::now();
        thread::sleep(SPAN);
        counting.store(false, Ordering::Relaxed);
        let (runs, took) = (count.load(Ordering::Relaxed), start.elapsed());
        stop.store(true, Ordering::Relaxed);
        for one in all {
            one.join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok((runs, runs as f64 / took.as_secs_f64()))
    })
}
