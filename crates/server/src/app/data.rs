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
use strongroom_store::{BlobError, DatasetRow, DatasetVersionRow, Page};
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
        let mut items = Vec::new();
        for row in found.items {
            items.push(self.dataset_shown(row).await?);
        }
        Ok(api::Page {
            items,
            next: found.next,
        })
    }

    pub async fn dataset(
        &self,
        actor: &Actor,
        name: &ObjectName,
    ) -> Result<api::Dataset, AppError> {
        actor.owns(&name.owner, "dataset")?;
        let found = self.store.dataset_find(name).await?;
        let row = found.ok_or(AppError::NotFound("dataset"))?;
        self.dataset_shown(row).await
    }

    async fn dataset_shown(&self, row: DatasetRow) -> Result<api::Dataset, AppError> {
        Ok(api::Dataset {
            name: row.newest.dataset.clone(),
            newest: self.version_listed(row.newest).await?,
            version_count: row.version_count,
        })
    }

    /// A version as lists have it, without its words where it is withheld.
    pub(super) async fn version_listed(
        &self,
        row: DatasetVersionRow,
    ) -> Result<api::DatasetVersion, AppError> {
        let withheld = self.store.dataset_withheld(&row).await?;
        let shown = show::dataset_version(row);
        Ok(match withheld {
            true => show::withheld(shown),
            false => shown,
        })
    }

    pub async fn dataset_log(
        &self,
        actor: &Actor,
        name: &ObjectName,
        page: Page,
    ) -> Result<api::Page<api::DatasetVersion>, AppError> {
        self.dataset(actor, name).await?;
        let found = self.store.dataset_log(name, page).await?;
        let mut items = Vec::new();
        for row in found.items {
            items.push(self.version_listed(row).await?);
        }
        Ok(api::Page {
            items,
            next: found.next,
        })
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

    /// A version of one's own dataset, with its files: the one way to read what
    /// is in a version.
    ///
    /// # Errors
    ///
    /// [`AppError::Withheld`] for one that a run made, when nothing of what
    /// came out of that run is shown any more.
    pub(super) async fn dataset_tree(
        &self,
        actor: &Actor,
        reference: &Reference,
    ) -> Result<(DatasetVersionRow, Tree), AppError> {
        let row = self.version_row(actor, reference).await?;
        if self.store.dataset_withheld(&row).await? {
            return Err(AppError::Withheld);
        }
        let tree = self.store.dataset_tree(&row.version).await?;
        Ok((row, tree))
    }

    pub(super) async fn version_row(
        &self,
        actor: &Actor,
        reference: &Reference,
    ) -> Result<DatasetVersionRow, AppError> {
        actor.owns(&reference.name.owner, "dataset")?;
        let found = self.store.dataset_version(reference).await?;
        found.ok_or(AppError::NotFound("dataset version"))
    }
}

/// A failed write is the client's fault when his body broke off.
pub(super) fn blame(fault: &Fault, error: BlobError) -> AppError {
    fault.or(|| AppError::from(error))
}
