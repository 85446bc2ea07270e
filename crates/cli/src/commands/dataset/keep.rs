//! `strongroom dataset restore`, `rename` and `remove`.

use strongroom_core::name::{Name, ObjectName, Reference};
use strongroom_server::api::{Dataset, DatasetRemoved, DatasetVersion, NewName, NewRestore};

use crate::{client::Client, error::CliError, show, ui::Ui, versions::version_path};

/// Bring an earlier version back as the newest
///
/// It becomes a new version with the same files, and says the same of itself.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The version, as OWNER/NAME~1 or OWNER/NAME@DIGEST
    version: Reference,
    /// Why it comes back
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
}

/// Give a dataset another name
///
/// Its versions stay what they are. Rules that speak of the old name do not follow, and requests
/// that name it must have ended.
#[derive(Debug, clap::Args)]
pub struct RenameArgs {
    /// The dataset, as OWNER/NAME
    dataset: ObjectName,
    /// Its new name, without the owner
    name: Name,
}

/// Remove a dataset with all its versions
///
/// It is refused while open requests or derived versions need it. With `--force` the requests are
/// revoked and their runs ended; derived versions stay, and so does whose data is behind them.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// The dataset, as OWNER/NAME
    dataset: ObjectName,
    /// Remove it although it is needed
    #[arg(long)]
    force: bool,
}

pub fn restore(ui: &mut Ui, client: &Client, args: &RestoreArgs) -> Result<(), CliError> {
    let path = format!("{}/restore", version_path("datasets", &args.version));
    let new = NewRestore {
        message: args.message.clone(),
    };
    let version: DatasetVersion = client.post_patiently(&path, &new)?;
    if ui.json {
        return ui.print_json(&version);
    }
    if version.unchanged {
        ui.say("Nothing changed: it is the newest.")?;
    }
    Ok(writeln!(ui.out, "{}@{}", version.dataset, version.version)?)
}

pub fn rename(ui: &mut Ui, client: &Client, args: &RenameArgs) -> Result<(), CliError> {
    let path = format!("/v1/datasets/{}/rename", args.dataset);
    let new = NewName {
        name: args.name.clone(),
    };
    let dataset: Dataset = client.post(&path, &new)?;
    if ui.json {
        return ui.print_json(&dataset);
    }
    let count = show::count(dataset.version_count, "version");
    ui.say(format_args!(
        "{} is {} now, with {count}.",
        args.dataset, dataset.name
    ))
}

pub fn remove(ui: &mut Ui, client: &Client, args: &RemoveArgs) -> Result<(), CliError> {
    let path = format!("/v1/datasets/{}", args.dataset);
    let query = [("force", args.force.to_string())];
    let removed: DatasetRemoved = client.delete_telling(&path, &query)?;
    if ui.json {
        return ui.print_json(&removed);
    }
    let requests = removed.requests.len() as u64;
    match requests {
        0 => ui.say(format_args!("{} is removed.", removed.dataset)),
        _ => ui.say(format_args!(
            "{} is removed; {} revoked.",
            removed.dataset,
            show::count(requests, "request")
        )),
    }
}
