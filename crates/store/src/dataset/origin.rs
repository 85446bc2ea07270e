//! Which original versions are behind a version, whatever came between.
//!
//! They are written down with the version that was derived, so one question
//! answers for the longest chain, and the answer stays when a dataset between
//! is removed. An original is behind itself.

use std::collections::BTreeSet;

use strongroom_core::{
    digest::Digest,
    name::{Name, ObjectName},
    plan::InputVersion,
};

use crate::{Connection, Store, Tx, error::StoreError, question::query};

const ADD: &str = "
    INSERT INTO dataset_origin (version, owner, name, origin) VALUES ($1, $2, $3, $4)
    ON CONFLICT (version, owner, name, origin) DO NOTHING";

const OF: &str = "
    SELECT owner, name, origin FROM dataset_origin WHERE version = $1 ORDER BY owner, name, origin";

const RENAME: &str = "
    UPDATE dataset_origin SET name = $3 WHERE owner = $1 AND name = $2";

const DERIVED: &str = "
    SELECT DISTINCT v.owner, v.name
      FROM dataset_origin o JOIN dataset_version v ON v.version = o.version
     WHERE o.owner = $1 AND o.name = $2 AND (v.owner <> $1 OR v.name <> $2)
     ORDER BY v.owner, v.name";

impl Store {
    /// The originals behind `inputs`: what carries their labels carries these.
    pub async fn dataset_origins(
        &self,
        inputs: impl IntoIterator<Item = &InputVersion>,
    ) -> Result<BTreeSet<InputVersion>, StoreError> {
        let mut connection = self.read("look where a dataset comes from").await?;
        let mut all = BTreeSet::new();
        for input in inputs {
            all.extend(behind(&mut connection, input).await?);
        }
        Ok(all)
    }
}

/// The originals behind one version: itself, if it was not derived.
pub(crate) async fn behind(
    connection: &mut Connection,
    input: &InputVersion,
) -> Result<BTreeSet<InputVersion>, StoreError> {
    let rows = connection
        .all(query(OF).bind(input.version.to_string()))
        .await?;
    if rows.is_empty() {
        return Ok(BTreeSet::from([input.clone()]));
    }
    let one = |row: &crate::Fields| {
        Ok(InputVersion {
            dataset: ObjectName {
                owner: row.parsed("owner")?,
                name: row.parsed("name")?,
            },
            version: row.parsed("origin")?,
        })
    };
    rows.iter().map(one).collect()
}

pub(super) async fn add(
    tx: &mut Tx,
    version: &Digest,
    origins: &BTreeSet<InputVersion>,
) -> Result<(), StoreError> {
    for origin in origins {
        let question = query(ADD)
            .bind(version.to_string())
            .bind(origin.dataset.owner.as_str())
            .bind(origin.dataset.name.as_str())
            .bind(origin.version.to_string());
        tx.execute(question).await?;
    }
    Ok(())
}

pub(super) async fn rename(tx: &mut Tx, from: &ObjectName, to: &Name) -> Result<(), StoreError> {
    let question = query(RENAME)
        .bind(from.owner.as_str())
        .bind(from.name.as_str())
        .bind(to.as_str());
    tx.execute(question).await.map(drop)
}

/// The other datasets with a version that was derived from `name`.
pub(super) async fn derived(
    connection: &mut Connection,
    name: &ObjectName,
) -> Result<Vec<ObjectName>, StoreError> {
    let question = query(DERIVED)
        .bind(name.owner.as_str())
        .bind(name.name.as_str());
    let rows = connection.all(question).await?;
    let one = |row: &crate::Fields| {
        Ok(ObjectName {
            owner: row.parsed("owner")?,
            name: row.parsed("name")?,
        })
    };
    rows.iter().map(one).collect()
}
