//! `strongroom save` and `strongroom apply`: the next version of a dataset,
//! made by a run, and what it would be.
//!
//! Both are the same run. The one that saves ends with a version, the other
//! with a look at what it would be.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use strongroom_core::{
    name::{Name, ObjectName, Reference},
    run::{State, bytes_shown},
    text::line_shown,
    transform::{Mode, Outcome as Became},
};
use strongroom_server::api::{NewTransform, Preview, Run, Transform};

use super::{
    check, dataset,
    run::{ask, ending::Ending},
};
use crate::{
    arguments::{self, FlowArgs},
    client::Client,
    error::{CliError, Outcome},
    interrupt::on_interrupt,
    show, source, times,
    ui::Ui,
    versions::check_owner,
};

/// Make a new version of a dataset by running a transform
///
/// The transform is given the newest version, and what it leaves in /out becomes the version after
/// it; where the dataset is new, it is given none. Nothing is saved of a run that does not
/// succeed, of what contradicts the dataset's structure, or if another version came first. Owners
/// of other data that it reads are asked as for any run.
///
/// The new version goes to stdout. The exit code is 0 if it was saved or nothing changed.
#[derive(Debug, clap::Args)]
pub struct SaveArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// A few words on what changed
    #[arg(long, default_value = "", hide_default_value = true)]
    title: String,
    /// What this version is
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Ask, and do not wait; the station saves it once it has run
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// Wait at most this long: 30s, 10m; it goes on [default: to its end]
    #[arg(long, value_name = "TIME", value_parser = times::duration)]
    wait: Option<Duration>,
    /// Asking twice with the same key is asking once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Show what a transform would make of a dataset, and save nothing
///
/// It runs as for `strongroom save`, with the same data and the same approvals. Then it shows the
/// first rows of the new version and what would change.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    what: WhatArgs,
    /// Columns whose values name a row, with commas between, to show what would change
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    key: Vec<String>,
}

/// A transform and what it is given.
#[derive(Debug, clap::Args)]
struct WhatArgs {
    /// The dataset, as OWNER/NAME
    dataset: ObjectName,
    /// The transform: a file or a folder here
    #[arg(long, value_name = "PATH", conflicts_with = "function")]
    file: Option<PathBuf>,
    /// The transform: a function of the station, as OWNER/NAME, OWNER/NAME~1 or OWNER/NAME@DIGEST
    #[arg(long, value_name = "FUNCTION", required_unless_present = "file")]
    function: Option<Reference>,
    /// What the function of the file is called [default: as the dataset]
    #[arg(long = "as", value_name = "NAME", requires = "file")]
    name: Option<Name>,
    /// Send a file that `strongroom check` finds errors in
    #[arg(long, requires = "file")]
    no_check: bool,
    /// A further input, as INPUT=OWNER/DATASET; the version before is the input `previous` then
    #[arg(long, value_name = "INPUT=DATASET")]
    on: Vec<String>,
    /// One argument; VALUE is read as JSON if it is JSON, and else as text
    #[arg(long, value_name = "KEY=VALUE")]
    arg: Vec<String>,
    /// All arguments as one JSON document; `--arg` adds to it
    #[arg(long, value_name = "JSON")]
    args_json: Option<String>,
    /// One setting of the function's `[config]`; VALUE is read as for `--arg`
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Tell the steps of the transform too, where it has some
    #[arg(long)]
    events: bool,
    /// A bound, as for `strongroom run`
    #[arg(long, value_name = "KEY=VALUE")]
    limit: Vec<String>,
    /// What it is for, told to the owners of other data
    #[arg(long, default_value = "", hide_default_value = true)]
    purpose: String,
    #[command(flatten)]
    flow: FlowArgs,
}

impl WhatArgs {
    fn asked(&self, ui: &mut Ui) -> Result<NewTransform, CliError> {
        let files = match &self.file {
            None => None,
            Some(path) => {
                let files = source::read(path)?;
                if !self.no_check {
                    check::refuse(ui, path, &files)?;
                }
                Some(source::packed(files))
            }
        };
        Ok(NewTransform {
            function: self.function.clone(),
            files,
            name: self.name.clone(),
            on: self.on.clone(),
            args: arguments::arguments(self.args_json.as_deref(), &self.arg)?,
            config: arguments::config(&self.config)?,
            limits: arguments::limits(&self.limit)?,
            purpose: self.purpose.clone(),
            expose: self.flow.expose(),
            answers: self.flow.answers(),
            lend_secrets: self.flow.lend_secrets,
            ..NewTransform::default()
        })
    }

    fn place(&self) -> String {
        format!("/v1/datasets/{}/transforms", self.dataset)
    }
}

pub fn save(ui: &mut Ui, client: &Client, args: &SaveArgs) -> Result<Outcome, CliError> {
    check_owner(client, &args.what.dataset)?;
    let new = NewTransform {
        title: args.title.clone(),
        message: args.message.clone(),
        ..args.what.asked(ui)?
    };
    let key = args.idempotency_key.as_deref();
    let asked: Transform = client.post_once(&args.what.place(), key, &new)?;
    if args.no_wait {
        return not_waited(ui, &asked);
    }
    let deadline = args.wait.map(|wait| Instant::now() + wait);
    let Some(made) = made(ui, client, (&args.what, &[]), &asked.run, deadline)? else {
        let id = &asked.run.id;
        ui.say(format_args!(
            "{id} has not ended; it is saved once it has, and `strongroom status {id}` tells how it is"
        ))?;
        return Ok(Outcome::No);
    };
    if ui.json {
        ui.print_json(&made)?;
        return Ok(outcome(&made));
    }
    tell_outcome(ui, &made)
}

