//! `strongroom secret`: what stages may be told that nobody else is.
//!
//! A secret is read from standard input and never from the command line, where
//! every user of the host could read it.

use std::io::{self, IsTerminal as _, Read as _};

use strongroom_core::secret::{SecretName, VALUE_LEN_MAX};
use strongroom_server::api::{NewSecret, Page, Secret};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    show,
    ui::Ui,
};

#[derive(Debug, clap::Subcommand)]
pub enum SecretCommand {
    /// Set a secret to what stands on standard input
    ///
    /// One line break at its end is not part of it. It is kept encrypted, is never shown again,
    /// and reaches only the stages of your runs that name it.
    Set {
        /// Its name, by which functions ask for it
        name: SecretName,
    },
    /// List your secrets by name
    List,
    /// Remove a secret
    Remove {
        /// Its name, as listed by `strongroom secret list`
        name: SecretName,
    },
}

pub fn run(ui: &mut Ui, client: &Client, command: SecretCommand) -> Result<Outcome, CliError> {
    match command {
        SecretCommand::Set { name } => set(ui, client, &name)?,
        SecretCommand::List => list(ui, client)?,
        SecretCommand::Remove { name } => {
            client.delete(&format!("/v1/secrets/{name}"))?;
            ui.say(format_args!("Removed {name}."))?;
        }
    }
    Ok(Outcome::Yes)
}

fn set(ui: &mut Ui, client: &Client, name: &SecretName) -> Result<(), CliError> {
    let input = io::stdin();
    if input.is_terminal() {
        ui.say(format_args!(
            "Type the secret {name}, and end it with Ctrl-D:"
        ))?;
    }
    let mut value = String::new();
    let mut bounded = input.take(VALUE_LEN_MAX as u64 + 3);
    bounded.read_to_string(&mut value).map_err(|error| {
        CliError::wrong_use(format!(
            "could not read the secret from standard input: {error}"
        ))
    })?;
    let value = value.strip_suffix('\n').unwrap_or(&value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() || VALUE_LEN_MAX < value.len() {
        let message = format!("a secret on standard input has 1 to {VALUE_LEN_MAX} bytes");
        return Err(CliError::wrong_use(message));
    }
    let new = NewSecret {
        value: value.to_owned(),
    };
    let secret: Secret = client.put(&format!("/v1/secrets/{name}"), &new)?;
    match ui.json {
        true => ui.print_json(&secret),
        false => ui.say(format_args!("Set {name}.")),
    }
}

fn list(ui: &mut Ui, client: &Client) -> Result<(), CliError> {
    let page: Page<Secret> = client.get("/v1/secrets", &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |secret: &Secret| vec![secret.name.to_string(), show::time(secret.at_ms)];
    let rows: Vec<_> = page.items.iter().map(row).collect();
    Ok(write!(
        ui.out,
        "{}",
        show::table(&["SECRET", "SET"], &rows)
    )?)
}
