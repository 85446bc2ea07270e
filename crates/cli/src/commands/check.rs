//! `strongroom check`: what can be said of a script without running it.
//!
//! The guest's own program looks at the script, since it alone can parse it;
//! it runs nothing of it. What it says of the script is escaped for people.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use strongroom_core::{manifest::Files, text::line_shown};
use strongroom_server::trial::program_of_starlark;

use crate::{
    error::{CliError, Outcome},
    ui::Ui,
};

/// Look at a script in Starlark without running it
///
/// Finds what a run would fail on, functions and results that nobody uses, requests where there
/// is no network, and secrets or exposed values that reach a URL. The exit code is 1 when a run
/// would fail.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// A file whose name ends in .star
    file: PathBuf,
}

pub fn run(ui: &mut Ui, args: &CheckArgs) -> Result<Outcome, CliError> {
    let Some(program) = program_of_starlark() else {
        return Err(CliError::Use {
            message: "there is no strongroom-star beside strongroom".to_owned(),
            hint: Some("`cargo star` builds it".to_owned()),
        });
    };
    let looked = looked(&program, &args.file, ui.json)?;
    let text = String::from_utf8_lossy(&looked.stdout);
    match ui.json {
        true => writeln!(ui.out, "{text}")?,
        false => {
            for line in text.lines() {
                writeln!(ui.out, "{}", line_shown(line))?;
            }
        }
    }
    if looked.stdout.is_empty() && !looked.status.success() {
        let why = String::from_utf8_lossy(&looked.stderr);
        return Err(CliError::wrong_use(line_shown(why.trim())));
    }
    Ok(Outcome::of(looked.status.success()))
}

/// Looks at the scripts among the files of a function at `path` before it is
/// sent: says what there is to say, and refuses what a run would fail on.
/// Nothing is said where the program is missing, since the sandbox holds
/// without it.
pub fn refuse(ui: &mut Ui, path: &Path, files: &Files) -> Result<(), CliError> {
    let Some(program) = program_of_starlark() else {
        return Ok(());
    };
    let scripts = files.keys().map(|file| file.as_str());
    let mut fails = false;
    for script in scripts.filter(|script| script.ends_with(".star")) {
        let script = match path.is_dir() {
            true => path.join(script),
            false => path.to_owned(),
        };
        let Ok(looked) = looked(&program, &script, false) else {
            continue;
        };
        for line in String::from_utf8_lossy(&looked.stdout).lines() {
            ui.say(line_shown(line))?;
        }
        fails |= !looked.status.success();
    }
    match fails {
        false => Ok(()),
        true => Err(CliError::wrong_use_with_hint(
            "a run would fail on it, so it was not sent",
            "`--no-check` sends it all the same",
        )),
    }
}

fn looked(program: &Path, file: &Path, as_json: bool) -> io::Result<std::process::Output> {
    // An absolute path, so that no name is taken for an option.
    let file = std::path::absolute(file)?;
    Command::new(program)
        .arg("check")
        .arg(file)
        .arg(if as_json { "--json" } else { "--text" })
        .env_clear()
        .output()
}
