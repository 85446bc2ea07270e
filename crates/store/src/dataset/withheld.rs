//! Versions that a run made, once their maker may not see what came out of it.
//!
//! A version carries the labels of the run that made it, so it is shown for as
//! long as what came out of that run is. One that took parts over from a
//! version before it (its readme, say) is judged by the run of the version
//! that it took them from. Who never needed anybody's leave is never asked.

use strongroom_core::{id::RunId, name::Name};

use super::{DatasetVersionRow, says};
use crate::{Connection, Store, error::StoreError, question::query, run};

/// How far back the run is looked for whose parts were taken over.
const BACK_MAX: i64 = 1000;

const BEFORE: &str = "
    SELECT says FROM dataset_version
     WHERE owner = $1 AND name = $2 AND number < $3 AND $3 - $4 <= number
     ORDER BY number DESC";

impl Store {
    /// Whether the owners of the originals behind a version keep it from its
    /// owner.
    pub async fn dataset_withheld(&self, version: &DatasetVersionRow) -> Result<bool, StoreError> {
        if version.says.is_none() {
            return Ok(false);
        }
        let mut connection = self.read("look whether a version is withheld").await?;
        match made_by(&mut connection, version).await? {
            Maker::Run(run) => withheld(&mut connection, &version.dataset.owner, &run).await,
            Maker::Nobody => Ok(false),
        }
    }
}

/// What the parts of a version that are computed were computed by.
enum Maker {
    Run(RunId),
    /// None of its parts was, or its owner only said so.
    Nobody,
}

async fn made_by(
    connection: &mut Connection,
    version: &DatasetVersionRow,
) -> Result<Maker, StoreError> {
    let Some(digest) = &version.says else {
        return Ok(Maker::Nobody);
    };
    let said = says::find(connection, digest).await?;
    if let Some(made_by) = said.made_by {
        return Ok(Maker::Run(made_by.run));
    }
    if said.derived_from.is_empty() {
        return Ok(Maker::Nobody);
    }
    let question = query(BEFORE)
        .bind(version.dataset.owner.as_str())
        .bind(version.dataset.name.as_str())
        .bind(crate::fields::as_number(version.number))
        .bind(BACK_MAX);
    for row in connection.all(question).await? {
        let Some(digest) = row.parsed_maybe("says")? else {
            return Ok(Maker::Nobody);
        };
        let said = says::find(connection, &digest).await?;
        match said.made_by {
            Some(made_by) => return Ok(Maker::Run(made_by.run)),
            None if said.derived_from.is_empty() => return Ok(Maker::Nobody),
            None => {}
        }
    }
    Ok(Maker::Nobody)
}

/// Whether the caller of a run, who is the dataset's owner, may see nothing of
/// what came out of it. What nobody knows of is shown to nobody.
async fn withheld(
    connection: &mut Connection,
    owner: &Name,
    run: &RunId,
) -> Result<bool, StoreError> {
    let row = run::load(connection, run).await?;
    Ok(row.is_none_or(|row| row.is_withheld || row.caller != *owner))
}
