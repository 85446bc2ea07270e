//! `strongroom user`: who may use the station; for an admin.

use strongroom_core::name::Name;
use strongroom_server::api::{NewToken, NewUser, Token, User};

use crate::{
    client::{Client, ClientError},
    error::{CliError, Outcome},
    list::{ListArgs, say_rest},
    show,
    ui::Ui,
};

#[derive(Debug, clap::Subcommand)]
pub enum UserCommand {
    /// Add a user, and print a first token for them
    ///
    /// The token is printed once and kept nowhere; hand it over, and let them `strongroom login`
    /// with it.
    Add {
        /// 1 to 63 of a-z, 0-9 and `-`, starting with a letter
        name: Name,
        /// May add users and read the whole audit record
        #[arg(long)]
        admin: bool,
    },
    /// List the users
    List(ListArgs),
}

pub fn run(ui: &mut Ui, client: &Client, command: UserCommand) -> Result<Outcome, CliError> {
    match command {
        UserCommand::Add { name, admin } => add(ui, client, name, admin)?,
        UserCommand::List(list) => users(ui, client, &list)?,
    }
    Ok(Outcome::Yes)
}

fn add(ui: &mut Ui, client: &Client, name: Name, admin: bool) -> Result<(), CliError> {
    let user: User = client.post(
        "/v1/users",
        &NewUser {
            name: name.clone(),
            admin,
        },
    )?;
    let label = "first token".to_owned();
    let new = NewToken {
        label,
        user: Some(name.clone()),
        until_ms: None,
    };
    let token: Token = client
        .post("/v1/tokens", &new)
        .map_err(|error| no_token(&name, error))?;
    if ui.json {
        return ui.print_json(&serde_json::json!({ "user": user, "token": token }));
    }
    ui.say(format_args!(
        "Added {name}. This first token is not shown again:"
    ))?;
    Ok(writeln!(ui.out, "{}", token.secret.unwrap_or_default())?)
}

fn no_token(name: &Name, error: ClientError) -> CliError {
    let hint = format!("`strongroom token create --user {name}` makes a token");
    CliError::wrong_use_with_hint(format!("{name} was added, without a token: {error}"), hint)
}

fn users(ui: &mut Ui, client: &Client, list: &ListArgs) -> Result<(), CliError> {
    let page = list.read::<User>(client, "/v1/users", &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |user: &User| {
        let admin = if user.admin { "admin" } else { "" };
        vec![
            user.name.to_string(),
            show::time(user.at_ms),
            admin.to_owned(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    write!(ui.out, "{}", show::table(&["NAME", "SINCE", ""], &rows))?;
    say_rest(ui, &page, "There are no users.")
}
