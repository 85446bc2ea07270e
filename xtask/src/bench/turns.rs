//! Hello, by us and by the peers, in turns.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{
    Bench, hello, hello_body,
    report::{Bar, Report, Row, percentile},
};
use crate::{
    http::Http,
    peers::{self, Docker},
    shell::say,
};

/// What `docker run` takes at least, in times of ours.
const DOCKER_TIMES: f64 = 60.0;

struct Contender<'a> {
    name: &'static str,
    bar: Bar,
    act: Box<dyn FnMut(usize) -> anyhow::Result<()> + 'a>,
    times: Vec<Duration>,
}

const BARE: &str = "`python3 -I -S -c pass`";
const OURS: &str = "strongroom: run over HTTP, submit to stored result";
const DOCKER: &str = "`docker run`";

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("hello.py");
    std::fs::write(&script, "print('hello')\n")?;
    let (station, token) = bench.station("")?;
    let runc = peers::runc(folder.path())?;
    let docker = Docker::start(folder.path())?;
    let mut http = Http::new(&station.url, &token)?;
    let body = hello_body();
    let mut contenders = vec![
        contender(BARE, Bar::None, |_| {
            quiet(Command::new(peers::PYTHON[0]).args(&peers::PYTHON[1..]))
        }),
        contender(OURS, Bar::AtMostBare(0.5), |_| hello(&mut http, &body)),
        contender(
            "strongroom: trial run, sandbox probed and built",
            Bar::None,
            |_| quiet(Command::new(bench.program()).arg("run").arg(&script)),
        ),
    ];
    if peers::bwrap().is_some() {
        contenders.push(contender("`bwrap --unshare-all`", Bar::None, |_| {
            quiet(&mut peers::bwrap().context("bwrap is gone")?)
        }));
    }
    if let Some(bundle) = &runc {
        contenders.push(contender("`runc run`", Bar::None, |round| {
            quiet(&mut bundle.command(round + 1))
        }));
    }
    if let Some(engine) = &docker {
        contenders.push(contender(DOCKER, Bar::None, |_| {
            quiet(&mut engine.command())
        }));
    }
    for (peer, found) in [
        ("bwrap", peers::bwrap().is_some()),
        ("runc", runc.is_some()),
        ("docker", docker.is_some()),
    ] {
        if !found {
            say(&format!(
                "{peer} is not installed or cannot run here, so it has no row"
            ));
        }
    }
    take_turns(bench.args.rounds, &mut contenders)?;
    add(report, &contenders);
    Ok(())
}

fn contender<'a>(
    name: &'static str,
    bar: Bar,
    act: impl FnMut(usize) -> anyhow::Result<()> + 'a,
) -> Contender<'a> {
    Contender {
        name,
        bar,
        act: Box::new(act),
        times: Vec::new(),
    }
}

fn take_turns(rounds: usize, contenders: &mut [Contender<'_>]) -> anyhow::Result<()> {
    // Round 0 is not counted: it fills caches for everyone.
    for round in 0..=rounds {
        for contender in &mut *contenders {
            let start = Instant::now();
            (contender.act)(round).with_context(|| format!("measuring {}", contender.name))?;
            if 0 < round {
                contender.times.push(start.elapsed());
            }
        }
    }
    Ok(())
}

fn add(report: &mut Report, contenders: &[Contender<'_>]) {
    let median = |name| {
        let found = contenders.iter().find(|contender| contender.name == name);
        found.map(|contender| percentile(&contender.times, 50).as_secs_f64())
    };
    report.bare(&contenders[0].times);
    for contender in contenders {
        report.add(Row::of_times(
            contender.name,
            &contender.times,
            contender.bar,
        ));
    }
    if let (Some(docker), Some(ours)) = (median(DOCKER), median(OURS)) {
        let times = docker / ours;
        let what = "how much faster than `docker run` over HTTP";
        report.add(Row::of_value(
            what,
            contenders[0].times.len(),
            times,
            "times",
            Bar::AtLeast(DOCKER_TIMES),
        ));
    }
}

fn quiet(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("ended with {status}");
    }
    Ok(())
}
