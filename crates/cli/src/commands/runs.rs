//! `strongroom runs`: what you asked for, newest first.

use strongroom_core::{run::State, text::shown};
use strongroom_server::api::Run;

use crate::{
    client::Client,
    error::{CliError, Outcome},
    list::{ListArgs, say_rest},
    show,
    ui::Ui,
};

/// List your runs, newest first
#[derive(Debug, clap::Args)]
pub struct RunsArgs {
    /// Only runs in this state: waiting, queued, starting, running, ended
    #[arg(long)]
    state: Option<State>,
    #[command(flatten)]
    list: ListArgs,
}

pub fn run(ui: &mut Ui, client: &Client, args: RunsArgs) -> Result<Outcome, CliError> {
    let query: Vec<_> = args
        .state
        .iter()
        .map(|state| ("state", state.as_str().to_owned()))
        .collect();
    let page = args.list.read::<Run>(client, "/v1/runs", &query)?;
    if ui.json {
        ui.print_json(&page)?;
        return Ok(Outcome::Yes);
    }
    let rows: Vec<_> = page.items.iter().map(row).collect();
    write!(
        ui.out,
        "{}",
        show::table(&["RUN", "FUNCTION", "ASKED", "STATE"], &rows)
    )?;
    say_rest(ui, &page, "You have no runs.")?;
    Ok(Outcome::Yes)
}

fn row(run: &Run) -> Vec<String> {
    let function = run.function.as_ref();
    let function = function.map_or("(script)".to_owned(), |name| name.to_string());
    vec![
        run.id.to_string(),
        function,
        show::time(run.at_ms),
        shown(&standing(run), 100),
    ]
}

/// Where a run stands, and why.
pub fn standing(run: &Run) -> String {
    match &run.reason {
        Some(reason) => reason.to_string(),
        None if run.waits_for.is_empty() => run.state.as_str().to_owned(),
        None => {
            let owners: Vec<&str> = run.waits_for.iter().map(|owner| owner.as_str()).collect();
            format!("waits for {}", owners.join(" and "))
        }
    }
}
