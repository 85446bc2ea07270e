//! `strongroom dataset diff`: what changed between two versions.

use serde_json::{Map, Value};
use strongroom_core::{name::Reference, structure::Column};
use strongroom_server::api::{ColumnChange, DatasetDiff, NewDiff, RowChange, RowChangeKind};

use crate::{client::Client, error::CliError, show, ui::Ui};

/// Show what changed between two versions of your datasets
///
/// With `--key`, rows belong together whose values of these columns are the same; without, the
/// first row is compared with the first.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// The older version, as OWNER/NAME~1 or OWNER/NAME@DIGEST
    before: Reference,
    /// The newer version, as OWNER/NAME
    after: Reference,
    /// Columns whose values name a row, with commas between
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    key: Vec<String>,
    /// How many changed rows to show
    #[arg(long, default_value_t = 20, value_name = "N")]
    rows: u32,
}

pub fn run(ui: &mut Ui, client: &Client, args: &DiffArgs) -> Result<(), CliError> {
    let new = NewDiff {
        before: args.before.clone(),
        after: args.after.clone(),
        key: args.key.clone(),
        rows: Some(args.rows),
    };
    let diff: DatasetDiff = client.post_patiently("/v1/datasets/diff", &new)?;
    if ui.json {
        return ui.print_json(&diff);
    }
    tell(ui, &diff, Some("`--rows` shows more of them"))
}

/// Tells what changed, and how to see what is not shown.
pub fn tell(ui: &mut Ui, diff: &DatasetDiff, more: Option<&str>) -> Result<(), CliError> {
    for change in &diff.columns {
        writeln!(ui.out, "{}", column(change))?;
    }
    for file in &diff.files {
        writeln!(ui.out, "file {}", show::cell(file))?;
    }
    for change in &diff.rows {
        for line in row(change) {
            writeln!(ui.out, "{line}")?;
        }
    }
    let shown = diff.rows.len() as u64;
    let all = diff.added + diff.removed + diff.changed;
    ui.say(format_args!(
        "{} added, {} removed, {} changed; {} before, {} after.",
        diff.added, diff.removed, diff.changed, diff.rows_before, diff.rows_after
    ))?;
    match all.saturating_sub(shown) {
        0 => Ok(()),
        rest => match more {
            Some(more) => ui.say(format_args!("{rest} more; {more}.")),
            None => ui.say(format_args!("{rest} more.")),
        },
    }
}

fn column(change: &ColumnChange) -> String {
    let kind = |column: &Option<Column>| match column {
        None => "none".to_owned(),
        Some(column) => {
            let nulls = if column.nullable { " or null" } else { "" };
            format!("{}{nulls}", column.kind.as_str())
        }
    };
    let name = show::cell(&change.name);
    match (&change.before, &change.after) {
        (None, after) => format!("+ column {name}: {}", kind(after)),
        (before, None) => format!("- column {name}: {}", kind(before)),
        (before, after) => format!("~ column {name}: {} -> {}", kind(before), kind(after)),
    }
}

fn row(change: &RowChange) -> Vec<String> {
    let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
    let line = |mark: char, place: Option<u64>, row: &Option<Map<String, Value>>| {
        let row = Value::Object(row.clone().unwrap_or_default());
        format!("{mark} {} {}", number(place), show::json_line(&row))
    };
    let before = || line('-', change.row_before, &change.before);
    let after = || line('+', change.row_after, &change.after);
    match change.change {
        RowChangeKind::Added => vec![after()],
        RowChangeKind::Removed => vec![before()],
        RowChangeKind::Changed => vec![before(), after()],
    }
}
