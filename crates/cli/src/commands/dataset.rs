//! `strongroom dataset`: what an owner shares as something to compute on.

mod get;
mod push;

use strongroom_core::{
    name::{ObjectName, Reference},
    run::bytes_shown,
    text::line_shown,
};
use strongroom_server::api::{Dataset, DatasetVersion};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    list::{ListArgs, say_rest},
    show,
    ui::Ui,
    versions::version_path,
};

#[derive(Debug, clap::Subcommand)]
pub enum DatasetCommand {
    Push(push::PushArgs),
    /// List your datasets
    List(ListArgs),
    /// List a dataset's versions, newest first
    Log {
        /// The dataset, as OWNER/NAME
        dataset: ObjectName,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one version with its files
    Show {
        /// The version, as OWNER/NAME, OWNER/NAME~1 or OWNER/NAME@DIGEST
        version: Reference,
    },
    Get(get::GetArgs),
}

pub fn run(ui: &mut Ui, client: &Client, command: DatasetCommand) -> Result<Outcome, CliError> {
    match command {
        DatasetCommand::Push(args) => push::run(ui, client, &args)?,
        DatasetCommand::List(list) => datasets(ui, client, &list)?,
        DatasetCommand::Log { dataset, list } => log(ui, client, &dataset, &list)?,
        DatasetCommand::Show { version } => one(ui, client, &version)?,
        DatasetCommand::Get(args) => get::run(ui, client, &args)?,
    }
    Ok(Outcome::Yes)
}

fn datasets(ui: &mut Ui, client: &Client, list: &ListArgs) -> Result<(), CliError> {
    let page = list.read::<Dataset>(client, "/v1/datasets", &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    let row = |dataset: &Dataset| {
        let newest = &dataset.newest;
        vec![
            dataset.name.to_string(),
            dataset.version_count.to_string(),
            newest.version.short(),
            show::time(newest.at_ms),
            bytes_shown(newest.size_bytes),
            show::cell(&newest.message),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let header = ["DATASET", "VERSIONS", "NEWEST", "PUSHED", "SIZE", "MESSAGE"];
    write!(ui.out, "{}", show::table(&header, &rows))?;
    say_rest(
        ui,
        &page,
        "You have no datasets; `strongroom dataset push` makes one.",
    )
}

fn log(
    ui: &mut Ui,
    client: &Client,
    dataset: &ObjectName,
    list: &ListArgs,
) -> Result<(), CliError> {
    let path = format!("/v1/datasets/{dataset}/versions");
    let page = list.read::<DatasetVersion>(client, &path, &[])?;
    if ui.json {
        return ui.print_json(&page);
    }
    for version in &page.items {
        let (files, size) = (version.file_count, bytes_shown(version.size_bytes));
        writeln!(ui.out, "{dataset}@{}", version.version)?;
        let at = show::time(version.at_ms);
        writeln!(ui.out, "  {at}, {}, {size}", show::count(files, "file"))?;
        if !version.message.is_empty() {
            writeln!(ui.out, "  {}", line_shown(&version.message))?;
        }
    }
    say_rest(ui, &page, "It has no versions.")
}

fn one(ui: &mut Ui, client: &Client, reference: &Reference) -> Result<(), CliError> {
    let version: DatasetVersion = client.get(&version_path("datasets", reference), &[])?;
    if ui.json {
        return ui.print_json(&version);
    }
    writeln!(ui.out, "dataset  {}", version.dataset)?;
    writeln!(ui.out, "version  {}", version.version)?;
    if let Some(parent) = version.parent {
        writeln!(ui.out, "after    {parent}")?;
    }
    writeln!(ui.out, "pushed   {}", show::time(version.at_ms))?;
    if !version.message.is_empty() {
        writeln!(ui.out, "message  {}", line_shown(&version.message))?;
    }
    let files = version.files.unwrap_or_default();
    let row = |(path, file): (&String, &strongroom_core::tree::TreeFile)| {
        vec![
            show::cell(path),
            bytes_shown(file.size_bytes),
            file.digest.to_string(),
        ]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    Ok(write!(
        ui.out,
        "\n{}",
        show::table(&["FILE", "SIZE", "DIGEST"], &rows)
    )?)
}
