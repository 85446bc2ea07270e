//! Bodies that are larger than what the station and its clients may take of
//! memory, on every way that a body takes: nothing is ever held whole.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    process::{Command, Stdio},
};

use crate::station::{Person, Station, said};

const MIB: u64 = 1 << 20;
/// The magic number of a file system in memory.
const TMPFS: i64 = 0x0102_1994;
/// Rows, of a mebibyte each.
const ROWS: u64 = 160;
/// What a station may take beyond what it took before, of a body's size.
const GROWTH_BYTES_MAX: u64 = 80 * MIB;
/// What a client may take altogether, in kibibytes.
const CLIENT_KIB_MAX: u64 = 80 * 1024;

/// Somebody's command, which may not take more memory than a client should.
fn bounded(person: &Person<'_>, words: &[&str]) -> Command {
    let whole = person.command(words);
    let mut command = Command::new("/bin/sh");
    let limited = format!("ulimit -d {CLIENT_KIB_MAX}; exec \"$@\"");
    command
        .args(["-c", &limited, "sh"])
        .arg(whole.get_program());
    command.args(whole.get_args()).env_clear();
    let variables = whole.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(whole.get_current_dir().unwrap());
    command.stdin(Stdio::null());
    command
}

#[test]
fn a_body_of_any_size_goes_in_and_out_in_bounded_memory() {
    let station = Station::start();
    let lab = station.user("lab");
    let path = station.place.path("large.csv");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    writeln!(file, "id,text").unwrap();
    for row in 0..ROWS {
        writeln!(file, "{row},{}", "x".repeat(MIB as usize - 10)).unwrap();
    }
    drop(file.into_inner().unwrap());
    let before = station.memory_peak_bytes();

    let pushed = said(&mut bounded(
        &lab,
        &["dataset", "push", "lab/large", "large.csv"],
    ));
    assert_eq!(pushed.code, 0, "{pushed}");
    let shown = lab.does(&["dataset", "show", "lab/large"]).to_string();
    assert!(shown.contains(&format!("{ROWS} rows of csv")), "{shown}");

    let got = station.place.path("got.csv");
    let mut get = bounded(&lab, &["dataset", "get", "lab/large"]);
    let status = get.stdout(File::create(&got).unwrap()).status().unwrap();
    assert!(status.success());
    assert_eq!(
        got.metadata().unwrap().len(),
        path.metadata().unwrap().len()
    );

    let mut rows = bounded(
        &lab,
        &[
            "dataset",
            "get",
            "lab/large",
            "--format",
            "ndjson",
            "--rows",
            "40..160",
        ],
    );
    let status = rows.stdout(File::create(&got).unwrap()).status().unwrap();
    assert!(status.success());
    assert!(119 * MIB < got.metadata().unwrap().len());

    let grown = station.memory_peak_bytes() - before;
    assert!(
        grown < GROWTH_BYTES_MAX,
        "the station grew by {grown} bytes"
    );
}

#[test]
fn a_run_leaves_more_than_its_memory_and_the_station_takes_it_in_bounded_memory() {
    let station = Station::start();
    let home = rustix::fs::statfs(station.place.home()).unwrap();
    if !rustix::process::geteuid().is_root() || home.f_type == TMPFS {
        // There is no disk for it, or nobody who may mount one: it is refused.
        return;
    }
    let lab = station.user("lab");
    station
        .place
        .file("large.sh", "head -c 125829120 /dev/zero > /out/zeros.bin\n");
    lab.does(&["function", "push", "lab/large", "large.sh"]);
    let before = station.memory_peak_bytes();
    let limits = ["--limit", "out=128MiB", "--limit", "memory=48MiB"];
    let ended = lab.reads(&[&["run", "lab/large"], &limits[..]].concat());
    assert_eq!(ended["reason"]["code"], "succeeded", "{ended}");
    assert_eq!(ended["files"][0]["size_bytes"], 120 * MIB);
    assert!(ended["enforced"]["walls"].to_string().contains("\"disk\""));
    let grown = station.memory_peak_bytes() - before;
    assert!(
        grown < GROWTH_BYTES_MAX,
        "the station grew by {grown} bytes"
    );
}
