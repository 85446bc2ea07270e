//! The runs behind a version: the one that made it, and those that made what
//! it took over from another version.
//!
//! They are written down with the version, whose document names the first, so
//! what may be seen of it does not depend on what stands before it, nor on
//! whether that is still there. Who computed on his own data alone needs
//! nobody's leave, so his runs are not handed on.

use std::collections::BTreeSet;

use strongroom_core::{digest::Digest, id::RunId, name::Name, version::Says};

use super::says;
use crate::{Connection, Tx, error::StoreError, question::query};

/// The most runs that a version takes work over from.
pub(super) const MAKERS_MAX: usize = 1000;

const ADD: &str = "
    INSERT INTO dataset_maker (version, run) VALUES ($1, $2)
    ON CONFLICT (version, run) DO NOTHING";

const OF: &str = "SELECT run FROM dataset_maker WHERE version = $1 ORDER BY run";

/// The runs behind a version that says `said`.
pub(super) async fn of(
    connection: &mut Connection,
    version: &Digest,
    said: &Says,
) -> Result<BTreeSet<RunId>, StoreError> {
    let rows = connection.all(query(OF).bind(version.to_string())).await?;
    let taken = rows.iter().map(|row| row.parsed("run"));
    let mut runs: BTreeSet<RunId> = taken.collect::<Result<_, _>>()?;
    runs.extend(said.made_by.iter().map(|made_by| made_by.run.clone()));
    Ok(runs)
}

/// The runs behind what a version of `owner`'s takes over from `version`.
///
/// # Errors
///
/// [`StoreError::Conflict`] when they are too many.
pub(super) async fn handed_on(
    connection: &mut Connection,
    owner: &Name,
    version: Option<&Digest>,
) -> Result<BTreeSet<RunId>, StoreError> {
    let Some(version) = version else {
        return Ok(BTreeSet::new());
    };
    let said = says::of(connection, version).await?;
    if !is_of_others(owner, &said) {
        return Ok(BTreeSet::new());
    }
    let runs = of(connection, version, &said).await?;
    match runs.len() {
        count if count <= MAKERS_MAX => Ok(runs),
        count => Err(StoreError::conflict(format!(
            "{count} runs are behind what it keeps, more than {MAKERS_MAX}: say it anew"
        ))),
    }
}

pub(super) async fn add(
    tx: &mut Tx,
    version: &Digest,
    runs: &BTreeSet<RunId>,
) -> Result<(), StoreError> {
    for run in runs {
        let question = query(ADD).bind(version.to_string()).bind(run.as_str());
        tx.execute(question).await?;
    }
    Ok(())
}

/// Whether others' data is behind a version of `owner`'s.
pub(super) fn is_of_others(owner: &Name, said: &Says) -> bool {
    let mut origins = said.derived_from.iter();
    origins.any(|origin| origin.dataset.owner != *owner)
}
