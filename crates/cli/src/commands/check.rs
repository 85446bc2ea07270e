//! `strongroom check`: what can be said of a script without running it.
//!
//! The guest's own program looks at the script, since it alone can parse it;
//! it runs nothing of it. What it says of the script is escaped for people.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use strongroom_core::text::line_shown;
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

/// What there is to say of the scripts of a function that is pushed; nothing
/// where the program is missing, since this is advice.
pub fn advise(ui: &mut Ui, scripts: &[PathBuf]) -> Result<(), CliError> {
    let Some(program) = program_of_starlark() else {
        return Ok(());
    };
    for script in scripts {
        let Ok(looked) = looked(&program, script, false) else {
            continue;
        };
        for line in String::from_utf8_lossy(&looked.stdout).lines() {
            ui.say(line_shown(line))?;
        }
    }
    Ok(())
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
