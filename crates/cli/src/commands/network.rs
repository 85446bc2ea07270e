//! `strongroom network`: what a run asked of the world, and what became of it.

use strongroom_core::{
    id::RunId,
    network::made::{Outcome as Became, RequestMade},
    text::shown,
};
use strongroom_server::api::Page;

use crate::{
    client::Client,
    error::{CliError, Outcome},
    show,
    ui::Ui,
};

/// The longest explanation that is shown, in characters.
const WHY_CHARS_MAX: usize = 200;

/// Show what a run asked of the network
///
/// Each request, with its answer's status and size, or why it was refused. The station saw them
/// itself; nothing of this is the guest's word.
#[derive(Debug, clap::Args)]
pub struct NetworkArgs {
    /// The run, as listed by `strongroom runs`
    run: RunId,
}

pub fn run(ui: &mut Ui, client: &Client, args: &NetworkArgs) -> Result<Outcome, CliError> {
    let path = format!("/v1/runs/{}/requests-made", args.run);
    let page: Page<RequestMade> = client.get(&path, &[])?;
    if ui.json {
        ui.print_json(&page)?;
    } else {
        let rows: Vec<_> = page.items.iter().map(row).collect();
        let head = ["#", "METHOD", "STATUS", "BYTES", "MS", "URL", "OUTCOME"];
        write!(ui.out, "{}", show::table(&head, &rows))?;
    }
    Ok(Outcome::Yes)
}

fn row(made: &RequestMade) -> Vec<String> {
    let status = made
        .status
        .map_or_else(String::new, |status| status.to_string());
    let outcome = match &made.outcome {
        Became::Begun => "begun; what became of it is not known".to_owned(),
        Became::Answered => "answered".to_owned(),
        Became::Replayed => "replayed".to_owned(),
        Became::Refused { why, .. } => format!("refused: {}", shown(why, WHY_CHARS_MAX)),
        Became::Failed { why, .. } => format!("failed: {}", shown(why, WHY_CHARS_MAX)),
    };
    vec![
        made.number.to_string(),
        show::cell(&made.method),
        status,
        made.received_bytes.to_string(),
        made.duration_ms.to_string(),
        show::cell(&made.url),
        outcome,
    ]
}
