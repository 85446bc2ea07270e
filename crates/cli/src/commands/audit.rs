//! `strongroom audit`: who did what, and when.

use strongroom_server::api::{Audited, Page};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    list::say_rest,
    show,
    ui::Ui,
};

/// Read the audit record
///
/// You see what was done by you and to what is yours; an admin sees all of it. Each entry carries
/// a digest over itself and the one before, so that a later change would show.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// Begin after the entry with this number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: i64,
    /// Show at most this many, up to 1000
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: u32,
}

pub fn run(ui: &mut Ui, client: &Client, args: AuditArgs) -> Result<Outcome, CliError> {
    let query = [
        ("after", args.after.to_string()),
        ("limit", args.limit.to_string()),
    ];
    let page: Page<Audited> = client.get("/v1/audit", &query)?;
    if ui.json {
        ui.print_json(&page)?;
        return Ok(Outcome::Yes);
    }
    let rows: Vec<_> = page.items.iter().map(row).collect();
    write!(
        ui.out,
        "{}",
        show::table(&["SEQ", "AT", "WHO", "DID", "TO", "DETAIL"], &rows)
    )?;
    say_rest(ui, &page, "There are no entries.")?;
    Ok(Outcome::Yes)
}

fn row(entry: &Audited) -> Vec<String> {
    let event = &entry.event;
    let detail = match &event.detail {
        serde_json::Value::Null => String::new(),
        detail => show::cell(&show::json_line(detail)),
    };
    vec![
        event.seq.to_string(),
        show::time(event.at_ms),
        show::cell(&event.actor),
        show::cell(&event.action),
        show::cell(&event.subject),
        detail,
    ]
}
