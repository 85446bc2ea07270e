//! `strongroom request approve`: the owner's yes, and how far it goes.

use std::{fs::File, io::Read as _, path::Path};

use serde_json::Value;
use strongroom_core::{id::RequestId, json};
use strongroom_server::api::NewApproval;

use super::answer;
use crate::{arguments, client::Client, error::CliError, files::FilesError, times, ui::Ui};

/// The longest JSON Schema that is read from a file, in bytes.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;

/// Approve requests
///
/// Exactly this plan, to the byte, as often as the caller likes, until you revoke it; or what the
/// options say. Another version of the function, other data or another caller is asked again.
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// What is asked, as listed by `strongroom request list`
    #[arg(required = true, value_name = "REQUEST")]
    requests: Vec<RequestId>,
    /// Cover any arguments that satisfy this JSON Schema, not only these; JSON, or a file with it
    #[arg(long, value_name = "SCHEMA")]
    args_schema: Option<String>,
    /// Good for so many runs, this one included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
    /// Good until then: 2030-01-31T12:00:00Z, 7d, 12h
    #[arg(long, value_name = "TIME", value_parser = times::until_from_now)]
    until: Option<i64>,
    /// Let what `expose` makes of your data reach the network stage of the function
    #[arg(long)]
    expose: bool,
    /// Cut runs down to this bound, such as time=10s or memory=128MiB
    #[arg(long, value_name = "KEY=VALUE")]
    limit: Vec<String>,
}

pub fn run(ui: &mut Ui, client: &Client, args: &ApproveArgs) -> Result<(), CliError> {
    let new = NewApproval {
        args_schema: args.args_schema.as_deref().map(schema).transpose()?,
        uses: args.uses,
        until_ms: args.until,
        expose: args.expose,
        limits: arguments::limits(&args.limit)?,
    };
    for id in &args.requests {
        answer(ui, client, id, "approve", &new)?;
    }
    Ok(())
}

/// A schema as written, or the file that holds it.
fn schema(raw: &str) -> Result<Value, CliError> {
    let text = match raw.trim_start().starts_with('{') {
        true => raw.to_owned(),
        false => read(Path::new(raw))?,
    };
    json::parse(text.as_bytes())
        .map_err(|error| CliError::wrong_use(format!("--args-schema: {error}")))
}

fn read(path: &Path) -> Result<String, FilesError> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(SCHEMA_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(source) => Err(FilesError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
