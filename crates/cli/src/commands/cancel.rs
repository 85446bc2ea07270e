//! `strongroom cancel`: ends a run, whatever its state.

use strongroom_core::id::RunId;
use strongroom_server::api::Run;

use crate::{
    client::Client,
    error::{CliError, Outcome},
    ui::Ui,
};

/// Cancel a run, whatever its state
///
/// What waits never starts; what runs is killed. What has ended stays as it ended.
#[derive(Debug, clap::Args)]
pub struct CancelArgs {
    /// The run, as listed by `strongroom runs`
    run: RunId,
}

pub fn run(ui: &mut Ui, client: &Client, args: CancelArgs) -> Result<Outcome, CliError> {
    let path = format!("/v1/runs/{}/cancel", args.run);
    let run: Run = client.post(&path, &serde_json::json!({}))?;
    if ui.json {
        ui.print_json(&run)?;
    } else {
        match &run.reason {
            Some(reason) => ui.say(format_args!("{}: {reason}", run.id))?,
            None => ui.say(format_args!("{} is being killed", run.id))?,
        }
    }
    Ok(Outcome::Yes)
}
