//! Functions and their versions.
//!
//! Everyone on the station may know which functions there are, what they say
//! of themselves and their digests. The source is for its developer, and for
//! the owners who are asked to let it run.

use std::sync::Arc;

use strongroom_core::{
    digest::Digest,
    json,
    manifest::{Files, Manifest},
    name::{Name, ObjectName, Reference},
    tree::Tree,
};
use strongroom_store::{FunctionContent, Page};

use super::{Actor, App, AppError, dependencies, show, source, versions::MESSAGE_LEN_MAX};
use crate::{
    api,
    dependencies::{Record, Relock},
};

/// The longest manifest, in bytes of canonical JSON.
pub const MANIFEST_LEN_MAX: usize = 128 * 1024;

impl App {
    pub async fn function_push(
        &self,
        actor: &Actor,
        name: &ObjectName,
        files: Files,
        (message, relock): (&str, Relock),
    ) -> Result<api::FunctionVersion, AppError> {
        actor.owns(&name.owner, "function")?;
        show::text_len("message", message, MESSAGE_LEN_MAX)?;
        let before = match self.store.function_find(name).await? {
            Some(row) => Some(self.function_content(&row.newest.version).await?),
            None => None,
        };
        let read = self
            .function_read(&actor.user, files, before.as_ref(), relock)
            .await?;
        let (tree, manifest, installed) = read;
        let now_ms = self.now_ms();
        let row = self
            .store
            .function_push(&actor.user, name, &tree, &manifest, message, now_ms)
            .await?;
        let mut shown = show::function_version(row, None);
        shown.installed = installed.map(dependencies::shown);
        Ok(shown)
    }

    /// What the files of a function are, with the packages that it needs; they
    /// are stored, and nothing is named. `before` is the version before.
    pub(super) async fn function_read(
        &self,
        by: &Name,
        mut files: Files,
        before: Option<&FunctionContent>,
        relock: Relock,
    ) -> Result<(Tree, Manifest, Option<Record>), AppError> {
        let mut manifest = Manifest::of_files(&files, &self.runtimes.kinds())?;
        let installed = self
            .depend(by, (&mut files, &mut manifest), before, relock)
            .await?;
        // Manifests are shown in lists, so one may not be as large as the files.
        let size = json::canonical_of(&manifest).len();
        if MANIFEST_LEN_MAX < size {
            let detail = format!("the manifest is {size} bytes, more than {MANIFEST_LEN_MAX}");
            return Err(AppError::Invalid {
                code: "bad_manifest",
                detail,
            });
        }
        let tree = self
            .source_store(&files, self.config.body.function_bytes_max)
            .await?;
        Ok((tree, manifest, installed))
    }

    pub async fn function_list(&self, page: Page) -> Result<api::Page<api::Function>, AppError> {
        Ok(show::page(
            self.store.function_list(page).await?,
            show::function,
        ))
    }

    pub async fn function(&self, name: &ObjectName) -> Result<api::Function, AppError> {
        let found = self.store.function_find(name).await?;
        found
            .map(show::function)
            .ok_or(AppError::NotFound("function"))
    }

    pub async fn function_log(
        &self,
        name: &ObjectName,
        page: Page,
    ) -> Result<api::Page<api::FunctionVersion>, AppError> {
        self.function(name).await?;
        let found = self.store.function_log(name, page).await?;
        Ok(show::page(found, |row| show::function_version(row, None)))
    }

    /// One version, with its source for its developer.
    pub async fn function_version(
        &self,
        actor: &Actor,
        reference: &Reference,
    ) -> Result<api::FunctionVersion, AppError> {
        let found = self.store.function_version(reference).await?;
        let row = found.ok_or(AppError::NotFound("function version"))?;
        let content = self.function_content(&row.version).await?;
        if actor.user != reference.name.owner {
            return Ok(show::function_version(row, None));
        }
        let files = source::shown(self.source_read(&content.tree).await?);
        let installed = self.installed(&row.manifest);
        Ok(api::FunctionVersion {
            packages: self.packages(&content).await?,
            installed,
            ..show::function_version(row, Some(files))
        })
    }

    /// What a version is, by its digest.
    pub(super) async fn function_content(
        &self,
        version: &Digest,
    ) -> Result<FunctionContent, AppError> {
        let found = self.store.function_content(version).await?;
        let found = found.ok_or(AppError::NotFound("function version"))?;
        Ok(Arc::unwrap_or_clone(found))
    }
}
