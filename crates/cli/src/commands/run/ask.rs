//! A run on a station: asked for, waited for, followed to its end.

use std::time::Instant;

use strongroom_core::{
    name::{Reference, ReferenceError},
    plan::Inputs,
    run::State,
    text::shown,
};
use strongroom_server::api::{NewRun, Run};

use super::{RunArgs, ending::Ending, guest_line, steps};
use crate::{
    arguments,
    client::{
        Client,
        events::{Follow, News},
    },
    commands::output,
    error::{CliError, Outcome},
    interrupt::on_interrupt,
    keep::Existing,
    ui::Ui,
};

pub fn run(ui: &mut Ui, args: RunArgs) -> Result<Outcome, CliError> {
    let new = asked(&args)?;
    let client = Client::logged_in()?;
    let run: Run = client.post_once("/v1/runs", args.idempotency_key.as_deref(), &new)?;
    if args.detach {
        return detached(ui, &run);
    }
    let (canceller, path) = (client.clone(), format!("/v1/runs/{}/cancel", run.id));
    on_interrupt(move || {
        // If this fails the run goes on, and the second Ctrl-C leaves it.
        let _ = canceller.post_quietly(&path, &serde_json::json!({}));
    });
    let deadline = args.wait.map(|wait| Instant::now() + wait);
    let Some(ended) = followed(ui, &client, (&run, args.events), deadline)? else {
        return not_yet(ui, &client, &run);
    };
    if let Some(out) = &args.out {
        output::keep_files(&client, &ended, out, Existing::IsReplaced)?;
    }
    if ui.json {
        ui.print_json(&ended)?;
    } else {
        let ending = Ending::of(&ended);
        ending.tell(ui, args.out.as_deref())?;
        if !ended.files.is_empty() && args.out.is_none() {
            ui.say(format_args!(
                "`strongroom output {} --out DIR` fetches the files",
                ended.id
            ))?;
        }
    }
    Ok(Outcome::of(
        ended.reason.is_some_and(|reason| reason.is_success()),
    ))
}

/// Follows a run to its end, with its steps if those are wanted; `None` when
/// the deadline comes first.
pub fn followed(
    ui: &mut Ui,
    client: &Client,
    (run, events): (&Run, bool),
    deadline: Option<Instant>,
) -> Result<Option<Run>, CliError> {
    let follow = Follow {
        run: &run.id,
        deadline,
    };
    let mut told = Told {
        run,
        events,
        state: None,
    };
    let ended = match follow.tell(client, |news| told.tell(ui, news)) {
        Ok(Some(ended)) => ended,
        Ok(None) => return Ok(None),
        Err(CliError::Client(lost)) if lost.is_lost() => {
            ui.say(format_args!("{} was accepted and is not lost", run.id))?;
            return Err(lost.into());
        }
        Err(other) => return Err(other),
    };
    if ended.started_ms.is_some() {
        told.tell_approved(ui)?;
    }
    Ok(Some(ended))
}

fn asked(args: &RunArgs) -> Result<NewRun, CliError> {
    let function: Reference = args.function.parse().map_err(|error: ReferenceError| {
        CliError::wrong_use_with_hint(
            format!("function `{}`: {error}", shown(&args.function, 80)),
            "a function of a station is OWNER/NAME; a local one is a path such as ./f.py",
        )
    })?;
    // The station takes the texts; reading them here tells mistakes at once.
    Inputs::parse(args.on.iter().map(String::as_str)).map_err(|error| {
        let hint = "a function of a station runs on datasets of the station, OWNER/NAME";
        CliError::wrong_use_with_hint(format!("--on: {error}"), hint)
    })?;
    Ok(NewRun {
        function,
        on: args.on.clone(),
        args: arguments::arguments(args.args_json.as_deref(), &args.arg)?,
        limits: arguments::limits(&args.limit)?,
        purpose: args.purpose.clone(),
        expose: args.flow.expose(),
        config: arguments::config(&args.config)?,
        answers: args.flow.answers(),
        lend_secrets: args.flow.lend_secrets,
    })
}

fn detached(ui: &mut Ui, run: &Run) -> Result<Outcome, CliError> {
    if ui.json {
        ui.print_json(run)?;
        return Ok(Outcome::Yes);
    }
    if run.state == State::Waiting {
        ui.say(waits(run, &run.waits_for))?;
    }
    writeln!(ui.out, "{}", run.id)?;
    Ok(Outcome::Yes)
}

fn not_yet(ui: &mut Ui, client: &Client, run: &Run) -> Result<Outcome, CliError> {
    let id = &run.id;
    ui.say(format_args!(
        "{id} has not ended; `strongroom status {id} --wait 10m` waits on"
    ))?;
    if ui.json {
        let now: Run = client.get(&format!("/v1/runs/{id}"), &[])?;
        ui.print_json(&now)?;
    }
    Ok(Outcome::No)
}

/// Whom it waits for.
pub fn waits(run: &Run, owners: &[strongroom_core::name::Name]) -> String {
    let owners: Vec<&str> = owners.iter().map(|owner| owner.as_str()).collect();
    let owners = owners.join(" and ");
    format!(
        "{} waits for {owners} ({}); once approved it starts by itself",
        run.id, run.request
    )
}

/// What the person has been told so far.
struct Told<'a> {
    run: &'a Run,
    /// Whether steps are told.
    events: bool,
    state: Option<State>,
}

impl Told<'_> {
    fn tell(&mut self, ui: &mut Ui, news: News) -> Result<(), CliError> {
        let news = match news {
            News::Log(line) => {
                self.tell_approved(ui)?;
                return ui.say(guest_line(&line.text));
            }
            News::Step(step) => {
                self.tell_approved(ui)?;
                let line = steps::beside_lines(&step.event).filter(|_| self.events);
                return line.map_or(Ok(()), |line| ui.say(line));
            }
            News::State(news) => news,
        };
        if self.state == Some(news.state) {
            return Ok(());
        }
        if news.state == State::Waiting {
            self.state = Some(news.state);
            return ui.say(waits(self.run, &news.waits_for));
        }
        self.tell_approved(ui)?;
        self.state = Some(news.state);
        match news.state {
            State::Running => ui.say("running"),
            _ => Ok(()),
        }
    }

    /// That the wait is over, whatever was seen first of what followed.
    fn tell_approved(&mut self, ui: &mut Ui) -> Result<(), CliError> {
        match self.state.take_if(|state| *state == State::Waiting) {
            Some(_) => ui.say("approved"),
            None => Ok(()),
        }
    }
}
