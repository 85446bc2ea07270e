//! `strongroom doctor`: whether this host can keep every promise.

use strongroom_core::text::line_shown;
use strongroom_server::{BackendKind, Config, api::Wall};

use crate::{
    error::{CliError, Outcome},
    home::HomeArgs,
    log,
    ui::Ui,
};

/// Try whether this host can keep every promise
///
/// Each wall around a guest is tried, here and now, as the user who asks. What does not stand is
/// told with the command that mends it; rows in small letters are advice. The exit code is 0 when
/// everything stands that runs need, 1 when something of it is missing, 2 when nothing could be
/// tried.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    home: HomeArgs,
    /// Try this backend: `local` or `docker` [default: as configured]
    #[arg(long, value_name = "BACKEND")]
    backend: Option<BackendKind>,
}

pub fn run(ui: &mut Ui, args: DoctorArgs) -> Result<Outcome, CliError> {
    log::start("error");
    let mut config = Config::load(args.home.path()?, None)?;
    if let Some(backend) = args.backend {
        config.backend = backend;
    }
    let walls = strongroom_server::doctor(&config);
    let missing = |wall: &&Wall| !wall.enforced;
    let refused = walls.iter().filter(missing).any(|wall| wall.required);
    let missing = walls.iter().filter(missing).count();
    let outcome = Outcome::of(!refused);
    if ui.json {
        ui.print_json(&walls)?;
        return Ok(outcome);
    }
    let width = walls
        .iter()
        .map(|wall| wall.name.chars().count())
        .max()
        .unwrap_or(0);
    for wall in &walls {
        let state = match (wall.enforced, wall.required) {
            (true, true) => "enforced",
            (true, false) => "good    ",
            (false, true) => "MISSING ",
            (false, false) => "advice  ",
        };
        let found = line_shown(&wall.found);
        writeln!(ui.out, "{state}  {:width$}  {found}", wall.name)?;
        if let Some(fix) = wall.fix.as_ref().filter(|_| !wall.enforced) {
            writeln!(ui.out, "          {:width$}  fix: {}", "", line_shown(fix))?;
        }
    }
    if missing == 0 {
        ui.say(format_args!(
            "All {} rows are as they should be.",
            walls.len()
        ))?;
    } else {
        ui.say(format_args!(
            "{missing} of {} rows could be better.",
            walls.len()
        ))?;
    }
    if refused {
        ui.say("Runs are refused here until every row marked MISSING is mended.")?;
    }
    Ok(outcome)
}
