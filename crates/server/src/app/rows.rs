//! What is asked of a version's rows: to have them, check them, compare them.

use std::{
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::json;
use strongroom_core::{
    digest::Digest,
    json::canonical,
    name::Reference,
    structure::{Format, RowRange, StructureAsked},
    tree::Tree,
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Actor, App, AppError,
    bodies::{Found, no_rows},
};
use crate::{
    api,
    table::{self, Matching, Side, TableError},
};

/// What is passed on at once, in bytes, and how much of it waits.
const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS_WAITING_MAX: usize = 8;
/// The most columns of a key.
const KEY_MAX: usize = 32;
const CHANGES_SHOWN: u32 = 100;

/// Rows on their way out. Dropping them ends the reading.
pub struct RowStream {
    pub chunks: mpsc::Receiver<io::Result<Bytes>>,
    _stop: DropGuard,
}

/// Rows that somebody may have.
pub struct OpenRows {
    /// Changes with anything that would change a byte of them.
    pub digest: Digest,
    found: Found,
    structure: strongroom_core::structure::Structure,
    range: RowRange,
    format: Format,
}

/// A version with its body, or what is to be one.
pub(super) struct Version {
    pub version: Digest,
    pub tree: Tree,
    pub asked: StructureAsked,
}

impl App {
    async fn rows_version(
        &self,
        actor: &Actor,
        reference: &Reference,
    ) -> Result<Version, AppError> {
        let (row, tree) = self.dataset_tree(actor, reference).await?;
        let says = self.store.dataset_says(&row).await?;
        Ok(Version {
            version: row.version,
            tree,
            asked: says.structure.unwrap_or_default(),
        })
    }

    /// Looks up rows of one's own dataset.
    pub async fn rows_open(
        &self,
        actor: &Actor,
        reference: &Reference,
        format: Format,
        range: RowRange,
    ) -> Result<OpenRows, AppError> {
        let version = self.rows_version(actor, reference).await?;
        let found = version.found()?;
        let (structure, _) = self.structured(&found).await?;
        let content = json!({
            "version": version.version,
            "reading": found.reading.digest(),
            "format": format,
            "rows": range,
            "program": env!("CARGO_PKG_VERSION"),
        });
        Ok(OpenRows {
            digest: Digest::of(canonical(&content).as_bytes()),
            found,
            structure,
            range,
            format,
        })
    }

    /// Begins to read rows for somebody who takes them as they come.
    pub async fn rows_read(&self, open: OpenRows) -> Result<RowStream, AppError> {
        let place = Arc::clone(&self.rows).acquire_owned().await;
        let stop = self.stop.child_token();
        let body = self.body(&open.found, stop.clone()).await?;
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut out = Outgoing {
                sender: &sender,
                chunk: Vec::with_capacity(CHUNK_BYTES),
            };
            let written = table::write(body, &open.structure, open.range, open.format, &mut out);
            if let Err(error) = written {
                // The answer has begun: breaking it off is all that can be told.
                let _ = sender.blocking_send(Err(io::Error::other(error)));
            }
        });
        Ok(RowStream {
            chunks,
            _stop: stop.drop_guard(),
        })
    }

    /// Checks every row of one's own dataset against a structure.
    pub async fn dataset_check(
        &self,
        actor: &Actor,
        reference: &Reference,
        new: api::NewCheck,
    ) -> Result<api::DatasetChecked, AppError> {
        let mut version = self.rows_version(actor, reference).await?;
        if let Some(asked) = new.structure {
            let checked = asked.checked();
            version.asked = checked.map_err(|error| AppError::invalid("bad_dataset", &error))?;
        }
        let found = version.found()?;
        let stop = self.stop.child_token();
        let body = self.body(&found, stop.clone()).await?;
        let _stop = stop.drop_guard();
        let checked = self.reading(move || table::check(body)).await?;
        let fault = |fault: table::Fault| api::DatasetFault {
            row: fault.row,
            column: fault.column,
            why: fault.why,
        };
        Ok(api::DatasetChecked {
            rows: checked.rows,
            faults: checked.faults,
            told: checked.told.into_iter().map(fault).collect(),
        })
    }

    /// Compares two versions of one's own datasets.
    pub async fn dataset_diff(
        &self,
        actor: &Actor,
        new: api::NewDiff,
    ) -> Result<api::DatasetDiff, AppError> {
        key_bounded(&new.key)?;
        let before = self.rows_version(actor, &new.before).await?;
        let after = self.rows_version(actor, &new.after).await?;
        let matching = match new.key.is_empty() {
            true => Matching::Place,
            false => Matching::Key(new.key),
        };
        let shown = new.rows.unwrap_or(CHANGES_SHOWN);
        self.compared(&before, &after, matching, shown).await
    }

    /// What changed from one to the other, for who may see both.
    pub(super) async fn compared(
        &self,
        before: &Version,
        after: &Version,
        matching: Matching,
        shown: u32,
    ) -> Result<api::DatasetDiff, AppError> {
        let files = files_changed(before, after);
        let stop = self.stop.child_token();
        let (old, young) = (
            self.side(before, &stop).await?,
            self.side(after, &stop).await?,
        );
        let _stop = stop.drop_guard();
        let diff = self.reading(move || table::diff(&old, &young, &matching, shown));
        Ok(api::DatasetDiff {
            files,
            ..diff.await?
        })
    }

    async fn side(&self, version: &Version, stop: &CancellationToken) -> Result<Side, AppError> {
        let found = version.found()?;
        let (structure, rows) = self.structured(&found).await?;
        let (blobs, stop) = (self.store.blobs().clone(), stop.clone());
        let again = move || {
            let opened = blobs.open_now(&found.digest);
            Ok(table::Body {
                file: opened.map_err(|error| TableError::Read(io::Error::other(error)))?,
                reading: found.reading.clone(),
                stop: stop.clone(),
            })
        };
        Ok(Side {
            open: Box::new(again),
            structure,
            rows,
        })
    }
}

impl Version {
    fn found(&self) -> Result<Found, AppError> {
        Found::in_tree(&self.tree, &self.asked).map_err(|why| no_rows(&why))
    }
}

/// Refuses a key of very many columns.
pub(super) fn key_bounded(key: &[String]) -> Result<(), AppError> {
    match key.len() {
        0..=KEY_MAX => Ok(()),
        _ => Err(AppError::Invalid {
            code: "too_many",
            detail: format!("key: at most {KEY_MAX} columns"),
        }),
    }
}

/// Files beside the bodies that are not the same in both.
fn files_changed(before: &Version, after: &Version) -> Vec<String> {
    let body = |version: &Version| version.found().ok().map(|found| found.path);
    let bodies = [body(before), body(after)];
    let all = before.tree.files().chain(after.tree.files());
    let mut paths: Vec<_> = all.map(|(path, _)| path).collect();
    paths.sort_unstable();
    paths.dedup();
    let other = |path: &&&strongroom_core::tree::TreePath| {
        let is_body = bodies.iter().flatten().any(|body| body == **path);
        !is_body && before.tree.get(path) != after.tree.get(path)
    };
    let changed = paths.iter().filter(other);
    changed.map(|path| path.to_string()).collect()
}

/// Passes what is written on to somebody who takes it in his own time.
struct Outgoing<'a> {
    sender: &'a mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
}

impl Outgoing<'_> {
    fn pass(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        let sent = self.sender.blocking_send(Ok(chunk.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_BYTES - self.chunk.len();
        let count = bytes.len().min(room);
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK_BYTES {
            self.pass()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass()
    }
}
