//! What a transform would make, for its caller to look at.
//!
//! Nothing here is kept, but for what is found by reading a body, which is
//! found once for whoever asks.

use std::io::{self, Write};

use serde_json::{Map, Value};
use strongroom_core::{
    statistics::Profile,
    structure::{Format, RowRange, Structure},
};
use strongroom_store::{RunRow, TransformRow};

use super::{
    App, AppError,
    bodies::Found,
    rows::{Version, key_bounded},
    settle::{Fault, Ready},
};
use crate::{
    api,
    table::{self, Matching},
};

/// The first rows that are shown, and the most bytes of them.
const ROWS_SHOWN: u64 = 10;
const ROWS_BYTES_MAX: usize = 256 * 1024;
/// The most changed rows that are shown.
const CHANGES_SHOWN: u32 = 20;

impl App {
    /// What the run of a transform would make.
    pub(super) async fn previewed(
        &self,
        row: &TransformRow,
        run: &RunRow,
        key: Vec<String>,
    ) -> Result<Result<api::Preview, Fault>, AppError> {
        key_bounded(&key)?;
        match self.made(row, run).await? {
            Err(fault) => Ok(Err(fault)),
            Ok(None) => Ok(Ok(api::Preview {
                unchanged: true,
                ..api::Preview::default()
            })),
            Ok(Some(ready)) => Ok(Ok(self.preview(ready, key).await?)),
        }
    }

    async fn preview(&self, ready: Ready, key: Vec<String>) -> Result<api::Preview, AppError> {
        let changes = changes(&ready);
        let files = ready.tree.files();
        let mut shown = api::Preview {
            unchanged: changes.is_empty(),
            changes,
            files: files
                .map(|(path, file)| (path.to_string(), file.size_bytes))
                .collect(),
            meta: ready.says.meta.clone(),
            readme: ready.says.readme.clone(),
            ..api::Preview::default()
        };
        let asked = ready.says.structure.clone().unwrap_or_default();
        match Found::in_tree(&ready.tree, &asked) {
            Err(why) => shown.no_structure = Some(why),
            Ok(found) => {
                shown.body = Some(found.path.to_string());
                match self.glance(&found).await? {
                    Profile::NoTable { why } => shown.no_structure = Some(why),
                    Profile::Table {
                        structure,
                        statistics,
                    } => {
                        shown.rows = self.first_rows(&found, structure.clone()).await?;
                        shown.structure = Some(structure);
                        shown.statistics = Some(statistics);
                    }
                }
            }
        }
        if shown.structure.is_some() && !shown.unchanged {
            shown.diff = self.diff_of(&ready, key).await?;
        }
        Ok(shown)
    }

    async fn first_rows(
        &self,
        found: &Found,
        structure: Structure,
    ) -> Result<Vec<Map<String, Value>>, AppError> {
        let stop = self.stop.child_token();
        let body = self.body(found, stop.clone()).await?;
        let _stop = stop.drop_guard();
        let range = RowRange {
            first: 0,
            end: ROWS_SHOWN,
        };
        let written = self.reading(move || {
            let mut out = Short(Vec::new());
            let written = table::write(body, &structure, range, Format::Ndjson, &mut out);
            // What does not fit is not shown.
            let _ = written;
            Ok(out.0)
        });
        let written = written.await?;
        let rows = written.split_inclusive(|byte| *byte == b'\n');
        let whole = rows.filter(|row| row.ends_with(b"\n"));
        Ok(whole
            .filter_map(|row| serde_json::from_slice(row).ok())
            .collect())
    }

    /// What changes in the rows, where both have some.
    async fn diff_of(
        &self,
        ready: &Ready,
        key: Vec<String>,
    ) -> Result<Option<api::DatasetDiff>, AppError> {
        let Some(before) = &ready.before else {
            return Ok(None);
        };
        let version = |tree: &strongroom_core::tree::Tree,
                       says: &strongroom_core::version::Says| Version {
            version: tree.digest(),
            tree: tree.clone(),
            asked: says.structure.clone().unwrap_or_default(),
        };
        let old = version(&before.tree, &before.says);
        let new = version(&ready.tree, &ready.says);
        let has_key = !key.is_empty();
        let matching = match has_key {
            true => Matching::Key(key),
            false => Matching::Place,
        };
        let compared = self.compared(&old, &new, matching, CHANGES_SHOWN).await;
        match compared {
            Ok(diff) => Ok(Some(diff)),
            // Who names a key is told what is wrong with it.
            Err(error) if has_key => Err(error),
            Err(AppError::Invalid { .. } | AppError::TooLarge(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Which parts are others than in the version before.
fn changes(ready: &Ready) -> Vec<String> {
    let Some(before) = &ready.before else {
        return vec!["files".to_owned()];
    };
    let (old, new) = (&before.says, &ready.says);
    [
        ("files", before.tree != ready.tree),
        ("meta", old.meta != new.meta),
        ("readme", old.readme != new.readme),
        ("structure", old.structure != new.structure),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(part, _)| part.to_owned())
    .collect()
}

/// Takes what fits.
struct Short(Vec<u8>);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.len() + bytes.len() <= ROWS_BYTES_MAX {
            true => self.0.write(bytes),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
