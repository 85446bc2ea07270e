//! `strongroom dataset`: what an owner shares as something to compute on.

pub mod diff;
mod get;
mod keep;
mod push;
mod said;
mod show;
mod validate;

use strongroom_core::{name::ObjectName, run::bytes_shown, text::line_shown};
use strongroom_server::api::{Dataset, DatasetVersion};

use crate::{
    client::Client,
    error::{CliError, Outcome},
    list::{ListArgs, say_rest},
    show as shown,
    ui::Ui,
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
    Show(show::ShowArgs),
    Get(get::GetArgs),
    Diff(diff::DiffArgs),
    Validate(validate::ValidateArgs),
    Restore(keep::RestoreArgs),
    Rename(keep::RenameArgs),
    Remove(keep::RemoveArgs),
}

pub fn run(ui: &mut Ui, client: &Client, command: DatasetCommand) -> Result<Outcome, CliError> {
    match command {
        DatasetCommand::Push(args) => push::run(ui, client, &args)?,
        DatasetCommand::List(list) => datasets(ui, client, &list)?,
        DatasetCommand::Log { dataset, list } => log(ui, client, &dataset, &list)?,
        DatasetCommand::Show(args) => show::run(ui, client, &args)?,
        DatasetCommand::Get(args) => get::run(ui, client, &args)?,
        DatasetCommand::Diff(args) => diff::run(ui, client, &args)?,
        DatasetCommand::Validate(args) => return validate::run(ui, client, &args),
        DatasetCommand::Restore(args) => keep::restore(ui, client, &args)?,
        DatasetCommand::Rename(args) => keep::rename(ui, client, &args)?,
        DatasetCommand::Remove(args) => keep::remove(ui, client, &args)?,
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
            shown::time(newest.at_ms),
            bytes_shown(newest.size_bytes),
            shown::cell(&newest.message),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let header = ["DATASET", "VERSIONS", "NEWEST", "PUSHED", "SIZE", "MESSAGE"];
    write!(ui.out, "{}", shown::table(&header, &rows))?;
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
        let at = shown::time(version.at_ms);
        writeln!(ui.out, "  {at}, {}, {size}", shown::count(files, "file"))?;
        if !version.title.is_empty() {
            writeln!(ui.out, "  {}", line_shown(&version.title))?;
        }
        if !version.message.is_empty() {
            writeln!(ui.out, "  {}", line_shown(&version.message))?;
        }
    }
    say_rest(ui, &page, "It has no versions.")
}
