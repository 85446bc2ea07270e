//! The program that the jail starts for a file in Starlark.
//!
//! `strongroom-star FILE` runs a file as a guest; `strongroom-star check FILE`
//! looks at one and runs nothing.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use strongroom_star::{failure::Failure, gateway, guest::Guest, run, source::SOURCE_BYTES_MAX};

/// Where the returned value goes.
const RESULT: i32 = 3;

fn main() -> ExitCode {
    // What breaks is told once, as the failure of the script.
    std::panic::set_hook(Box::new(|_| {}));
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match &words[..] {
        [file] if !file.starts_with('-') => run_file(Path::new(file)),
        _ => Err(Failure::plain("usage: strongroom-star FILE")),
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
    let value = run::run(guest, &name, &text, gateway::of_environment)?;
    match value {
        Some(value) => send(&value),
        None => Ok(()),
    }
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
