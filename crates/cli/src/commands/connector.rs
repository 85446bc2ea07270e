//! `strongroom connector`: code that calls a function as if it were a local one.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use strongroom_core::name::Reference;
use strongroom_server::api::FunctionVersion;

use crate::{
    client::Client,
    connector::{Signature, python, typescript},
    error::{CliError, Outcome},
    ui::Ui,
    versions::version_path,
};

/// Write code that calls a function as if it were a local one
///
/// What it takes comes from the schema of the function's arguments. The code asks, says whom the
/// call waits for, waits, returns the value, and raises the run's reason as an exception with the
/// remote traceback. Python needs the package `strongroom`; TypeScript needs nothing.
#[derive(Debug, clap::Args)]
pub struct ConnectorArgs {
    /// The function, as OWNER/NAME, or a version of it that is always called
    function: Reference,
    #[arg(long, value_enum, default_value_t = Language::Python)]
    language: Language,
    /// Write to this file, which must not be there yet [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Python,
    Typescript,
}

pub fn run(ui: &mut Ui, client: &Client, args: &ConnectorArgs) -> Result<Outcome, CliError> {
    let version: FunctionVersion = client.get(&version_path("functions", &args.function), &[])?;
    let signature = Signature::of(args.function.to_string(), &version);
    let text = match args.language {
        Language::Python => python(&signature),
        Language::Typescript => typescript(&signature),
    };
    match &args.out {
        None => write!(ui.out, "{text}")?,
        Some(path) => write_new(path, &text).map_err(|error| {
            CliError::wrong_use(format!("could not write {}: {error}", path.display()))
        })?,
    }
    Ok(Outcome::Yes)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}
