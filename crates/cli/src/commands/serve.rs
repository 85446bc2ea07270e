//! `strongroom serve`: a station, until it is told to end.

use std::{net::SocketAddr, path::PathBuf};

use strongroom_core::text::line_shown;
use strongroom_server::{BackendKind, Config, Ready, config};

use crate::{
    error::{CliError, Outcome},
    home::HomeArgs,
    log,
    login::URL_DEFAULT,
    ui::Ui,
};

/// Run a station
///
/// Everything is kept in one folder. The first start makes the user `admin` and writes a token to
/// the file `admin.token` there; `strongroom login` on the same machine finds it. Ctrl-C ends the
/// station: what is running is killed and says so, what is queued goes on at the next start.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    home: HomeArgs,
    /// Where to listen [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// `sqlite`, or a `postgres://` address [default: sqlite]
    #[arg(
        long,
        env = "STRONGROOM_DATABASE",
        value_name = "DATABASE",
        hide_env_values = true
    )]
    database: Option<String>,
    /// Where runs happen: `local`, the jail of this host, or `docker`, containers of a Docker Engine
    /// [default: local]
    #[arg(long, value_name = "BACKEND")]
    backend: Option<BackendKind>,
    /// Read this file instead of `config.toml` in the station's folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(ui: &mut Ui, args: ServeArgs) -> Result<Outcome, CliError> {
    log::start("info");
    let mut config = Config::load(args.home.path()?, args.config)?;
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(raw) = args.database {
        config.database = config::database(&raw);
    }
    if let Some(backend) = args.backend {
        config.backend = backend;
    }
    let default_home = args.home.is_default();
    // Nobody may be listening to what it says, and it serves all the same.
    strongroom_server::serve(config, |ready| drop(announce(ui, &ready, default_home)))?;
    Ok(Outcome::Yes)
}

fn announce(ui: &mut Ui, ready: &Ready, default_home: bool) -> Result<(), CliError> {
    let url = format!("http://{}", ready.address);
    if ui.json {
        let token_path = ready.token_path.display().to_string();
        ui.print_json_line(&serde_json::json!({
            "url": url, "tier": ready.tier, "first_start": ready.first_start, "token_path": token_path,
        }))?;
        return ui.flush();
    }
    writeln!(ui.out, "Listening on {url}")?;
    match ready.tier.as_str() {
        "full" => {}
        "none" => writeln!(
            ui.out,
            "Runs are refused: `strongroom doctor` says what is missing"
        )?,
        tier => writeln!(
            ui.out,
            "Guests are held by the tier {tier}, which is weaker than full"
        )?,
    }
    if ready.first_start {
        let mut login = "strongroom login".to_owned();
        if url != URL_DEFAULT || !default_home {
            let home = ready.token_path.parent().unwrap_or(&ready.token_path);
            login = format!(
                "{login} {url} --home {}",
                line_shown(&home.display().to_string())
            );
        }
        writeln!(ui.out, "First start: log in as admin with `{login}`")?;
    }
    ui.flush()
}
