//! `strongroom`: the station and its client in one program.
//!
//! The program becomes the jail's warden first, if it was started to be one,
//! while there is one thread. Everything else is a command: one file each
//! below `commands`. Data goes to stdout, talk to stderr. The exit code is 0
//! when it went well, 1 when the answer is no (a run that did not succeed, a
//! wall that is missing), 2 when nothing could be answered.

mod arguments;
mod client;
mod command_line;
mod commands;
mod connector;
mod error;
mod files;
mod home;
mod interrupt;
mod keep;
mod list;
mod log;
mod login;
mod show;
mod source;
mod times;
mod ui;
mod upload;
mod versions;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{command_line::CommandLine, error::Outcome, ui::Ui};

fn main() -> ExitCode {
    strongroom_server::become_warden_if_asked();
    let line = CommandLine::parse();
    let mut ui = Ui::of_terminal(line.json);
    let ended = commands::run(&mut ui, line.command).and_then(|outcome| {
        ui.flush()?;
        Ok(outcome)
    });
    match ended {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(error) => error.tell(&mut ui),
    }
}
