//! `strongroom login`: remembers a station and a token for it.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    path::Path,
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use strongroom_server::{TOKEN_FILE_NAME, api::Me};

use crate::{
    client::{Client, is_loopback},
    error::{CliError, Outcome},
    home::HomeArgs,
    login::{Login, URL_DEFAULT, checked_token, checked_url},
    ui::Ui,
};

/// The longest line that may hold a token.
const LINE_BYTES_MAX: u64 = 4096;

/// Remember a station and a token for it
///
/// The token is the one that is given; or, for a station on this machine that is not named or
/// whose folder is given with `--home`, the first admin's, which lies in that folder; or else the
/// line that is typed, or read from stdin. It is tried before it is stored, in `login.toml` in
/// the XDG configuration directory, which only you can read.
#[derive(Debug, clap::Args)]
pub struct LoginArgs {
    /// The station's address [default: http://127.0.0.1:7878]
    #[arg(env = "STRONGROOM_URL")]
    url: Option<String>,
    /// The token; `-` reads it from stdin
    #[arg(
        long,
        env = "STRONGROOM_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    #[command(flatten)]
    home: HomeArgs,
}

pub fn run(ui: &mut Ui, args: LoginArgs) -> Result<Outcome, CliError> {
    let url = checked_url(args.url.as_deref().unwrap_or(URL_DEFAULT))?;
    let token = match args.token.as_deref() {
        Some("-") => typed(ui)?,
        Some(token) => token.to_owned(),
        None => match admin_token(&url, &args)? {
            Some(token) => token,
            None => typed(ui)?,
        },
    };
    let login = Login {
        url,
        token: checked_token(&token)?,
    };
    if login.url.starts_with("http:") && !is_loopback(&login.url) {
        ui.say("warning: without https, the token and all data can be read on the way")?;
    }
    let me: Me = Client::new(login.clone()).get("/v1/me", &[])?;
    let path = login.store()?;
    if ui.json {
        ui.print_json(&me)?;
        return Ok(Outcome::Yes);
    }
    ui.say(format_args!(
        "Logged in to {} as {} (kept in {}).",
        login.url,
        me.user,
        path.display()
    ))?;
    Ok(Outcome::Yes)
}

/// The first admin's token, where the station's folder is at hand and meant.
///
/// An address that somebody named alone may be anyone's, so it does not get
/// the token of the station in the default folder.
fn admin_token(url: &str, args: &LoginArgs) -> Result<Option<String>, CliError> {
    let meant = args.home.is_written() || args.url.is_none();
    if !meant || !is_loopback(url) {
        return Ok(None);
    }
    Ok(read_token(&args.home.path()?.join(TOKEN_FILE_NAME)))
}

fn read_token(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(LINE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The token as typed, unseen, or as piped.
fn typed(ui: &mut Ui) -> Result<String, CliError> {
    let stdin = io::stdin();
    let hidden = stdin.is_terminal();
    if hidden {
        write!(ui.err, "Token: ")?;
        ui.err.flush()?;
    }
    let before = tcgetattr(&stdin).ok();
    if let Some(mut modes) = before.clone() {
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &modes).map_err(io::Error::from)?;
    }
    let mut line = String::new();
    let read = stdin.lock().take(LINE_BYTES_MAX).read_line(&mut line);
    if let Some(modes) = before {
        tcsetattr(&stdin, OptionalActions::Flush, &modes).map_err(io::Error::from)?;
        ui.say("")?;
    }
    match read {
        Ok(count) if 0 < count => Ok(line),
        _ => Err(CliError::wrong_use_with_hint(
            "there is no token",
            "give one with `--token`, or as a line on stdin",
        )),
    }
}
