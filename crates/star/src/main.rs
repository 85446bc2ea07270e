//! The program that the jail starts for a file in Starlark.
//!
//! `strongroom-star FILE` runs a file as a guest; `strongroom-star check FILE`
//! looks at one and runs nothing.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use strongroom_star::{
    check::{self, Level, Report},
    failure::Failure,
    gateway,
    guest::Guest,
    run,
    source::SOURCE_BYTES_MAX,
};

/// Where the returned value goes.
const RESULT: i32 = 3;

fn main() -> ExitCode {
    // What breaks is told once, as the failure of the script.
    std::panic::set_hook(Box::new(|_| {}));
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match &words[..] {
        [file] if !file.starts_with('-') => run_file(Path::new(file)),
        ["check", file] | ["check", file, "--text"] => return check_file(Path::new(file), false),
        ["check", file, "--json"] | ["check", "--json", file] => {
            return check_file(Path::new(file), true);
        }
        _ => Err(Failure::plain(
            "usage: strongroom-star FILE, or strongroom-star check FILE [--json]",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nothing can be told, the exit code still tells it.
            let _ = io::stdout().flush();
            let _ = writeln!(io::stderr(), "{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run_file(file: &Path) -> Result<(), Failure> {
    let guest = Guest::of_process()?;
    let path = match file.is_absolute() {
        true => file.to_path_buf(),
        false => guest.path("/function").join(file),
    };
    let text = read(&path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let returned = run::run(guest, &name, &text, gateway::of_environment)?;
    if let Some(value) = returned.value {
        send(&value)?;
    }
    returned.failure.map_or(Ok(()), Err)
}

/// Tells what was found in a file. Ends with 1 where a run would fail on it.
fn check_file(file: &Path, as_json: bool) -> ExitCode {
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let text = read(&file.to_path_buf());
    let looked = text.and_then(|text| {
        let shown = name.clone();
        run::on_large_stack(move || Ok(check::check(&shown, &text)))
    });
    let report = match looked {
        Ok(report) => report,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{failure}");
            return ExitCode::FAILURE;
        }
    };
    // Who closed stdout does not want to know more.
    let _ = match as_json {
        true => serde_json::to_writer(io::stdout(), &report).map_err(io::Error::from),
        false => told(&name, &report),
    };
    match report.has_errors() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn told(name: &str, report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in &report.findings {
        let level = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        let (line, column) = (finding.line, finding.column);
        writeln!(out, "{name}:{line}:{column}: {level}: {}", finding.message)?;
        writeln!(out, "  hint: {}", finding.advice)?;
    }
    Ok(())
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    let shown = path.display();
    let told = |why: String| Failure::plain(format!("could not read {shown}: {why}"));
    let size = std::fs::metadata(path)
        .map_err(|error| told(error.to_string()))?
        .len();
    if (SOURCE_BYTES_MAX as u64) < size {
        return Err(told(format!(
            "a script has at most {SOURCE_BYTES_MAX} bytes"
        )));
    }
    let raw = std::fs::read(path).map_err(|error| told(error.to_string()))?;
    String::from_utf8(raw).map_err(|_| told("it is not UTF-8".to_owned()))
}

/// Sends the returned value. After this nothing can be printed any more: the
/// descriptor of the result takes the place of stdout.
fn send(value: &[u8]) -> Result<(), Failure> {
    let told = |error: io::Error| Failure::plain(format!("could not send the result: {error}"));
    io::stdout().flush().map_err(told)?;
    match nix::unistd::dup2(RESULT, 1) {
        Ok(_) => {}
        // Started by hand, without anybody who takes the value.
        Err(nix::errno::Errno::EBADF) => return Ok(()),
        Err(error) => return Err(told(error.into())),
    }
    let mut out = io::stdout().lock();
    out.write_all(value)
        .and_then(|()| out.flush())
        .map_err(told)
}