pub fn apply(ui: &mut Ui, client: &Client, args: &ApplyArgs) -> Result<Outcome, CliError> {
    check_owner(client, &args.what.dataset)?;
    let new = NewTransform {
        mode: Mode::Apply,
        ..args.what.asked(ui)?
    };
    let asked: Transform = client.post_once(&args.what.place(), None, &new)?;
    let what = (&args.what, &args.key[..]);
    let made = made(ui, client, what, &asked.run, None)?;
    let made = made.unwrap_or(asked);
    if ui.json {
        ui.print_json(&made)?;
        return Ok(outcome(&made));
    }
    match (&made.preview, &made.outcome) {
        (Some(preview), None) => {
            tell_preview(ui, preview)?;
            ui.say("Nothing was saved; `strongroom save` does.")?;
            Ok(Outcome::Yes)
        }
        _ => tell_outcome(ui, &made),
    }
}

fn not_waited(ui: &mut Ui, asked: &Transform) -> Result<Outcome, CliError> {
    if ui.json {
        ui.print_json(asked)?;
        return Ok(Outcome::Yes);
    }
    let run = &asked.run;
    if run.state == State::Waiting {
        ui.say(ask::waits(run, &run.waits_for))?;
    }
    writeln!(ui.out, "{}", run.id)?;
    Ok(Outcome::Yes)
}

/// Follows the run to its end, and waits for what comes of it. `None` when the
/// deadline comes first.
fn made(
    ui: &mut Ui,
    client: &Client,
    (what, key): (&WhatArgs, &[String]),
    run: &Run,
    deadline: Option<Instant>,
) -> Result<Option<Transform>, CliError> {
    let (canceller, path) = (client.clone(), format!("/v1/runs/{}/cancel", run.id));
    on_interrupt(move || {
        let _ = canceller.post_quietly(&path, &serde_json::json!({}));
    });
    let Some(ended) = ask::followed(ui, client, (run, what.events), deadline)? else {
        return Ok(None);
    };
    if !ui.json {
        // What came out is told as the version that it makes.
        let ending = Ending {
            value: None,
            files: &[],
            ..Ending::of(&ended)
        };
        ending.tell(ui, None)?;
    }
    let place = format!("{}/{}", what.place(), run.id);
    let mut query = vec![("wait", "30s".to_owned())];
    if !key.is_empty() {
        query.push(("key", key.join(",")));
    }
    loop {
        let made: Transform = client.get_patiently(&place, &query)?;
        if made.outcome.is_some() || made.preview.is_some() {
            return Ok(Some(made));
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(None);
        }
    }
}

fn outcome(made: &Transform) -> Outcome {
    Outcome::of(!matches!(made.outcome, Some(Became::NotSaved { .. })))
}

fn tell_outcome(ui: &mut Ui, made: &Transform) -> Result<Outcome, CliError> {
    match &made.outcome {
        Some(Became::Saved { version }) => {
            let what = made.version.as_ref().map(|version| {
                let files = show::count(version.file_count, "file");
                format!("{files}, {}", bytes_shown(version.size_bytes))
            });
            ui.say(format_args!("Saved: {}.", what.unwrap_or_default()))?;
            writeln!(ui.out, "{}@{version}", made.dataset)?;
        }
        Some(Became::Unchanged) => {
            ui.say("unchanged: nothing differs from the version before")?;
            if let Some(parent) = &made.parent {
                writeln!(ui.out, "{}@{parent}", made.dataset)?;
            }
        }
        Some(Became::NotSaved { code, detail }) => {
            // How the run ended has been told.
            if made.run.reason.as_ref().is_none_or(|r| r.is_success()) {
                let (code, detail) = (line_shown(code), line_shown(detail));
                ui.say(format_args!("not saved ({code}): {detail}"))?;
            }
            ui.say(format_args!("{} is as it was.", made.dataset))?;
        }
        None => {}
    }
    Ok(outcome(made))
}

fn tell_preview(ui: &mut Ui, preview: &Preview) -> Result<(), CliError> {
    writeln!(ui.out, "changes    {}", preview.changes.join(", "))?;
    for (path, size) in &preview.files {
        let mark = match preview.body.as_ref() == Some(path) {
            true => ", has the rows",
            false => "",
        };
        let (path, size) = (show::cell(path), bytes_shown(*size));
        writeln!(ui.out, "file       {path}, {size}{mark}")?;
    }
    if let Some(statistics) = &preview.statistics {
        writeln!(ui.out, "rows       {}", statistics.rows)?;
    }
    for column in preview.structure.iter().flat_map(|s| &s.columns) {
        let (name, kind) = (show::cell(&column.name), column.kind.as_str());
        writeln!(ui.out, "column     {name}: {kind}")?;
    }
    if let Some(meta) = &preview.meta {
        let meta = serde_json::to_value(meta).unwrap_or_default();
        writeln!(ui.out, "meta       {}", show::json_line(&meta))?;
    }
    if let Some(why) = &preview.no_structure {
        writeln!(ui.out, "no rows    {}", line_shown(why))?;
    }
    for row in &preview.rows {
        let row = serde_json::Value::Object(row.clone());
        writeln!(ui.out, "| {}", show::json_line(&row))?;
    }
    match &preview.diff {
        Some(diff) => dataset::diff::tell(ui, diff, None),
        None => Ok(()),
    }
}
