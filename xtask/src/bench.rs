//! What it costs, beside the peers that are installed, in one table from one run.
//!
//! The contenders take turns, so that a busy moment of the machine meets all
//! of them. Figures are medians and 99th percentiles of wall-clock time; the
//! ratio is to the plain interpreter of the same run.

mod engine;

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{
    needs::{self, COMPILER, LIBC, PYTHON},
    peers::{self, Docker},
    shell::{print, say},
    station::{Station, program},
};

/// How much to measure.
#[derive(clap::Args)]
pub struct BenchArgs {
    /// Rounds; `docker run` and `runc` get a fifth of them
    #[arg(long, default_value_t = 200)]
    rounds: usize,
}

/// One line of the table.
struct Row {
    name: &'static str,
    times: Vec<Duration>,
}

type Contender<'a> = (
    &'static str,
    usize,
    Box<dyn FnMut(usize) -> anyhow::Result<()> + 'a>,
);

/// Measures, and prints the table.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    needs::install(&[COMPILER, LIBC, PYTHON])?;
    let program = program(true)?;
    let folder = tempfile::tempdir()?;
    let hello = folder.path().join("hello.py");
    std::fs::write(&hello, "print('hello')\n")?;
    let station = Station::start(&program)?;
    let token = station.user("bench")?;
    let runc = peers::runc(folder.path())?;
    let docker = Docker::start(folder.path())?;
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
    let mut http = Http::connect(&station.url, &token)?;
    http.hello()?;
    let rare = args.rounds.div_ceil(5);
    let mut contenders: Vec<Contender<'_>> = vec![
        (
            "python3 -I -S -c pass",
            args.rounds,
            Box::new(|_| quiet(Command::new(peers::PYTHON[0]).args(&peers::PYTHON[1..]))),
        ),
        (
            "strongroom: run over HTTP",
            args.rounds,
            Box::new(|_| http.hello()),
        ),
        (
            "strongroom: trial run",
            args.rounds,
            Box::new(|_| quiet(Command::new(&program).arg("run").arg(&hello))),
        ),
    ];
    if peers::bwrap().is_some() {
        contenders.push((
            "bwrap --unshare-all",
            args.rounds,
            Box::new(|_| quiet(&mut peers::bwrap().context("bwrap is gone")?)),
        ));
    }
    if let Some(bundle) = &runc {
        contenders.push((
            "runc run",
            rare,
            Box::new(|round| quiet(&mut bundle.command(round + 1))),
        ));
    }
    if let Some(engine) = &docker {
        contenders.push((
            "docker run",
            rare,
            Box::new(|_| quiet(&mut engine.command())),
        ));
    }
    let mut rows = take_turns(args.rounds, contenders)?;
    rows.push(engine::alone(args.rounds)?);
    table(&rows);
    in_a_row(&station.url, &token, args.rounds)
}

fn take_turns(rounds: usize, mut contenders: Vec<Contender<'_>>) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|(name, ..)| Row {
            name,
            times: Vec::new(),
        })
        .collect();
    for round in 0..rounds {
        for (row, (name, most, act)) in rows.iter_mut().zip(&mut contenders) {
            if round < *most {
                let start = Instant::now();
                act(round).with_context(|| format!("measuring {name}"))?;
                row.times.push(start.elapsed());
            }
        }
    }
    Ok(rows)
}

fn table(rows: &[Row]) {
    let base = median(&rows[0].times);
    print("| what | runs | median ms | p99 ms | to plain python3 |");
    print("|---|---|---|---|---|");
    for row in rows {
        let ratio = median(&row.times).as_secs_f64() / base.as_secs_f64();
        let (middle, worst) = (
            millis(median(&row.times)),
            millis(percentile(&row.times, 99)),
        );
        print(&format!(
            "| {} | {} | {middle} | {worst} | {ratio:.2} |",
            row.name,
            row.times.len()
        ));
    }
}

/// One client that asks again as soon as it has its answer.
fn in_a_row(url: &str, token: &str, rounds: usize) -> anyhow::Result<()> {
    let mut http = Http::connect(url, token)?;
    let start = Instant::now();
    for _ in 0..rounds {
        http.hello()?;
    }
    let rate = rounds as f64 / start.elapsed().as_secs_f64();
    print(&format!(
        "\n{rounds} runs in a row over HTTP, one client: {rate:.0} runs a second"
    ));
    Ok(())
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

fn median(times: &[Duration]) -> Duration {
    percentile(times, 50)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// A keep-alive connection that knows just enough HTTP/1.1 to submit a script
/// and read the result, so that the client costs next to nothing.
struct Http {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Http {
    fn connect(url: &str, token: &str) -> anyhow::Result<Self> {
        let host = url
            .strip_prefix("http://")
            .context("the station's address is no http:// one")?;
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        let body = r#"{"client":"bench","code":"print('hello')"}"#;
        let request = format!(
            "POST /run-json HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self {
            stream,
            request: request.into_bytes(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Submits the script and waits for its result.
    fn hello(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.request)?;
        let mut got = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[got..])?;
            if read == 0 {
                bail!("the station closed the connection");
            }
            got += read;
            if let Some(whole) = complete(&self.buffer[..got]) {
                return whole;
            }
        }
    }
}

/// `None` until the whole answer is there; then whether the script said hello.
fn complete(answer: &[u8]) -> Option<anyhow::Result<()>> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    if body.len() < length {
        return None;
    }
    let good = head.starts_with("HTTP/1.1 200") && body.contains("\"stdout\":\"hello\\n\"");
    Some(if good {
        Ok(())
    } else {
        Err(anyhow::anyhow!("the station answered: {text}"))
    })
}
