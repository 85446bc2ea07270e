//! `strongroom dataset push`: files of any size, each sent once.
//!
//! What the station has already is not sent again. The version appears last,
//! or not at all.

use std::path::PathBuf;

use strongroom_core::{name::ObjectName, run::bytes_shown, tree::Tree};
use strongroom_server::api::{DatasetVersion, NewDatasetVersion};

use crate::{
    client::Client,
    error::CliError,
    files::{self, FilesError},
    show,
    ui::Ui,
    upload,
    versions::check_owner,
};

/// Push a file or a folder as a new version of a dataset
///
/// A file is kept under its own name, a folder with all files below it, hidden ones too. Links,
/// devices and names that are not UTF-8 are refused by name. What the station has from you already
/// is not sent again, so a push that broke off is simply repeated.
#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// The dataset, as OWNER/NAME
    dataset: ObjectName,
    /// A file or a folder
    path: PathBuf,
    /// What this version is
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
}

pub fn run(ui: &mut Ui, client: &Client, args: &PushArgs) -> Result<(), CliError> {
    check_owner(client, &args.dataset)?;
    let hashed = upload::hash(ui, files::find(&args.path)?)?;
    // What breaks a law of trees is told before anything is sent.
    let entries = hashed.iter().map(upload::Hashed::entry);
    let tree = Tree::new(entries).map_err(|source| FilesError::Tree {
        path: args.path.clone(),
        source,
    })?;
    let sent = upload::send(ui, client, &hashed)?;
    let new = NewDatasetVersion {
        files: tree.into(),
        message: args.message.clone(),
    };
    let path = format!("/v1/datasets/{}/versions", args.dataset);
    let version: DatasetVersion = client.post(&path, &new)?;
    if ui.json {
        return ui.print_json(&version);
    }
    let what = if version.unchanged {
        "Nothing changed"
    } else {
        "Pushed"
    };
    let files = show::count(version.file_count, "file");
    let size = bytes_shown(version.size_bytes);
    ui.say(format_args!("{what}: {files}, {size}, {sent} sent."))?;
    Ok(writeln!(ui.out, "{}@{}", version.dataset, version.version)?)
}
