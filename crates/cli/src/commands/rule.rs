//! `strongroom rule`: an owner's standing answers, in Cedar.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use strongroom_core::{
    rule::{LEN_MAX, RuleSet, SCHEMA},
    text::line_shown,
};
use strongroom_server::api::Rules;

use crate::{
    client::{Client, ClientError},
    error::{CliError, Outcome},
    files::FilesError,
    login::LoginError,
    ui::Ui,
};

#[derive(Debug, clap::Subcommand)]
pub enum RuleCommand {
    /// Answer future requests for your data by the rules in a file
    ///
    /// A policy in Cedar (https://docs.cedarpolicy.com) permits or forbids; what none speaks of
    /// waits for you. A forbidding policy outweighs all else. The rules replace those before.
    Set {
        /// A file; `-` is stdin
        file: PathBuf,
    },
    /// Print your rules
    Show,
    /// Remove your rules
    Clear,
    /// Check the rules in a file, and change nothing
    Check {
        /// A file; `-` is stdin
        file: PathBuf,
    },
    /// Print what rules can speak of, as a Cedar schema
    Schema,
}

/// `client` is asked for only by those who need a station.
pub fn run(
    ui: &mut Ui,
    client: impl Fn() -> Result<Client, LoginError>,
    command: RuleCommand,
) -> Result<Outcome, CliError> {
    match command {
        RuleCommand::Set { file } => {
            let rules: Rules = client()?.put(
                "/v1/rules",
                &Rules {
                    text: checked(&file)?,
                },
            )?;
            match ui.json {
                true => ui.print_json(&rules)?,
                false => ui.say("Your rules answer from now on.")?,
            }
        }
        RuleCommand::Show => show(ui, &client()?)?,
        RuleCommand::Clear => {
            client()?.delete("/v1/rules")?;
            ui.say("You have no rules now; every request waits for you.")?;
        }
        RuleCommand::Check { file } => {
            checked(&file)?;
            ui.say("These rules would be taken.")?;
        }
        RuleCommand::Schema => write!(ui.out, "{SCHEMA}")?,
    }
    Ok(Outcome::Yes)
}

/// Prints the rules; to have none is no error.
fn show(ui: &mut Ui, client: &Client) -> Result<(), CliError> {
    let rules: Rules = match client.get("/v1/rules", &[]) {
        Ok(rules) => rules,
        Err(ClientError::Refused(problem)) if problem.code == "not_found" && !ui.json => {
            return ui.say("You have no rules; every request waits for you.");
        }
        Err(other) => return Err(other.into()),
    };
    match ui.json {
        true => ui.print_json(&rules),
        false => Ok(write!(ui.out, "{}", lines_shown(&rules.text))?),
    }
}

/// One's own text, which may have come from elsewhere.
fn lines_shown(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line_shown(line)))
        .collect()
}

/// The rules in a file, which a station would take.
fn checked(file: &Path) -> Result<String, CliError> {
    let text = read(file).map_err(|source| FilesError::Read {
        path: file.to_owned(),
        source,
    })?;
    match RuleSet::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(CliError::wrong_use_with_hint(
            error.to_string(),
            "`strongroom rule schema` prints what rules can speak of",
        )),
    }
}

/// At most one byte more than rules may have.
fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let most = LEN_MAX as u64 + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_string(&mut text)?;
    } else {
        File::open(file)?.take(most).read_to_string(&mut text)?;
    }
    Ok(text)
}
