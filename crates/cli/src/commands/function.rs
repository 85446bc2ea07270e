//! `strongroom function`: what a developer publishes for others to run.

pub mod export;
pub mod init;

use std::path::PathBuf;

use strongroom_core::{
    manifest::Manifest,
    name::{ObjectName, Reference},
    run,
    text::line_shown,
};
use strongroom_server::api::{Function, FunctionVersion, NewFunctionVersion};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    list::{ListArgs, say_rest},
    show, source,
    ui::Ui,
    versions::{check_owner, version_path},
};

#[derive(Debug, clap::Subcommand)]
pub enum FunctionCommand {
    Init(init::InitArgs),
    Export(export::ExportArgs),
    Push(PushArgs),
    /// List all functions of the station
    List(ListArgs),
    /// List a function's versions, newest first
    Log {
        /// The function, as OWNER/NAME
        function: ObjectName,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show what a function takes, and, to its developer, its source
    Show {
        /// The version, as OWNER/NAME, OWNER/NAME~1 or OWNER/NAME@DIGEST
        version: Reference,
    },
}

/// Push a file or a folder as a new version of a function
///
/// A folder says of itself in `strongroom.toml` what it is; a single file says the same in inline
/// metadata, under `[tool.strongroom]`. A script in Starlark that a run would fail on is not sent;
/// `strongroom check` tells why. Every byte counts: an owner who approved the version
/// before is asked again. Name, description, arguments and digest are shown to all users of the
/// station, the source only to you and to the owners whose data it is to run on.
///
/// Packages that it needs are those of `requirements.txt`, `pyproject.toml` or inline metadata, or
/// else what it imports. They are locked by the digests of their files and installed once; the lock
/// is a part of the version, `strongroom.lock`, and stays as it is until what it needs changes.
#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// The function, as OWNER/NAME
    function: ObjectName,
    /// A file or a folder
    path: PathBuf,
    /// What this version is
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Push scripts that `strongroom check` finds errors in
    #[arg(long)]
    no_check: bool,
    /// Resolve the packages that it needs anew, though nothing of what it needs has changed
    #[arg(long)]
    relock: bool,
}

pub fn run(ui: &mut Ui, client: &Client, command: FunctionCommand) -> Result<Outcome, CliError> {
    match command {
        // It needs no station.
        FunctionCommand::Init(args) => return init::run(ui, &args),
        FunctionCommand::Export(args) => return export::run(ui, Client::logged_in, args),
        FunctionCommand::Push(args) => push(ui, client, &args)?,
        FunctionCommand::List(list) => functions(ui, client, &list)?,
        FunctionCommand::Log { function, list } => log(ui, client, &function, &list)?,
        FunctionCommand::Show { version } => one(ui, client, &version)?,
    }
    Ok(Outcome::Yes)
}

fn push(ui: &mut Ui, client: &Client, args: &PushArgs) -> Result<(), CliError> {
    check_owner(client, &args.function)?;
    let files = source::read(&args.path)?;
    if !args.no_check {
        super::check::refuse(ui, &args.path, &files)?;
    }
    let new = NewFunctionVersion {
        files: source::packed(files),
        message: args.message.clone(),
        relock: args.relock,
    };
    let path = format!("/v1/functions/{}/versions", args.function);
    // Packages may have to be fetched.
    let version: FunctionVersion = client.post_patiently(&path, &new)?;
    if ui.json {
        return ui.print_json(&version);
    }
    let what = if version.unchanged {
        "Nothing changed"
    } else {
        "Pushed"
    };
    let manifest = &version.manifest;
    ui.say(format_args!(
        "{what}: {} runs {}.",
        manifest.runtime.as_str(),
        manifest.entry
    ))?;
    Ok(writeln!(
        ui.out,
        "{}@{}",
        version.function, version.version
    )?)
}

fn functions(ui: &mut Ui, client: &Client, list: &ListArgs) -> Result<(), CliError> {
    let page = list.read::<Function>(client, "/v1/functions", &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |function: &Function| {
        let newest = &function.newest;
        vec![
            function.name.to_string(),
            function.version_count.to_string(),
            newest.version.short(),
            show::time(newest.at_ms),
            newest.manifest.runtime.as_str().to_owned(),
            show::cell(&newest.manifest.description),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let header = [
        "FUNCTION",
        "VERSIONS",
        "NEWEST",
        "PUSHED",
        "RUNTIME",
        "DESCRIPTION",
    ];
    write!(ui.out, "{}", show::table(&header, &rows))?;
    say_rest(
        ui,
        &page,
        "There are no functions; `strongroom function push` makes one.",
    )
}

fn log(
    ui: &mut Ui,
    client: &Client,
    function: &ObjectName,
    list: &ListArgs,
) -> Result<(), CliError> {
    let path = format!("/v1/functions/{function}/versions");
    let page = list.read::<FunctionVersion>(client, &path, &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    for version in &page.items {
        writeln!(ui.out, "{function}@{}", version.version)?;
        writeln!(ui.out, "  {}", show::time(version.at_ms))?;
        if !version.message.is_empty() {
            writeln!(ui.out, "  {}", line_shown(&version.message))?;
        }
    }
    say_rest(ui, &page, "It has no versions.")
}

fn one(ui: &mut Ui, client: &Client, reference: &Reference) -> Result<(), CliError> {
    let version: FunctionVersion = client.get(&version_path("functions", reference), &[])?;
    if ui.json {
        return ui.print_json(&version);
    }
    writeln!(ui.out, "function     {}", version.function)?;
    writeln!(ui.out, "version      {}", version.version)?;
    writeln!(ui.out, "pushed       {}", show::time(version.at_ms))?;
    if !version.message.is_empty() {
        writeln!(ui.out, "message      {}", line_shown(&version.message))?;
    }
    write!(ui.out, "{}", manifest_shown(&version.manifest))?;
    write!(ui.out, "{}", packages_shown(&version))?;
    match &version.files {
        Some(files) => Ok(write!(ui.out, "\n{}", source::shown(files))?),
        None => Ok(()),
    }
}

fn packages_shown(version: &FunctionVersion) -> String {
    let mut out = String::new();
    if let Some(dependencies) = &version.manifest.dependencies {
        out += &format!("needs        what {} says\n", dependencies.from.as_str());
    }
    for package in &version.packages {
        let (name, at) = (line_shown(&package.name), line_shown(&package.version));
        out += &format!("package      {name} {at}\n");
    }
    let Some(installed) = &version.installed else {
        return out;
    };
    let steps = installed.steps.iter();
    let steps: Vec<String> = steps
        .map(|step| format!("{} in {}", step.step, run::millis_shown(step.wall_ms)))
        .collect();
    let size = run::bytes_shown(installed.size_bytes);
    out += &format!(
        "installed    {}: {} files, {size}; {}\n",
        show::time(installed.at_ms),
        installed.file_count,
        steps.join(", "),
    );
    for line in &installed.log {
        out += &format!("             | {}\n", line_shown(line));
    }
    out
}

fn manifest_shown(manifest: &Manifest) -> String {
    let mut out = format!(
        "runtime      {}, {}\n",
        manifest.runtime.as_str(),
        manifest.entry
    );
    if !manifest.description.is_empty() {
        out += &format!("description  {}\n", line_shown(&manifest.description));
    }
    for (name, what) in manifest.inputs.iter().flatten() {
        out += &format!("input        {name}: {}\n", line_shown(what));
    }
    if let Some(schema) = &manifest.args {
        out += &format!("arguments    {}\n", show::json_line(schema));
    }
    out + &format!("limits       {}\n", show::limits(&manifest.limits))
}
