//! `strongroom logs`: what a guest wrote.

use serde::de::DeserializeOwned;
use strongroom_core::{id::RunId, run::Stream, text::line_shown};
use strongroom_server::api::{LogLine, Page, RunStep};

use super::run::steps;
use crate::{
    client::{
        Client,
        events::{Follow, News},
    },
    error::{CliError, Outcome},
    ui::Ui,
};

/// Lines that are read at once.
const LINES_MAX: usize = 1000;

/// Show what a run's guest wrote
///
/// Its stdout goes to stdout and its stderr to stderr. With `--json` each line is one JSON
/// document on stdout.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// The run, as listed by `strongroom runs`
    run: RunId,
    /// Go on until the run has ended
    #[arg(long, short)]
    follow: bool,
    /// Show what it told of its steps, in place of its lines
    #[arg(long)]
    events: bool,
}

pub fn run(ui: &mut Ui, client: &Client, args: LogsArgs) -> Result<Outcome, CliError> {
    if args.follow {
        let follow = Follow {
            run: &args.run,
            deadline: None,
        };
        follow.tell(client, |news| {
            match news {
                News::Log(line) if !args.events => tell(ui, &line)?,
                News::Step(step) if args.events => tell_step(ui, &step)?,
                News::Log(_) | News::Step(_) | News::State(_) => return Ok(()),
            }
            ui.flush()
        })?;
    } else if args.events {
        so_far(ui, client, &args.run, "steps", tell_step, |step| step.seq)?;
    } else {
        so_far(ui, client, &args.run, "log", tell, |line| line.seq)?;
    }
    Ok(Outcome::Yes)
}

fn so_far<T: DeserializeOwned>(
    ui: &mut Ui,
    client: &Client,
    run: &RunId,
    part: &str,
    tell: impl Fn(&mut Ui, &T) -> Result<(), CliError>,
    seq: impl Fn(&T) -> i64,
) -> Result<(), CliError> {
    let mut after = 0;
    loop {
        let query = [
            ("after", after.to_string()),
            ("limit", LINES_MAX.to_string()),
        ];
        let page: Page<T> = client.get(&format!("/v1/runs/{run}/{part}"), &query)?;
        for item in &page.items {
            tell(ui, item)?;
        }
        match page.items.last() {
            // What is still being written is not waited for.
            Some(last) if page.next.is_some() => after = seq(last),
            _ => return Ok(()),
        }
    }
}

fn tell(ui: &mut Ui, line: &LogLine) -> Result<(), CliError> {
    if ui.json {
        return ui.print_json_line(line);
    }
    let text = line_shown(&line.text);
    match line.stream {
        Stream::Stdout => Ok(writeln!(ui.out, "{text}")?),
        Stream::Stderr => {
            // In the order in which they came, where both end in one place.
            ui.flush()?;
            ui.say(text)
        }
        // Those are told as steps.
        Stream::Event => Ok(()),
    }
}

fn tell_step(ui: &mut Ui, step: &RunStep) -> Result<(), CliError> {
    match ui.json {
        true => ui.print_json_line(step),
        false => Ok(writeln!(ui.out, "{}", steps::shown(&step.event))?),
    }
}
