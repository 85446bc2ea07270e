//! Versions that runs made, once their maker may not see what came out of one.
//!
//! A version carries the labels of the run that made it, so it is shown for as
//! long as what came out of that run is. One that took parts over from another
//! version (its readme, say) is shown for as long as what came out of all the
//! runs behind those is. Who never needed anybody's leave is never asked.

use std::collections::BTreeSet;

use strongroom_core::{id::RunId, name::Name};

use super::{DatasetVersionRow, maker, says};
use crate::{Connection, Store, error::StoreError, run};

impl Store {
    /// Whether the owners of the originals behind a version keep it from its
    /// owner.
    pub async fn dataset_withheld(&self, version: &DatasetVersionRow) -> Result<bool, StoreError> {
        if version.says.is_none() {
            return Ok(false);
        }
        let mut connection = self.read("look whether a version is withheld").await?;
        is_withheld(&mut connection, version).await
    }
}

pub(super) async fn is_withheld(
    connection: &mut Connection,
    version: &DatasetVersionRow,
) -> Result<bool, StoreError> {
    let Some(digest) = &version.says else {
        return Ok(false);
    };
    let owner = &version.dataset.owner;
    let said = says::find(connection, digest).await?;
    let makers = maker::of(connection, &version.version, &said).await?;
    if is_some_withheld(connection, owner, &makers).await? {
        return Ok(true);
    }
    // Of others' data, and nobody knows by which run: from before that was kept.
    Ok(makers.is_empty() && maker::is_of_others(owner, &said))
}

/// Whether a version that takes over from these runs, for this owner, is withheld.
pub(super) async fn is_some_withheld(
    connection: &mut Connection,
    owner: &Name,
    makers: &BTreeSet<RunId>,
) -> Result<bool, StoreError> {
    for run in makers {
        if is_run_withheld(connection, owner, run).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the caller of a run, who is the dataset's owner, may see nothing of
/// what came out of it. What nobody knows of is shown to nobody.
async fn is_run_withheld(
    connection: &mut Connection,
    owner: &Name,
    run: &RunId,
) -> Result<bool, StoreError> {
    let row = run::load(connection, run).await?;
    Ok(row.is_none_or(|row| row.is_withheld || row.caller != *owner))
}
