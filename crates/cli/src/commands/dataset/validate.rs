//! `strongroom dataset validate`: every row against a structure.

use std::path::PathBuf;

use strongroom_core::{name::Reference, structure::StructureAsked, text::line_shown};
use strongroom_server::api::{DatasetChecked, DatasetFault, NewCheck};

use super::said;
use crate::{
    client::Client,
    error::{CliError, Outcome},
    show,
    ui::Ui,
    versions::version_path,
};

/// Check every row of a version against a structure
///
/// Without `--structure` it is the one that the version was given. The exit code is 1 when there
/// are faults.
#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// The version, as OWNER/NAME, OWNER/NAME~1 or OWNER/NAME@DIGEST
    version: Reference,
    /// A structure in JSON or TOML: format, columns, schema
    #[arg(long, value_name = "FILE")]
    structure: Option<PathBuf>,
}

pub fn run(ui: &mut Ui, client: &Client, args: &ValidateArgs) -> Result<Outcome, CliError> {
    let structure: Option<StructureAsked> = match &args.structure {
        Some(path) => Some(said::document(path)?),
        None => None,
    };
    let path = format!("{}/validate", version_path("datasets", &args.version));
    let checked: DatasetChecked = client.post_patiently(&path, &NewCheck { structure })?;
    let outcome = Outcome::of(checked.faults == 0);
    if ui.json {
        ui.print_json(&checked)?;
        return Ok(outcome);
    }
    let row = |fault: &DatasetFault| {
        vec![
            fault.row.map(|row| row.to_string()).unwrap_or_default(),
            fault.column.as_deref().map(show::cell).unwrap_or_default(),
            line_shown(&fault.why),
        ]
    };
    let rows: Vec<_> = checked.told.iter().map(row).collect();
    write!(
        ui.out,
        "{}",
        show::table(&["ROW", "COLUMN", "FAULT"], &rows)
    )?;
    let counted = show::count(checked.rows, "row");
    let faults = show::count(checked.faults, "fault");
    match checked.faults {
        0 => ui.say(format_args!("{counted}, no faults."))?,
        _ => ui.say(format_args!("{counted}, {faults}."))?,
    }
    Ok(outcome)
}
