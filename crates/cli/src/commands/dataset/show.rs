//! `strongroom dataset show`: one version with all that is known of it.

use serde_json::Value;
use strongroom_core::{
    name::Reference, run::bytes_shown, statistics::ColumnStatistics, structure::Structure,
    text::line_shown, tree::TreeFile, version::Meta,
};
use strongroom_server::api::DatasetVersion;

use crate::{client::Client, error::CliError, show, ui::Ui, versions::version_path};

/// Show one version: what it says of itself, its columns, its files
///
/// Of each column it shows the type, how many values are absent, the smallest and the largest,
/// and about how many different ones there are.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The version, as OWNER/NAME, OWNER/NAME~1 or OWNER/NAME@DIGEST
    version: Reference,
    /// Print its readme, and nothing else
    #[arg(long)]
    readme: bool,
}

pub fn run(ui: &mut Ui, client: &Client, args: &ShowArgs) -> Result<(), CliError> {
    let version: DatasetVersion = client.get(&version_path("datasets", &args.version), &[])?;
    if args.readme {
        return readme(ui, &version);
    }
    if ui.json {
        return ui.print_json(&version);
    }
    head(ui, &version)?;
    if let Some(meta) = &version.meta {
        said(ui, meta)?;
    }
    if version.readme.is_some() {
        writeln!(
            ui.out,
            "readme   `strongroom dataset show --readme {}`",
            args.version
        )?;
    }
    rows(ui, &version)?;
    files(ui, &version)
}

fn readme(ui: &mut Ui, version: &DatasetVersion) -> Result<(), CliError> {
    let Some(readme) = &version.readme else {
        return Err(CliError::wrong_use("it has no readme"));
    };
    for line in readme.lines() {
        writeln!(ui.out, "{}", line_shown(line))?;
    }
    Ok(())
}

fn head(ui: &mut Ui, version: &DatasetVersion) -> Result<(), CliError> {
    writeln!(ui.out, "dataset  {}", version.dataset)?;
    writeln!(ui.out, "version  {}", version.version)?;
    if let Some(parent) = version.parent {
        writeln!(ui.out, "after    {parent}")?;
    }
    writeln!(ui.out, "pushed   {}", show::time(version.at_ms))?;
    if !version.title.is_empty() {
        writeln!(ui.out, "title    {}", line_shown(&version.title))?;
    }
    if !version.message.is_empty() {
        writeln!(ui.out, "message  {}", line_shown(&version.message))?;
    }
    if let Some(made_by) = &version.made_by {
        writeln!(ui.out, "made by  run {}", made_by.run)?;
    }
    for origin in &version.derived_from {
        writeln!(ui.out, "from     {}@{}", origin.dataset, origin.version)?;
    }
    Ok(())
}

fn said(ui: &mut Ui, meta: &Meta) -> Result<(), CliError> {
    let lines = [
        ("meta", meta.title.clone()),
        ("", meta.description.clone()),
        ("keywords", meta.keywords.join(", ")),
        ("license", meta.license.clone()),
    ];
    for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(ui.out, "{name:7}  {}", line_shown(text))?;
    }
    for (name, value) in &meta.more {
        let line = format!("{}: {}", show::cell(name), show::json_line(value));
        writeln!(ui.out, "         {line}")?;
    }
    Ok(())
}

fn rows(ui: &mut Ui, version: &DatasetVersion) -> Result<(), CliError> {
    let body = version.body.as_deref().map(show::cell).unwrap_or_default();
    let (Some(structure), Some(statistics)) = (&version.structure, &version.statistics) else {
        if let Some(why) = &version.no_structure {
            let body = if body.is_empty() {
                body
            } else {
                format!("{body}: ")
            };
            writeln!(
                ui.out,
                "rows     none can be read: {body}{}",
                line_shown(why)
            )?;
        }
        return Ok(());
    };
    let count = show::count(statistics.rows, "row");
    writeln!(ui.out, "rows     {count} of {} in {body}", structure.format)?;
    let rows = column_rows(structure, &statistics.columns);
    let header = ["COLUMN", "TYPE", "NULLS", "DISTINCT", "MIN", "MAX"];
    Ok(write!(ui.out, "\n{}", show::table(&header, &rows))?)
}

fn column_rows(structure: &Structure, statistics: &[ColumnStatistics]) -> Vec<Vec<String>> {
    let value = |value: &Option<Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => show::cell(text),
        Some(other) => show::cell(&other.to_string()),
    };
    let row = |(column, counted): (&strongroom_core::structure::Column, &ColumnStatistics)| {
        vec![
            show::cell(&column.name),
            column.kind.as_str().to_owned(),
            counted.nulls.to_string(),
            format!("~{}", counted.distinct),
            value(&counted.min),
            value(&counted.max),
        ]
    };
    structure.columns.iter().zip(statistics).map(row).collect()
}

fn files(ui: &mut Ui, version: &DatasetVersion) -> Result<(), CliError> {
    let files = version.files.clone().unwrap_or_default();
    let row = |(path, file): (&String, &TreeFile)| {
        vec![
            show::cell(path),
            bytes_shown(file.size_bytes),
            file.digest.to_string(),
        ]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    let table = show::table(&["FILE", "SIZE", "DIGEST"], &rows);
    Ok(write!(ui.out, "\n{table}")?)
}
