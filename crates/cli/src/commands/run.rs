//! `strongroom run`: asks a station to run a function, or tries one here.

pub mod ask;
pub mod ending;
mod screen;
mod shell;
pub mod steps;
mod trial;
mod watch;

use std::{path::PathBuf, time::Duration};

use strongroom_server::BackendKind;

use crate::{
    arguments::FlowArgs,
    error::{CliError, Outcome},
    times,
    ui::Ui,
};

/// Run a function on data
///
/// OWNER/NAME asks the station. Nothing runs until every owner of the data has agreed, in person
/// or by a rule; then it starts by itself. A path (one that begins with `.` or `/`, or ends in
/// `.py`, `.sh`, `.js` or `.star`) is tried here without a station or anyone's approval, on local data in the same
/// sandbox, with the same view and the same limits.
///
/// The returned value goes to stdout, as JSON. What the guest writes goes to stderr, each line
/// behind a `|`. Ctrl-C cancels the run. The exit code is 0 if the run succeeded, 1 if not.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The function: OWNER/NAME, OWNER/NAME~1, OWNER/NAME@DIGEST, or a local file or folder
    function: String,
    /// What it runs on: OWNER/DATASET, or INPUT=OWNER/DATASET each; local paths for a local function
    #[arg(long, value_name = "DATASET")]
    on: Vec<String>,
    /// One argument; VALUE is read as JSON if it is JSON, and else as text ('n="3"' is the text 3)
    #[arg(long, value_name = "KEY=VALUE")]
    arg: Vec<String>,
    /// All arguments as one JSON document; `--arg` adds to it
    #[arg(long, value_name = "JSON")]
    args_json: Option<String>,
    /// One setting of the function's `[config]`; VALUE is read as for `--arg`
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// A bound: cpu=0.5, memory=256MiB, time=30s, processes=64, out=64MiB, out_files=1000,
    /// log=1MiB, tmp=64MiB
    #[arg(long, value_name = "KEY=VALUE")]
    limit: Vec<String>,
    /// Write the files from /out below this folder, in place of those of an earlier run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A folder with a `runtime.toml`, for a local function that names this runtime
    #[arg(long, value_name = "[NAME=]DIR")]
    runtime_folder: Option<String>,
    /// Run this file of a local folder in place of its entry, with any arguments: its tests
    #[arg(long, value_name = "FILE")]
    entry: Option<String>,
    /// Run a local function again whenever its code or its data change, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Where a local function runs: `local`, or `docker` for a container [default: as configured]
    #[arg(long, value_name = "BACKEND")]
    backend: Option<BackendKind>,
    /// In place of a local function run a shell where it would run: the same user, paths, limits and
    /// walls, but for an hour unless `--limit time=` says otherwise
    #[arg(long, conflicts_with_all = ["watch", "entry"])]
    shell: bool,
    /// What the result is for, told to the owners
    #[arg(long, default_value = "", hide_default_value = true)]
    purpose: String,
    #[command(flatten)]
    flow: FlowArgs,
    /// Tell the steps of the function too, where it has some
    #[arg(long)]
    events: bool,
    /// Ask, and do not wait
    #[arg(long, conflicts_with_all = ["out", "wait"])]
    detach: bool,
    /// Wait at most this long: 30s, 10m; the run goes on [default: to its end]
    #[arg(long, value_name = "TIME", value_parser = times::duration)]
    wait: Option<Duration>,
    /// Asking twice with the same key is asking once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub fn run(ui: &mut Ui, args: RunArgs) -> Result<Outcome, CliError> {
    if is_local(&args.function) {
        return trial::run(ui, args);
    }
    if args.entry.is_some() || args.watch || args.shell {
        let message = "--entry, --watch and --shell are for a local function";
        return Err(CliError::wrong_use_with_hint(
            message,
            "one is a path such as ./f.py",
        ));
    }
    if args.backend.is_some() {
        let message = "--backend is for a local function";
        let hint = "a station runs everything where its operator says";
        return Err(CliError::wrong_use_with_hint(message, hint));
    }
    if args.runtime_folder.is_some() {
        let message = "--runtime-folder is for a local function";
        let hint = "`strongroom runtime add` gives a runtime to a station";
        return Err(CliError::wrong_use_with_hint(message, hint));
    }
    ask::run(ui, args)
}

/// Whether a local path is meant; no name of a function looks like one.
pub(super) fn is_local(function: &str) -> bool {
    let suffixes = [".py", ".sh", ".js", ".mjs", ".cjs", ".star"];
    function.starts_with(['.', '/']) || suffixes.iter().any(|suffix| function.ends_with(suffix))
}

/// What a guest wrote, told apart from what we say by a bar.
fn guest_line(text: &str) -> String {
    format!("| {}", strongroom_core::text::line_shown(text))
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn a_path_is_tried_here_and_a_name_is_asked_for() {
        for path in ["./f.py", "../f", "/tmp/f", "f.py", "folder/f.sh", "."] {
            assert!(is_local(path), "{path}");
        }
        for name in ["devs/mean-mass", "devs/py~1", "devs/sh@sha256:00"] {
            assert!(!is_local(name), "{name}");
        }
    }
}
