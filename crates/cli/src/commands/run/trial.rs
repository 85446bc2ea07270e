//! A run without a station: the developer's trial run.

use serde_json::json;
use strongroom_core::{
    network::{Answers, made::Outcome as Became},
    run::Stream,
    step::StepEvent,
    text::line_shown,
};
use strongroom_server::{
    Config, image,
    trial::{self, Trial, TrialEnded},
};

use super::{RunArgs, ending::Ending, guest_line, shell, steps, watch};
use crate::{
    arguments,
    error::{CliError, Outcome},
    home::HomeArgs,
    log,
    ui::Ui,
};

pub fn run(ui: &mut Ui, args: RunArgs) -> Result<Outcome, CliError> {
    if args.detach || args.wait.is_some() || args.idempotency_key.is_some() {
        let message = "a local function runs here and now";
        let hint = "`--detach`, `--wait` and `--idempotency-key` are for functions of a station";
        return Err(CliError::wrong_use_with_hint(message, hint));
    }
    if args.flow.lend_secrets {
        let message = "a local function is told no secrets";
        let hint = "`--lend-secrets` is for functions of a station";
        return Err(CliError::wrong_use_with_hint(message, hint));
    }
    log::start("error");
    // The same jail as the station of this user would have.
    let home = HomeArgs::default().path()?;
    let runtimes = Some(home.join("runtimes"));
    let recorded = Some(home.join("trials"));
    let answers = args.flow.answers();
    let images = Some(image::Images::folder_of(&home));
    let config = Config::load(home, None)?;
    let expose = args.flow.expose();
    let is_timed = args.limit.iter().any(|limit| limit.starts_with("time="));
    let time = (args.shell && !is_timed).then(|| shell::TIME.to_owned());
    let limits: Vec<String> = args.limit.into_iter().chain(time).collect();
    let trial = Trial {
        packages: Some(config.clone()),
        expose,
        function: args.function.into(),
        on: args.on,
        args: arguments::arguments(args.args_json.as_deref(), &args.arg)?,
        limits: arguments::limits(&limits)?,
        entry: args.entry,
        out: args.out,
        runtimes,
        answers,
        recorded,
        gateway: config.gateway,
        images,
        runtime_folder: args.runtime_folder,
        config: arguments::config(&args.config)?,
        events: args.events,
        backend: args.backend.unwrap_or(config.backend),
        engine: config.engine,
        jail: config.jail,
        terminal: None,
    };
    match (args.shell, args.watch) {
        (true, _) => shell::run(ui, trial),
        (false, true) => watch::run(ui, &trial),
        (false, false) => once(ui, &trial),
    }
}

/// Tries it, and tells how it ended.
pub(super) fn once(ui: &mut Ui, trial: &Trial) -> Result<Outcome, CliError> {
    let mut is_silent = true;
    // A guest that is not listened to runs all the same.
    let ended = trial::run(trial, |stream, line| {
        is_silent = false;
        drop(heard(ui, trial, stream, line));
    })?;
    if ui.json {
        ui.print_json(&as_json(&ended))?;
    } else {
        let ending = Ending {
            reason: &ended.reason,
            usage: Some(&ended.usage),
            enforced: Some(&ended.enforced),
            value: ended.value.as_ref(),
            files: &ended.files,
            stage: ended.stage,
            is_withheld: false,
        };
        tell_network(ui, trial, &ended)?;
        ending.tell(ui, trial.out.as_deref())?;
        // What a station calls by the same digest is the same.
        let runtime = &ended.plan.runtime;
        ui.say(format_args!("  on {} {}", runtime.name, runtime.digest))?;
        if !ended.files.is_empty() && trial.out.is_none() {
            ui.say("`--out DIR` keeps the files")?;
        }
        if is_silent && did_nothing(&ended) {
            ui.say(
                "hint: it said nothing, wrote nothing and returned nothing; what is called is \
                 `transform(data, ctx)`, or `handle(event, context)` in a handler",
            )?;
        }
    }
    Ok(Outcome::of(ended.reason.is_success()))
}

/// Whether a function whose runtime calls it by name has left nothing at all: one
/// that is misspelt is a script that does nothing, and succeeds.
fn did_nothing(ended: &TrialEnded) -> bool {
    let is_called = ["python3", "python3-data", "node", "starlark"];
    ended.reason.is_success()
        && ended.value.is_none()
        && ended.files.is_empty()
        && is_called.contains(&ended.plan.runtime.name.as_str())
}

fn heard(ui: &mut Ui, trial: &Trial, stream: Stream, line: &str) -> Result<(), CliError> {
    if stream != Stream::Event {
        return ui.say(guest_line(line));
    }
    let event = StepEvent::of_text(line).filter(|_| trial.events);
    let line = event.as_ref().and_then(steps::beside_lines);
    line.map_or(Ok(()), |line| ui.say(line))
}

/// What did not come through, and how it is had again.
fn tell_network(ui: &mut Ui, trial: &Trial, ended: &TrialEnded) -> Result<(), CliError> {
    for made in &ended.requests {
        let why = match &made.outcome {
            Became::Refused { why, .. } => format!("refused: {why}"),
            Became::Failed { why, .. } => format!("failed: {why}"),
            Became::Begun | Became::Answered | Became::Replayed => continue,
        };
        let (method, url) = (line_shown(&made.method), line_shown(&made.url));
        ui.say(format_args!("  {method} {url} was {}", line_shown(&why)))?;
    }
    match trial.answers {
        Answers::Record if !ended.requests.is_empty() => {
            let run = &ended.run;
            ui.say(format_args!("  `--replay {run}` gives the answers again"))
        }
        _ => Ok(()),
    }
}

/// As a station would tell it, without what only a station has.
fn as_json(ended: &TrialEnded) -> serde_json::Value {
    json!({
        "id": ended.run,
        "plan": ended.plan.digest(),
        "runtime": ended.plan.runtime,
        "state": "ended",
        "reason": ended.reason,
        "usage": ended.usage,
        "value": ended.value,
        "files": ended.files,
        "enforced": ended.enforced,
        "requests": ended.requests,
    })
}
