//! A function's files in memory, and as JSON shows them.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use strongroom_core::{
    manifest::Files,
    run::bytes_shown,
    tree::{Tree, TreeFile, TreePath},
};

use super::{App, AppError};
use crate::api::Source;

/// Parses the files of a JSON body.
pub fn parse(raw: BTreeMap<String, Source>) -> Result<Files, AppError> {
    let mut files = Files::new();
    for (path, source) in raw {
        let path: TreePath = path.parse()?;
        let bytes = match source {
            Source::Text(text) => text.into_bytes(),
            Source::Bytes { base64 } => {
                BASE64
                    .decode(base64.as_bytes())
                    .map_err(|error| AppError::Malformed {
                        code: "bad_base64",
                        detail: format!("files.{path}: {error}"),
                    })?
            }
        };
        files.insert(path, bytes);
    }
    Ok(files)
}

/// Files as JSON shows them: text where they are UTF-8.
pub fn shown(files: Files) -> BTreeMap<String, Source> {
    let show = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => Source::Text(text),
        Err(error) => Source::Bytes {
            base64: BASE64.encode(error.as_bytes()),
        },
    };
    files
        .into_iter()
        .map(|(path, bytes)| (path.to_string(), show(bytes)))
        .collect()
}

impl App {
    /// Stores a function's files and makes them a tree.
    ///
    /// # Errors
    ///
    /// When the paths break a tree's laws or the files are too large together.
    pub(super) async fn source_store(
        &self,
        files: &Files,
        bytes_max: u64,
    ) -> Result<Tree, AppError> {
        let size: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
        if bytes_max < size {
            let (size, most) = (bytes_shown(size), bytes_shown(bytes_max));
            return Err(AppError::TooLarge(format!(
                "the files are {size}, more than {most}"
            )));
        }
        // The laws first, so that nothing of a bad tree reaches the disk.
        let entries = files.iter().map(|(path, bytes)| {
            let digest = strongroom_core::digest::Digest::of(bytes);
            (
                path.clone(),
                TreeFile {
                    digest,
                    size_bytes: bytes.len() as u64,
                },
            )
        });
        let tree = Tree::new(entries)?;
        for bytes in files.values() {
            self.store.blobs().put_bytes(bytes).await?;
        }
        Ok(tree)
    }

    /// Reads a function's files back.
    pub(super) async fn source_read(&self, tree: &Tree) -> Result<Files, AppError> {
        let mut files = Files::new();
        for (path, file) in tree.files() {
            files.insert(
                path.clone(),
                self.store
                    .blobs()
                    .read(&file.digest, file.size_bytes)
                    .await?,
            );
        }
        Ok(files)
    }
}
