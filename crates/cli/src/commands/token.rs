//! `strongroom token`: the secrets that prove who is asking.

use strongroom_core::{id::TokenId, name::Name};
use strongroom_server::api::{NewToken, Page, Token};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    show, times,
    ui::Ui,
};

#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print its secret
    ///
    /// The secret is printed once and kept nowhere.
    Create {
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        label: String,
        /// Whose it is; only an admin may name another
        #[arg(long)]
        user: Option<Name>,
        /// When it ends: 2030-01-31T12:00:00Z, 7d, 12h [default: when it is revoked]
        #[arg(long, value_name = "TIME", value_parser = times::until_from_now)]
        until: Option<i64>,
    },
    /// List your tokens, without their secrets
    List {
        /// Whose; only an admin may name another
        #[arg(long)]
        user: Option<Name>,
    },
    /// Revoke a token, at once
    Revoke {
        /// The token, as listed by `strongroom token list`
        id: TokenId,
    },
}

pub fn run(ui: &mut Ui, client: &Client, command: TokenCommand) -> Result<Outcome, CliError> {
    match command {
        TokenCommand::Create { label, user, until } => {
            create(
                ui,
                client,
                &NewToken {
                    label,
                    user,
                    until_ms: until,
                },
            )?;
        }
        TokenCommand::List { user } => list(ui, client, user)?,
        TokenCommand::Revoke { id } => {
            client.delete(&format!("/v1/tokens/{id}"))?;
            ui.say(format_args!("Revoked {id}."))?;
        }
    }
    Ok(Outcome::Yes)
}

fn create(ui: &mut Ui, client: &Client, new: &NewToken) -> Result<(), CliError> {
    let token: Token = client.post("/v1/tokens", new)?;
    if ui.json {
        return ui.print_json(&token);
    }
    ui.say(format_args!(
        "Made {} for {}. Its secret is not shown again:",
        token.id, token.user
    ))?;
    Ok(writeln!(ui.out, "{}", token.secret.unwrap_or_default())?)
}

fn list(ui: &mut Ui, client: &Client, user: Option<Name>) -> Result<(), CliError> {
    let query: Vec<_> = user.iter().map(|user| ("user", user.to_string())).collect();
    let page: Page<Token> = client.get("/v1/tokens", &query)?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |token: &Token| {
        let ends = match (token.revoked, token.until_ms) {
            (true, _) => "revoked".to_owned(),
            (false, Some(until_ms)) => show::time(until_ms),
            (false, None) => "never".to_owned(),
        };
        let made = show::time(token.at_ms);
        vec![token.id.to_string(), made, ends, show::cell(&token.label)]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    Ok(write!(
        ui.out,
        "{}",
        show::table(&["TOKEN", "MADE", "ENDS", "LABEL"], &rows)
    )?)
}
