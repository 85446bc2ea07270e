//! What an image costs to make on a base that is there, and what one more
//! function takes on the disk.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, bail};

use super::{
    Bench,
    report::{Bar, Report, Row},
};
use crate::shell::read;

/// Functions that are pushed to see what each takes.
const FUNCTIONS: u32 = 20;
/// Builds that are timed; each makes a root of all the files of its base.
const BUILDS_MAX: usize = 20;

pub fn measure(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    builds(bench, report)?;
    functions(bench, report)
}

/// A Dockerfile with one file on top of Python's standard library.
fn builds(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("home");
    let root = folder.path().join("root/usr/lib");
    std::fs::create_dir_all(&root)?;
    let asked = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let library = read(Command::new("/usr/bin/python3").args(["-I", "-c", asked]))?;
    read(Command::new("cp").arg("-a").arg(library.trim()).arg(&root))?;
    let runtime = |words: &[&str], what: &Path| {
        let mut command = Command::new(bench.program());
        command.arg("runtime").args(words).arg(what);
        read(command.arg("--home").arg(&home))
    };
    runtime(&["import", "--name", "base"], &folder.path().join("root"))?;
    let recipe = folder.path().join("recipe");
    std::fs::create_dir(&recipe)?;
    std::fs::write(
        recipe.join("Dockerfile"),
        "FROM base\nCOPY main.py /function/\n",
    )?;
    let mut times = Vec::new();
    for round in 0..bench.args.rounds.min(BUILDS_MAX) {
        std::fs::write(recipe.join("main.py"), format!("print({round})\n"))?;
        let start = Instant::now();
        runtime(&["build"], &recipe)?;
        times.push(start.elapsed());
    }
    let what = "strongroom: image build, warm (one file changed, on a base with Python's library)";
    report.add(Row::of_times(what, &times, Bar::None));
    Ok(())
}

/// Small functions, one after another, on one runtime.
fn functions(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let (station, token) = bench.station("")?;
    let folder = tempfile::tempdir()?;
    let push = |number: u32| {
        let file = folder.path().join("main.py");
        std::fs::write(&file, format!("print('function {number}')\n"))?;
        let name = format!("bench/f{number}");
        read(
            station
                .client(&token)
                .args(["function", "push", &name])
                .arg(file),
        )
    };
    push(0)?;
    let before = bytes(&station.home)?;
    for number in 1..=FUNCTIONS {
        push(number)?;
    }
    let each = bytes(&station.home)?.saturating_sub(before) / u64::from(FUNCTIONS);
    let what = "strongroom: bytes on disk per extra function";
    let runs = FUNCTIONS as usize;
    report.add(Row::of_value(what, runs, each as f64, "B", Bar::None));
    Ok(())
}

/// What a folder takes on the disk.
fn bytes(folder: &Path) -> anyhow::Result<u64> {
    let said = read(
        Command::new("du")
            .args(["--block-size=1", "-s"])
            .arg(folder),
    )?;
    match said.split_whitespace().next() {
        Some(count) => count.parse().context("du printed no number"),
        None => bail!("du printed nothing"),
    }
}
