//! The first run of a runtime: on a station that has just begun to listen.

use std::time::Instant;

use super::{
    Bench, hello, hello_body,
    report::{Bar, Report, Row},
};
use crate::{http::Http, station::Station};

/// Times the bare interpreter.
const MOST: f64 = 3.0;

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let body = hello_body();
    let mut times = Vec::new();
    for _ in 0..bench.args.rounds {
        let station = Station::start(&bench.program())?;
        let mut http = Http::new(&station.url, &station.admin_token()?)?;
        let start = Instant::now();
        hello(&mut http, &body)?;
        times.push(start.elapsed());
    }
    let what = "strongroom: cold first run on a fresh station";
    report.add(Row::of_times(what, &times, Bar::AtMostBare(MOST)));
    Ok(())
}
