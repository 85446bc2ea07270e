//! `strongroom request`: the owner's desk.

mod approve;
mod page;

use strongroom_core::{
    approval::Scope,
    id::RequestId,
    request::{State, Verdict},
    run::{bytes_shown, millis_shown},
};
use strongroom_server::api::{Approval, Rejection, Request};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    list::{ListArgs, say_rest},
    show,
    ui::Ui,
};

#[derive(Debug, clap::Subcommand)]
pub enum RequestCommand {
    List(RequestListArgs),
    /// Show all that one needs to decide
    ///
    /// The source that would run, what changed in it since you last approved this function, what
    /// it would read, with which arguments and limits, and who gets the result.
    Show {
        request: RequestId,
    },
    Approve(approve::ApproveArgs),
    /// Reject requests, which ends them
    Reject {
        /// What is asked, as listed by `strongroom request list`
        #[arg(required = true, value_name = "REQUEST")]
        requests: Vec<RequestId>,
        /// Why, told to the caller
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Take back what you approved, and kill what runs under it
    Revoke {
        /// What is asked, as listed by `strongroom request list`
        #[arg(required = true, value_name = "REQUEST")]
        requests: Vec<RequestId>,
    },
    /// List the approvals you gave, newest first
    Approvals(ListArgs),
}

/// List requests for your data that wait for an answer
#[derive(Debug, clap::Args)]
pub struct RequestListArgs {
    /// Those that you made, instead of those that you are asked
    #[arg(long)]
    mine: bool,
    /// All of them, whatever their state
    #[arg(long, conflicts_with = "state")]
    all: bool,
    /// Those in this state: pending, approved, rejected, revoked, expired, withdrawn
    /// [default: pending]
    #[arg(long)]
    state: Option<State>,
    #[command(flatten)]
    list: ListArgs,
}

pub fn run(ui: &mut Ui, client: &Client, command: RequestCommand) -> Result<Outcome, CliError> {
    match command {
        RequestCommand::List(args) => list(ui, client, &args)?,
        RequestCommand::Show { request } => {
            let request: Request = client.get(&format!("/v1/requests/{request}"), &[])?;
            match ui.json {
                true => ui.print_json(&request)?,
                false => write!(ui.out, "{}", page::shown(&request, ui.ink))?,
            }
        }
        RequestCommand::Approve(args) => approve::run(ui, client, &args)?,
        RequestCommand::Reject { requests, reason } => {
            for id in requests {
                answer(
                    ui,
                    client,
                    &id,
                    "reject",
                    &Rejection {
                        reason: reason.clone(),
                    },
                )?;
            }
        }
        RequestCommand::Revoke { requests } => {
            for id in requests {
                answer(ui, client, &id, "revoke", &serde_json::json!({}))?;
            }
        }
        RequestCommand::Approvals(args) => approvals(ui, client, &args)?,
    }
    Ok(Outcome::Yes)
}

/// Sends one answer, and tells where the request stands then.
fn answer(
    ui: &mut Ui,
    client: &Client,
    id: &RequestId,
    verb: &str,
    body: &impl serde::Serialize,
) -> Result<(), CliError> {
    let request: Request = client.post(&format!("/v1/requests/{id}/{verb}"), body)?;
    if ui.json {
        return ui.print_json(&request);
    }
    let waits = request
        .verdicts
        .iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Pending { .. }));
    let waits: Vec<&str> = waits.map(|(owner, _)| owner.as_str()).collect();
    let rest = match request.state {
        State::Pending => format!("; it still waits for {}", waits.join(" and ")),
        State::Approved => format!("; {} starts by itself", request.run),
        _ => String::new(),
    };
    ui.say(format_args!("{id} is {}{rest}", request.state.as_str()))
}

fn list(ui: &mut Ui, client: &Client, args: &RequestListArgs) -> Result<(), CliError> {
    let mut query = vec![(
        "role",
        if args.mine { "caller" } else { "owner" }.to_owned(),
    )];
    let state = args.state.unwrap_or(State::Pending);
    if !args.all {
        query.push(("state", state.as_str().to_owned()));
    }
    let page = args.list.read::<Request>(client, "/v1/requests", &query)?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |request: &Request| {
        vec![
            request.id.to_string(),
            request.state.as_str().to_owned(),
            show::time(request.at_ms),
            request.caller.to_string(),
            request.function.to_string(),
            datasets(request),
            show::cell(&request.purpose),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let header = [
        "REQUEST", "STATE", "ASKED", "BY", "FUNCTION", "ON", "PURPOSE",
    ];
    write!(ui.out, "{}", show::table(&header, &rows))?;
    say_rest(
        ui,
        &page,
        if args.all {
            "There are no requests."
        } else {
            "Nothing is asked of you."
        },
    )
}

fn datasets(request: &Request) -> String {
    let names: Vec<String> = request
        .inputs
        .iter()
        .map(|(_, input)| input.dataset.to_string())
        .collect();
    names.join(", ")
}

fn approvals(ui: &mut Ui, client: &Client, args: &ListArgs) -> Result<(), CliError> {
    let page = args.read::<Approval>(client, "/v1/approvals", &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |approval: &Approval| {
        let covers = match &approval.scope {
            Scope::Plan { plan } => format!("plan {}", plan.short()),
            Scope::Domain {
                function,
                args_schema,
                ..
            } => {
                let args = show::cell(&show::json_line(args_schema));
                format!("function {} with {args}", function.short())
            }
        };
        let covers = match approval.expose {
            true => format!("{covers}, and `expose`"),
            false => covers,
        };
        let uses = approval
            .uses_left
            .map_or("any".to_owned(), |uses| uses.to_string());
        let ends = match (approval.revoked, approval.until_ms) {
            (true, _) => "revoked".to_owned(),
            (false, Some(until_ms)) => show::time(until_ms),
            (false, None) => "never".to_owned(),
        };
        let most = &approval.limits_max;
        let most = [millis_shown(most.time_ms), bytes_shown(most.memory_bytes)].join(", ");
        let (request, caller) = (approval.request.to_string(), approval.caller.to_string());
        vec![request, caller, uses, ends, most, covers]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let header = ["REQUEST", "FOR", "USES LEFT", "ENDS", "AT MOST", "COVERS"];
    write!(ui.out, "{}", show::table(&header, &rows))?;
    say_rest(ui, &page, "You have approved nothing.")
}
