//! What functions are, whatever they are called.
//!
//! A function version's digest covers what runs, the files and the manifest,
//! because that is what owners approve: the same content is the same version
//! whenever and wherever it is pushed. Content may be kept without any name,
//! as a script is.

use std::sync::Arc;

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    json::{canonical, canonical_of},
    manifest::Manifest,
    tree::Tree,
};

use crate::{Connection, Store, Tx, error::StoreError, question::query, tree};

/// What a version is, whatever it is called.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionContent {
    pub version: Digest,
    pub tree: Tree,
    pub manifest: Manifest,
}

impl FunctionContent {
    /// The digest of the version that has this content.
    pub fn version_of(tree: &Tree, manifest: &Manifest) -> Digest {
        let content = json!({ "tree": tree.digest(), "manifest": manifest });
        Digest::of(canonical(&content).as_bytes())
    }
}

/// How many versions are remembered, and of how many files at most each.
pub(crate) const RECENT_MAX: usize = 512;
const RECENT_FILES_MAX: usize = 100;

const KEEP: &str = "
    INSERT INTO function_content (version, tree, manifest) VALUES ($1, $2, $3)
    ON CONFLICT (version) DO NOTHING";

const CONTENT: &str = "SELECT tree, manifest FROM function_content WHERE version = $1";

impl Store {
    /// Keeps content that has no name, for a script; the version to plan with.
    /// There is no audit event: the run that uses it is the event.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`] for a file that was not put.
    pub async fn function_keep(
        &self,
        tree: &Tree,
        manifest: &Manifest,
    ) -> Result<Digest, StoreError> {
        self.blobs().check(tree).await?;
        let (tree, manifest) = (tree.clone(), manifest.clone());
        self.change("keep a script", move |tx| {
            Box::pin(async move { keep(tx, &tree, &manifest).await })
        })
        .await
    }

    /// What a version is: of a function or of a script.
    pub async fn function_content(
        &self,
        version: &Digest,
    ) -> Result<Option<Arc<FunctionContent>>, StoreError> {
        if let Some(content) = self.inner.contents.get(version) {
            return Ok(Some(content));
        }
        let mut connection = self.read("read a function").await?;
        let question = query(CONTENT).bind(version.to_string());
        let Some(row) = connection.one(question).await? else {
            return Ok(None);
        };
        let digest: Digest = row.parsed("tree")?;
        let tree = tree::find(&mut connection, &digest).await?;
        let tree = tree.ok_or_else(|| StoreError::corrupt(format!("there is no tree {digest}")))?;
        let manifest: Manifest = row.json("manifest")?;
        if FunctionContent::version_of(&tree, &manifest) != *version {
            let what = format!("function {version} is another");
            return Err(StoreError::Corrupt { what });
        }
        let content = Arc::new(FunctionContent {
            version: *version,
            tree,
            manifest,
        });
        if content.tree.file_count() <= RECENT_FILES_MAX {
            self.inner.contents.put(*version, Arc::clone(&content));
        }
        Ok(Some(content))
    }
}

/// Whether there is such content.
pub(crate) async fn exists(
    connection: &mut Connection,
    version: &Digest,
) -> Result<bool, StoreError> {
    let question = query(CONTENT).bind(version.to_string());
    Ok(connection.one(question).await?.is_some())
}

pub(crate) async fn keep(
    tx: &mut Tx,
    tree: &Tree,
    manifest: &Manifest,
) -> Result<Digest, StoreError> {
    let digest = tree.digest();
    let version = FunctionContent::version_of(tree, manifest);
    tree::keep(tx, &digest, tree).await?;
    let question = query(KEEP)
        .bind(version.to_string())
        .bind(digest.to_string())
        .bind(canonical_of(manifest));
    tx.execute(question).await?;
    Ok(version)
}
