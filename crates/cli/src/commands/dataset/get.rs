//! `strongroom dataset get`: one's own data back.

use std::{io::Read as _, path::PathBuf};

use strongroom_core::{
    name::Reference,
    structure::{Format, RowRange},
    tree::{Tree, TreeFile, TreePath},
};
use strongroom_server::api::DatasetVersion;

use crate::{
    client::{Client, ClientError, encoded},
    error::CliError,
    keep::{Existing, Folder, pass_on},
    show,
    ui::Ui,
    versions::version_path,
};

/// What is passed on at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Read your own data back
///
/// With `--out`, all files are written below that folder; files that are there already with the
/// same content are left alone, and others are not replaced without `--force`. Otherwise one file
/// goes to stdout: the one that is named, or the only one there is. With `--format`, the rows go
/// to stdout in that format.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The version, as OWNER/NAME, OWNER/NAME~1 or OWNER/NAME@DIGEST
    version: Reference,
    /// One file of it
    file: Option<TreePath>,
    /// Write files below this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the rows to stdout in this format: csv, json, ndjson or parquet
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["file", "out"])]
    format: Option<Format>,
    /// Only some of the rows, such as 0..100, the end not included
    #[arg(long, value_name = "ROWS", requires = "format")]
    rows: Option<RowRange>,
    /// Replace files that are there already
    #[arg(long, requires = "out")]
    force: bool,
}

pub fn run(ui: &mut Ui, client: &Client, args: &GetArgs) -> Result<(), CliError> {
    if let Some(format) = args.format {
        return rows(ui, client, args, format);
    }
    let path = version_path("datasets", &args.version);
    let version: DatasetVersion = client.get(&path, &[])?;
    let files = wanted(&version, args)?;
    // The newest version may change under us; this one does not.
    let exact = format!(
        "/v1/datasets/{}/versions/{}",
        version.dataset, version.version
    );
    let fetch = |file: &TreePath| {
        let place = format!("{exact}/files/{}", encoded(file));
        client.download(&place).map_err(CliError::from)
    };
    let Some(out) = &args.out else {
        let [(path, file)] = files.as_slice() else {
            let message = format!("it has {} files", files.len());
            let hint = "name one, or give `--out DIR` for all";
            return Err(CliError::wrong_use_with_hint(message, hint));
        };
        return pass_on(path, file, &mut fetch(path)?, &mut ui.out);
    };
    let existing = if args.force {
        Existing::IsReplaced
    } else {
        Existing::Stays
    };
    let written = Folder::open(out)?.keep(&files, existing, fetch)?;
    if ui.json {
        return ui.print_json(&version);
    }
    let count = show::count(files.len() as u64, "file");
    ui.say(format_args!(
        "{count} of {} in {}, {written} written.",
        version.dataset,
        out.display()
    ))
}

fn rows(ui: &mut Ui, client: &Client, args: &GetArgs, format: Format) -> Result<(), CliError> {
    let range = args.rows.unwrap_or(RowRange::ALL);
    let version = version_path("datasets", &args.version);
    let path = format!("{version}/rows?format={format}&rows={range}");
    let mut rows = client.download(&path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match rows.read(&mut chunk).map_err(ClientError::Broken)? {
            0 => return Ok(()),
            count => ui.out.write_all(&chunk[..count])?,
        }
    }
}

fn wanted(version: &DatasetVersion, args: &GetArgs) -> Result<Vec<(TreePath, TreeFile)>, CliError> {
    let files = version.files.clone().unwrap_or_default();
    let tree = Tree::try_from(files)
        .map_err(|error| CliError::wrong_use(format!("the station's answer is odd: {error}")))?;
    let all = tree.files().map(|(path, file)| (path.clone(), *file));
    let Some(wanted) = &args.file else {
        return Ok(all.collect());
    };
    match tree.get(wanted) {
        Some(file) => Ok(vec![(wanted.clone(), *file)]),
        None => Err(CliError::wrong_use_with_hint(
            format!("there is no file {wanted} in it"),
            format!("`strongroom dataset show {}` lists the files", args.version),
        )),
    }
}
