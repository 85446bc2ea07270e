//! `strongroom logs`: what a guest wrote.

use strongroom_core::{id::RunId, run::Stream, text::line_shown};
use strongroom_server::api::{LogLine, Page};

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
}

pub fn run(ui: &mut Ui, client: &Client, args: LogsArgs) -> Result<Outcome, CliError> {
    if args.follow {
        let follow = Follow {
            run: &args.run,
            deadline: None,
        };
        follow.tell(client, |news| match news {
            News::Log(line) => {
                tell(ui, &line)?;
                ui.flush()
            }
            News::State(_) => Ok(()),
        })?;
    } else {
        so_far(ui, client, &args.run)?;
    }
    Ok(Outcome::Yes)
}

fn so_far(ui: &mut Ui, client: &Client, run: &RunId) -> Result<(), CliError> {
    let mut after = 0;
    loop {
        let query = [
            ("after", after.to_string()),
            ("limit", LINES_MAX.to_string()),
        ];
        let page: Page<LogLine> = client.get(&format!("/v1/runs/{run}/log"), &query)?;
        for line in &page.items {
            tell(ui, line)?;
        }
        match page.items.last() {
            // What is still being written is not waited for.
            Some(last) if page.next.is_some() => after = last.seq,
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
    }
}
