//! Trees, kept once each by their digest.

use std::collections::BTreeSet;

use strongroom_core::{digest::Digest, json, name::Name, tree::Tree};

use crate::{Connection, Store, Tx, error::StoreError, question::query, user};

const KEEP: &str = "
    INSERT INTO tree (digest, content) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";

const FIND: &str = "SELECT content FROM tree WHERE digest = $1";

const OF_DATASET: &str = "SELECT tree FROM dataset_version WHERE version = $1 LIMIT 1";

pub(crate) async fn keep(tx: &mut Tx, digest: &Digest, tree: &Tree) -> Result<(), StoreError> {
    let content = json::canonical_of(tree);
    let question = query(KEEP).bind(digest.to_string()).bind(content);
    tx.execute(question).await.map(drop)
}

pub(crate) async fn find(
    connection: &mut Connection,
    digest: &Digest,
) -> Result<Option<Tree>, StoreError> {
    let question = query(FIND).bind(digest.to_string());
    let Some(row) = connection.one(question).await? else {
        return Ok(None);
    };
    let tree: Tree = row.json("content")?;
    if tree.digest() != *digest {
        return Err(StoreError::corrupt(format!("tree {digest} is another")));
    }
    Ok(Some(tree))
}

impl Store {
    /// The files of a version.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when no dataset has such a version.
    pub async fn dataset_tree(&self, version: &Digest) -> Result<Tree, StoreError> {
        let mut connection = self.read("read a dataset's files").await?;
        let question = query(OF_DATASET).bind(version.to_string());
        let found = connection.one(question).await?;
        let digest: Digest = found.ok_or(StoreError::NotFound)?.parsed("tree")?;
        let tree = find(&mut connection, &digest).await?;
        tree.ok_or_else(|| StoreError::corrupt(format!("there is no tree {digest}")))
    }

    /// Refuses a tree with a file that `user` has not brought himself.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`] with the file.
    pub async fn tree_check(&self, user: &Name, tree: &Tree) -> Result<(), StoreError> {
        let mut connection = self.read("look for a tree's files").await?;
        let digests: BTreeSet<Digest> = tree.files().map(|(_, file)| file.digest).collect();
        let digests: Vec<Digest> = digests.into_iter().collect();
        let held = user::held(&mut connection, user, &digests).await?;
        for (path, file) in tree.files() {
            if held.get(&file.digest) != Some(&file.size_bytes) {
                return Err(StoreError::BlobMissing {
                    path: path.clone(),
                    digest: file.digest,
                });
            }
        }
        Ok(())
    }
}
