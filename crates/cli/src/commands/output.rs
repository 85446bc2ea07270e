//! `strongroom output`: what came out of a run.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use strongroom_core::{
    id::RunId,
    run::State,
    stage::EXPOSED_LEN_MAX,
    tree::{TreeFile, TreePath},
};
use strongroom_server::api::Run;

use super::run::ending::Ending;
use crate::{
    client::{Client, encoded},
    error::{CliError, Outcome},
    keep::{Existing, Folder, pass_on},
    ui::{Ui, json_shown},
};

/// Show or fetch what came out of a run
///
/// The returned value goes to stdout, as JSON; with the name of a file, that file does. Files are
/// a stranger's: `--out` writes them below a folder and never outside of it, and never over what
/// is there already without `--force`.
#[derive(Debug, clap::Args)]
pub struct OutputArgs {
    /// The run, as listed by `strongroom runs`
    run: RunId,
    /// Print this file
    file: Option<TreePath>,
    /// Print what its stage `expose` handed to its stage with a network; to the byte with `--json`
    #[arg(long, conflicts_with_all = ["file", "out"])]
    exposed: bool,
    /// Write the files below this folder
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    out: Option<PathBuf>,
    /// Replace files that are there already
    #[arg(long, requires = "out")]
    force: bool,
}

pub fn run(ui: &mut Ui, client: &Client, args: OutputArgs) -> Result<Outcome, CliError> {
    if args.exposed {
        return exposed(ui, client, &args.run);
    }
    let run: Run = client.get(&format!("/v1/runs/{}", args.run), &[])?;
    if run.state != State::Ended {
        return Err(CliError::wrong_use_with_hint(
            format!("{} has not ended", run.id),
            format!("`strongroom status {} --wait 10m` waits for it", run.id),
        ));
    }
    if let Some(wanted) = &args.file {
        print_file(ui, client, &run, wanted)?;
    } else {
        let existing = if args.force {
            Existing::IsReplaced
        } else {
            Existing::Stays
        };
        if let Some(out) = &args.out {
            keep_files(client, &run, out, existing)?;
        }
        if ui.json {
            ui.print_json(&run)?;
        } else {
            Ending::of(&run).tell(ui, args.out.as_deref())?;
        }
    }
    Ok(Outcome::of(
        run.reason.is_some_and(|reason| reason.is_success()),
    ))
}

/// Prints what a run exposed, which is JSON on one line. Its very bytes, which
/// the digest is over, come with `--json`; people get it with escapes.
fn exposed(ui: &mut Ui, client: &Client, run: &RunId) -> Result<Outcome, CliError> {
    let mut text = String::new();
    let exposed = client.download(&format!("/v1/runs/{run}/exposed"))?;
    exposed.take(EXPOSED_LEN_MAX).read_to_string(&mut text)?;
    match ui.json {
        true => write!(ui.out, "{text}")?,
        false => writeln!(ui.out, "{}", json_shown(&text))?,
    }
    Ok(Outcome::Yes)
}

/// Writes all files of `run` below `out`.
pub fn keep_files(
    client: &Client,
    run: &Run,
    out: &Path,
    existing: Existing,
) -> Result<(), CliError> {
    let entry = |file: &strongroom_core::run::OutputFile| {
        let tree_file = TreeFile {
            digest: file.digest,
            size_bytes: file.size_bytes,
        };
        (file.path.clone(), tree_file)
    };
    let files: Vec<_> = run.files.iter().map(entry).collect();
    let fetch = |path: &TreePath| {
        let place = format!("/v1/runs/{}/files/{}", run.id, encoded(path));
        client.download(&place).map_err(CliError::from)
    };
    Folder::open(out)?.keep(&files, existing, fetch)?;
    Ok(())
}

fn print_file(ui: &mut Ui, client: &Client, run: &Run, wanted: &TreePath) -> Result<(), CliError> {
    let Some(file) = run.files.iter().find(|file| file.path == *wanted) else {
        let message = format!("{} has no file {wanted}", run.id);
        let hint = format!("`strongroom output {}` lists its files", run.id);
        return Err(CliError::wrong_use_with_hint(message, hint));
    };
    let place = format!("/v1/runs/{}/files/{}", run.id, encoded(wanted));
    let tree_file = TreeFile {
        digest: file.digest,
        size_bytes: file.size_bytes,
    };
    pass_on(
        wanted,
        &tree_file,
        &mut client.download(&place)?,
        &mut ui.out,
    )
}
