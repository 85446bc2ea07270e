//! `strongroom dataset push`: files of any size, each sent once.
//!
//! What the station has already is not sent again. The version appears last,
//! or not at all.

use std::path::{Path, PathBuf};

use strongroom_core::{name::ObjectName, run::bytes_shown, text::line_shown, tree::Tree};
use strongroom_server::api::{DatasetVersion, NewDatasetVersion};

use super::said;
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
///
/// Meta, readme and structure stay as the version before has them unless they are given or
/// dropped. Rows that contradict a structure that was given are refused.
#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// The dataset, as OWNER/NAME
    dataset: ObjectName,
    /// A file or a folder
    path: PathBuf,
    /// What this version is
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// A few words on what changed
    #[arg(long, default_value = "", hide_default_value = true)]
    title: String,
    /// What people should know, in JSON or TOML: title, description, keywords, license, any other
    #[arg(long, value_name = "FILE")]
    meta: Option<PathBuf>,
    /// A text in Markdown
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
    /// A structure in JSON or TOML: body, format, delimiter, header, nulls, columns, schema
    #[arg(long, value_name = "FILE")]
    structure: Option<PathBuf>,
    /// What the version before says and this one does not
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    drop: Vec<Part>,
}

/// What a version can say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Meta,
    Readme,
    Structure,
}

impl PushArgs {
    fn part<T>(
        &self,
        part: Part,
        file: &Option<PathBuf>,
        read: impl FnOnce(&Path) -> Result<T, CliError>,
    ) -> Result<Option<Option<T>>, CliError> {
        match (file, self.drop.contains(&part)) {
            (None, false) => Ok(None),
            (None, true) => Ok(Some(None)),
            (Some(path), false) => Ok(Some(Some(read(path)?))),
            (Some(_), true) => {
                let name = format!("{part:?}").to_lowercase();
                let message = format!("`--{name}` and `--drop {name}` contradict each other");
                Err(CliError::wrong_use(message))
            }
        }
    }
}

pub fn run(ui: &mut Ui, client: &Client, args: &PushArgs) -> Result<(), CliError> {
    let meta = args.part(Part::Meta, &args.meta, said::document)?;
    let readme = args.part(Part::Readme, &args.readme, said::text)?;
    let structure = args.part(Part::Structure, &args.structure, said::document)?;
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
        title: args.title.clone(),
        meta,
        readme,
        structure,
    };
    let path = format!("/v1/datasets/{}/versions", args.dataset);
    let version: DatasetVersion = client.post_patiently(&path, &new)?;
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
    if let (Some(body), Some(why)) = (&version.body, &version.no_structure) {
        let (body, why) = (show::cell(body), line_shown(why));
        ui.say(format_args!("No rows can be read: {body}: {why}"))?;
    }
    Ok(writeln!(ui.out, "{}@{}", version.dataset, version.version)?)
}
