//! Datasets and functions pushed as one tar archive.
//!
//! A dataset's files go to the blob store while they arrive, in constant
//! memory; only when the whole archive was lawful do they become the pusher's
//! and a version. A function is small and is read as a whole.

use std::collections::BTreeMap;

use strongroom_core::{
    manifest::Files,
    name::ObjectName,
    tree::{Tree, TreeFile, TreePath},
    version::Changes,
};
use strongroom_store::Blobs;

use super::{
    Actor, App, AppError,
    archive::{self, ArchiveError},
    incoming::{BlockingRead, Incoming},
    versions::NewFiles,
};
use crate::api;

impl App {
    pub async fn dataset_push_tar(
        &self,
        actor: &Actor,
        name: &ObjectName,
        message: &str,
        body: Incoming,
    ) -> Result<api::DatasetVersion, AppError> {
        actor.owns(&name.owner, "dataset")?;
        super::show::text_len("message", message, super::versions::MESSAGE_LEN_MAX)?;
        let _place = self.unpacking.acquire().await;
        let fault = body.fault();
        let (feed, mut reader) = body.into_blocking();
        let (blobs, most) = (self.store.blobs().clone(), self.config.body.blob_bytes_max);
        let unpack = tokio::task::spawn_blocking(move || unpack(&mut reader, &blobs, most));
        // The feed ends when the body does or when the unpacker drops its end.
        let (unpacked, ()) = tokio::join!(unpack, feed);
        let files = unpacked
            .map_err(AppError::internal("unpack an archive"))?
            .map_err(|error| fault.or(|| AppError::from(error)))?;
        let tree = Tree::new(files)?;
        let mut claimed = BTreeMap::new();
        for (_, file) in tree.files() {
            claimed.insert(file.digest, file.size_bytes);
        }
        for (digest, size_bytes) in claimed {
            self.store
                .blob_claim(&actor.user, &digest, size_bytes)
                .await?;
        }
        let new = NewFiles::brought(tree, message.to_owned(), Changes::default());
        let row = self.dataset_version_add(&actor.user, name, new).await?;
        self.version_shown(row).await
    }
}

fn unpack(
    reader: &mut BlockingRead,
    blobs: &Blobs,
    bytes_max: u64,
) -> Result<BTreeMap<TreePath, TreeFile>, ArchiveError> {
    archive::read(reader, BlockingRead::zeros_at_end, |_, _, from| {
        let put = blobs
            .put_reader(from, bytes_max)
            .map_err(std::io::Error::other)?;
        Ok(TreeFile {
            digest: put.digest,
            size_bytes: put.size_bytes,
        })
    })
}

/// Reads a function's files out of an archive that is in memory.
///
/// # Errors
///
/// [`AppError::TooLarge`] as soon as the files are more than `bytes_max`.
pub fn function_files(bytes: &[u8], bytes_max: u64) -> Result<Files, AppError> {
    let mut left = bytes_max;
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count() as u64;
    let mut from = bytes;
    let read = archive::read(
        &mut from,
        |_| zeros,
        |_, size, from| {
            if left < size {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::FileTooLarge,
                    "too large",
                ));
            }
            left -= size;
            let mut file = Vec::new();
            from.read_to_end(&mut file)?;
            Ok(file)
        },
    );
    match read {
        Err(ArchiveError::Store { source, .. })
            if source.kind() == std::io::ErrorKind::FileTooLarge =>
        {
            let most = strongroom_core::run::bytes_shown(bytes_max);
            Err(AppError::TooLarge(format!(
                "the files are more than {most}"
            )))
        }
        Err(error) => Err(error.into()),
        Ok(files) => Ok(files),
    }
}

impl From<ArchiveError> for AppError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Store { source, .. } => blob_trouble(source),
            fault => Self::invalid("bad_archive", &fault),
        }
    }
}

/// Takes the blob store's error back out of the reader's.
fn blob_trouble(error: std::io::Error) -> AppError {
    match error.downcast::<strongroom_store::BlobError>() {
        Ok(blob) => blob.into(),
        // The archive itself broke off inside this file.
        Err(_) => AppError::from(ArchiveError::CutOff),
    }
}
