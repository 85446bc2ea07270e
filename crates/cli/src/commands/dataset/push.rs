//! `strongroom dataset push`: files of any size, each sent once.
//!
//! Every file is hashed, the station says which digests it lacks, and only
//! those are sent. A push that was cut off goes on with the first file that
//! did not arrive whole. The version appears last, or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Mutex,
    thread,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use strongroom_core::{
    digest::Digest,
    name::ObjectName,
    run::bytes_shown,
    tree::{Tree, TreeFile},
};
use strongroom_server::api::{BlobsAsked, BlobsMissing, DatasetVersion, NewDatasetVersion};

use crate::{
    client::Client,
    error::CliError,
    files::{self, FilesError, LocalFile},
    show,
    ui::Ui,
    versions::check_owner,
};

/// Digests that are asked for at once.
const DIGESTS_MAX: usize = 10_000;
/// Files that are sent at once; each waits for the station's disk.
const SENDERS: usize = 8;

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

/// A local file with its digest.
struct Hashed {
    file: LocalFile,
    tree_file: TreeFile,
}

/// What is still to be sent.
type Queue<'a> = Mutex<std::slice::Iter<'a, &'a Hashed>>;

pub fn run(ui: &mut Ui, client: &Client, args: &PushArgs) -> Result<(), CliError> {
    check_owner(client, &args.dataset)?;
    let hashed = hash(ui, files::find(&args.path)?)?;
    // What breaks a law of trees is told before anything is sent.
    let entries = hashed
        .iter()
        .map(|each| (each.file.path.clone(), each.tree_file));
    let tree = Tree::new(entries).map_err(|source| FilesError::Tree {
        path: args.path.clone(),
        source,
    })?;
    let sent = upload(ui, client, &hashed)?;
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

fn hash(ui: &Ui, found: Vec<LocalFile>) -> Result<Vec<Hashed>, CliError> {
    let bar = bar(
        ui,
        "hashing",
        found.iter().map(|file| file.size_bytes).sum(),
    );
    let mut hashed = Vec::with_capacity(found.len());
    for file in found {
        let tree_file = file.hash(|bytes| bar.inc(bytes))?;
        hashed.push(Hashed { file, tree_file });
    }
    bar.finish_and_clear();
    Ok(hashed)
}

/// Sends what the station lacks; returns how many files that were.
fn upload(ui: &Ui, client: &Client, hashed: &[Hashed]) -> Result<usize, CliError> {
    let by_digest: BTreeMap<Digest, &Hashed> = hashed
        .iter()
        .map(|each| (each.tree_file.digest, each))
        .collect();
    let missing = missing(client, by_digest.keys().copied().collect())?;
    let wanted: Vec<&Hashed> = missing
        .iter()
        .filter_map(|digest| by_digest.get(digest).copied())
        .collect();
    let bar = bar(
        ui,
        "sending",
        wanted.iter().map(|each| each.tree_file.size_bytes).sum(),
    );
    let queue = Mutex::new(wanted.iter());
    thread::scope(|scope| {
        let sender = |_| scope.spawn(|| send(client, &bar, &queue));
        let senders: Vec<_> = (0..SENDERS.min(wanted.len())).map(sender).collect();
        let mut ended = senders.into_iter().map(|sender| sender.join());
        ended.try_for_each(|sent| sent.expect("a sender does not panic"))
    })?;
    bar.finish_and_clear();
    Ok(wanted.len())
}

/// Sends one file after another, until there are none or one cannot be sent.
fn send(client: &Client, bar: &ProgressBar, queue: &Queue<'_>) -> Result<(), CliError> {
    // The lock is let go before anything is sent.
    let next = || queue.lock().expect("no sender panics").next();
    while let Some(each) = next() {
        let sent = send_one(client, bar, each);
        if sent.is_err() {
            // What is left would only be sent to be told the same.
            *queue.lock().expect("no sender panics") = Default::default();
            return sent;
        }
    }
    Ok(())
}

fn send_one(client: &Client, bar: &ProgressBar, each: &Hashed) -> Result<(), CliError> {
    let TreeFile { digest, size_bytes } = each.tree_file;
    let mut from = bar.wrap_read(each.file.open()?);
    Ok(client.upload(&format!("/v1/blobs/{digest}"), size_bytes, &mut from)?)
}

fn missing(client: &Client, digests: Vec<Digest>) -> Result<BTreeSet<Digest>, CliError> {
    let mut missing = BTreeSet::new();
    for chunk in digests.chunks(DIGESTS_MAX) {
        let asked = BlobsAsked {
            digests: chunk.to_vec(),
        };
        let answer: BlobsMissing = client.post("/v1/blobs/missing", &asked)?;
        missing.extend(answer.missing);
    }
    Ok(missing)
}

/// A bar over so many bytes, where somebody is watching.
fn bar(ui: &Ui, what: &'static str, size_bytes: u64) -> ProgressBar {
    let target = match ui.interactive {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template(
        "{msg} {bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta}",
    );
    let bar = ProgressBar::with_draw_target(Some(size_bytes), target).with_message(what);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
