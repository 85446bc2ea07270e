//! Files and datasets.
//!
//! A dataset belongs to the user whose name it bears; to everyone else it is
//! not there, except as a name in a question to its owner. A file that was
//! uploaded is its uploader's until a version of a dataset holds it.

use strongroom_core::{
    digest::Digest,
    name::{ObjectName, Reference},
    tree::{Tree, TreePath},
};
use strongroom_store::{BlobError, DatasetVersionRow, Page};
use tokio::fs::File;

use super::{
    Actor, App, AppError,
    incoming::{Fault, Incoming},
    show,
};
use crate::api;

/// The most digests asked for at once.
pub const DIGESTS_MAX: usize = 10_000;

/// A file that may be read, open.
pub struct OpenFile {
    pub file: File,
    pub digest: Digest,
    pub size_bytes: u64,
    pub name: String,
}

impl App {
    /// Which files this user has still to upload.
    pub async fn blobs_missing(
        &self,
        actor: &Actor,
        asked: api::BlobsAsked,
    ) -> Result<api::BlobsMissing, AppError> {
        if DIGESTS_MAX < asked.digests.len() {
            let found = asked.digests.len();
            let detail = format!("digests: {found} at once, more than {DIGESTS_MAX}");
            return Err(AppError::Invalid {
                code: "too_many",
                detail,
            });
        }
        let missing = self
            .store
            .blobs_missing(&actor.user, &asked.digests)
            .await?;
        Ok(api::BlobsMissing { missing })
    }

    /// Stores a file that must have this digest.
    pub async fn blob_put(
        &self,
        actor: &Actor,
        digest: Digest,
        body: Incoming,
    ) -> Result<(), AppError> {
        let fault = body.fault();
        let size_max = self.config.body.blob_bytes_max;
        let reader = body.into_async_read();
        let put = self.store.blobs().put(reader, Some(digest), size_max).await;
        let put = put.map_err(|error| blame(&fault, error))?;
        self.store
            .blob_claim(&actor.user, &put.digest, put.size_bytes)
            .await?;
        Ok(())
    }

    /// The caller's own datasets.
    pub async fn dataset_list(
        &self,
        actor: &Actor,
        page: Page,
    ) -> Result<api::Page<api::Dataset>, AppError> {
        let found = self.store.dataset_list(&actor.user, page).await?;
        Ok(show::page(found, show::dataset))
    }

    pub async fn dataset(
        &self,
        actor: &Actor,
        name: &ObjectName,
    ) -> Result<api::Dataset, AppError> {
        actor.owns(&name.owner, "dataset")?;
        let found = self.store.dataset_find(name).await?;
        found
            .map(show::dataset)
            .ok_or(AppError::NotFound("dataset"))
    }

    pub async fn dataset_log(
        &self,
        actor: &Actor,
        name: &ObjectName,
        page: Page,
    ) -> Result<api::Page<api::DatasetVersion>, AppError> {
        self.dataset(actor, name).await?;
        let found = self.store.dataset_log(name, page).await?;
        Ok(show::page(found, show::dataset_version))
    }

    /// Opens one file of one's own dataset.
    pub async fn dataset_file(
        &self,
        actor: &Actor,
        reference: &Reference,
        path: &TreePath,
    ) -> Result<OpenFile, AppError> {
        let (_, tree) = self.dataset_tree(actor, reference).await?;
        let file = tree.get(path).ok_or(AppError::NotFound("file"))?;
        self.blob_open(file.digest, file.size_bytes, path).await
    }

    pub(super) async fn blob_open(
        &self,
        digest: Digest,
        size_bytes: u64,
        path: &TreePath,
    ) -> Result<OpenFile, AppError> {
        let file = self.store.blobs().open(&digest).await?;
        Ok(OpenFile {
            file,
            digest,
            size_bytes,
            name: path.file_name().to_owned(),
        })
    }

    pub(super) async fn dataset_tree(
        &self,
        actor: &Actor,
        reference: &Reference,
    ) -> Result<(DatasetVersionRow, Tree), AppError> {
        actor.owns(&reference.name.owner, "dataset")?;
        let found = self.store.dataset_version(reference).await?;
        let row = found.ok_or(AppError::NotFound("dataset version"))?;
        let tree = self.store.dataset_tree(&row.version).await?;
        Ok((row, tree))
    }
}

/// A failed write is the client's fault when his body broke off.
pub(super) fn blame(fault: &Fault, error: BlobError) -> AppError {
    fault.or(|| AppError::from(error))
}
