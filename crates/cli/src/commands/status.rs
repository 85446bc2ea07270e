//! `strongroom status`: where one run stands.

use std::time::{Duration, Instant};

use strongroom_core::{
    id::RunId,
    run::{State, bytes_shown},
};
use strongroom_server::api::{Run, RunStage};

use crate::{
    client::Client,
    commands::runs::standing,
    error::{CliError, Outcome},
    show, times,
    ui::Ui,
};

/// The longest that a station is asked to wait in one request.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Show where a run stands
///
/// The exit code is 1 when the run has ended without success, or when it has not ended within the
/// time that was to be waited.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The run, as listed by `strongroom runs`
    run: RunId,
    /// Wait for its end, at most this long: 30s, 10m
    #[arg(long, value_name = "TIME", value_parser = times::duration)]
    wait: Option<Duration>,
}

pub fn run(ui: &mut Ui, client: &Client, args: StatusArgs) -> Result<Outcome, CliError> {
    let run = waited(client, &args)?;
    if ui.json {
        ui.print_json(&run)?;
    } else {
        write!(ui.out, "{}", shown(&run))?;
    }
    Ok(match &run.reason {
        Some(reason) => Outcome::of(reason.is_success()),
        None => Outcome::of(args.wait.is_none()),
    })
}

fn waited(client: &Client, args: &StatusArgs) -> Result<Run, CliError> {
    let path = format!("/v1/runs/{}", args.run);
    let Some(wait) = args.wait else {
        return Ok(client.get(&path, &[])?);
    };
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = format!("{}ms", left.min(WAIT_MAX).as_millis());
        let run: Run = client.get(&path, &[("wait", wait)])?;
        if run.state == State::Ended || left < WAIT_MAX {
            return Ok(run);
        }
    }
}

fn stage_shown(stage: &RunStage) -> String {
    let state = match &stage.reason {
        Some(reason) => reason.to_string(),
        None => "running".to_owned(),
    };
    let usage = stage.usage.as_ref();
    let usage = usage.map(|usage| format!(": {}", show::usage(usage)));
    let handed = stage.value.as_ref().map(|value| {
        let size = bytes_shown(value.size_bytes);
        format!("; handed on {size}, {}", value.digest)
    });
    let (usage, handed) = (usage.unwrap_or_default(), handed.unwrap_or_default());
    format!("{} {state}{usage}{handed}", stage.stage.as_str())
}

fn shown(run: &Run) -> String {
    let mut rows = vec![("run", run.id.to_string()), ("state", standing(run))];
    rows.extend(
        run.function
            .iter()
            .map(|name| ("function", name.to_string())),
    );
    rows.push(("caller", run.caller.to_string()));
    rows.push(("request", run.request.to_string()));
    rows.push(("plan", run.plan.to_string()));
    rows.push(("asked", show::time(run.at_ms)));
    rows.extend(run.started_ms.map(|at_ms| ("started", show::time(at_ms))));
    rows.extend(run.ended_ms.map(|at_ms| ("ended", show::time(at_ms))));
    rows.extend(run.usage.iter().map(|usage| ("used", show::usage(usage))));
    rows.extend(run.stages.iter().map(|stage| ("stage", stage_shown(stage))));
    if run.withheld {
        rows.push((
            "withheld",
            "an owner of the data does not allow it any more".to_owned(),
        ));
    }
    if !run.files.is_empty() {
        rows.push(("files", show::count(run.files.len() as u64, "file")));
    }
    if let Some(enforced) = &run.enforced {
        let walls = show::count(enforced.walls.len() as u64, "wall");
        rows.push((
            "sandbox",
            format!("{}, {walls}", show::cell(&enforced.tier)),
        ));
    }
    rows.iter()
        .map(|(name, value)| format!("{name:8}  {value}\n"))
        .collect()
}
