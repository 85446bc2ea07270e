//! What versions say of themselves, kept once each by its digest.

use strongroom_core::{digest::Digest, json, version::Says};

use super::DatasetVersionRow;
use crate::{Connection, Store, Tx, error::StoreError, question::query};

const KEEP: &str = "
    INSERT INTO dataset_says (digest, content) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";

const OF_VERSION: &str = "SELECT says FROM dataset_version WHERE version = $1 LIMIT 1";

const FIND: &str = "SELECT content FROM dataset_says WHERE digest = $1";

impl Store {
    /// What the version with this digest says of itself.
    pub async fn version_says(&self, version: &Digest) -> Result<Says, StoreError> {
        let mut connection = self.read("read what a version says").await?;
        of(&mut connection, version).await
    }

    /// What a version says of itself.
    pub async fn dataset_says(&self, version: &DatasetVersionRow) -> Result<Says, StoreError> {
        let Some(digest) = &version.says else {
            return Ok(Says::default());
        };
        let mut connection = self.read("read what a version says").await?;
        find(&mut connection, digest).await
    }
}

/// Keeps the document, if it says anything.
pub(super) async fn keep(tx: &mut Tx, says: &Says) -> Result<Option<Digest>, StoreError> {
    if says.is_empty() {
        return Ok(None);
    }
    let content = json::canonical_of(says);
    let digest = Digest::of(content.as_bytes());
    let question = query(KEEP).bind(digest.to_string()).bind(content);
    tx.execute(question).await?;
    Ok(Some(digest))
}

/// What the version with this digest says.
pub(super) async fn of(connection: &mut Connection, version: &Digest) -> Result<Says, StoreError> {
    let found = connection
        .one(query(OF_VERSION).bind(version.to_string()))
        .await?;
    let row = found.ok_or(StoreError::NotFound)?;
    match row.parsed_maybe("says")? {
        Some(digest) => find(connection, &digest).await,
        None => Ok(Says::default()),
    }
}

pub(super) async fn find(connection: &mut Connection, digest: &Digest) -> Result<Says, StoreError> {
    let found = connection.one(query(FIND).bind(digest.to_string())).await?;
    let row = found.ok_or_else(|| StoreError::corrupt(format!("there is no document {digest}")))?;
    let content = row.text("content")?;
    if Digest::of(content.as_bytes()) != *digest {
        return Err(StoreError::corrupt(format!("document {digest} is another")));
    }
    row.json("content")
}
