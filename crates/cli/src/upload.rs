//! Files on their way to a station, each sent once.
//!
//! Every file is hashed, the station says which digests it lacks, and only
//! those are sent. A push that was cut off goes on with the first file that
//! did not arrive whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use strongroom_core::{
    digest::Digest,
    tree::{TreeFile, TreePath},
};
use strongroom_server::api::{BlobsAsked, BlobsMissing};

use crate::{client::Client, error::CliError, files::LocalFile, ui::Ui};

/// Digests that are asked for at once.
const DIGESTS_MAX: usize = 10_000;
/// Files that are sent at once; each waits for the station's disk.
const SENDERS: usize = 8;

/// A local file with its digest.
pub struct Hashed {
    pub file: LocalFile,
    pub tree_file: TreeFile,
}

impl Hashed {
    /// Its place in a tree.
    pub fn entry(&self) -> (TreePath, TreeFile) {
        (self.file.path.clone(), self.tree_file)
    }
}

/// What is still to be sent.
type Queue<'a> = Mutex<std::slice::Iter<'a, &'a Hashed>>;

/// Takes the digest of each.
pub fn hash(ui: &Ui, found: Vec<LocalFile>) -> Result<Vec<Hashed>, CliError> {
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
pub fn send(ui: &Ui, client: &Client, hashed: &[Hashed]) -> Result<usize, CliError> {
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
        let sender = |_| scope.spawn(|| send_each(client, &bar, &queue));
        let senders: Vec<_> = (0..SENDERS.min(wanted.len())).map(sender).collect();
        let mut ended = senders.into_iter().map(|sender| sender.join());
        ended.try_for_each(|sent| sent.expect("a sender does not panic"))
    })?;
    bar.finish_and_clear();
    Ok(wanted.len())
}

/// Sends one file after another, until there are none or one cannot be sent.
fn send_each(client: &Client, bar: &ProgressBar, queue: &Queue<'_>) -> Result<(), CliError> {
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
