//! Runtimes: what functions can run on, and who adds to it.
//!
//! An admin brings a folder's files as the files of a dataset are brought; the
//! store keeps what a name stands for, and the launcher is shown a view of it,
//! which nobody changes. The store decides, and the launcher follows: after
//! each start it is told all that the store has.

use std::{collections::BTreeMap, sync::Arc};

use strongroom_core::{
    digest::Digest,
    limits::MIB,
    plan::RuntimePin,
    runtime::{
        Definition, MAIN_PROGRAM_LEN_MAX, RuntimeName, TOML_LEN_MAX, described_by,
        main_program_text,
    },
    tree::{Tree, TreeFile, TreePath},
};
use strongroom_run::{
    Furniture, RuntimeError,
    image::{ImageName, Images},
};
use strongroom_store::{InUse, Present, RuntimeRow, StoreError};
use tokio::sync::SemaphorePermit;

use super::{Actor, App, AppError, error::chain, show};
use crate::api;

/// The largest runtime, in bytes of all its files.
pub const RUNTIME_BYTES_MAX: u64 = 8 * 1024 * MIB;

impl App {
    /// What a run on `runtime` would run on.
    pub fn runtime(&self, runtime: &RuntimeName) -> Result<RuntimePin, AppError> {
        self.runtimes.pin(runtime).map_err(|error| match error {
            RuntimeError::Missing { runtime, .. } | RuntimeError::Unknown(runtime) => {
                AppError::Invalid {
                    code: "no_runtime",
                    detail: format!("this station has no runtime `{runtime}`"),
                }
            }
            other => AppError::internal("pin a runtime")(other),
        })
    }

    /// Tells the launcher of every runtime in the store. One that cannot be
    /// had is said in the log, and is missing for those who ask for it.
    pub async fn runtimes_load(&self) -> Result<(), StoreError> {
        for row in self.store.runtime_list().await? {
            if let Err(error) = self.runtime_load(&row.name).await {
                let error = chain(&error);
                tracing::error!(runtime = %row.name, error, "could not load a runtime");
            }
        }
        Ok(())
    }

    pub async fn runtime_list(&self) -> Result<Vec<api::Runtime>, AppError> {
        let rows = self.store.runtime_list().await?;
        let rows: BTreeMap<RuntimeName, RuntimeRow> = rows
            .into_iter()
            .map(|row| (row.name.clone(), row))
            .collect();
        let all = self.runtimes.all();
        Ok(all
            .iter()
            .map(|one| self.shown(one, rows.get(one.name()), None))
            .collect())
    }

    pub async fn runtime_show(&self, name: &RuntimeName) -> Result<api::Runtime, AppError> {
        let all = self.runtimes.all();
        let found = all.iter().find(|one| one.name() == name);
        let found = found.ok_or(AppError::NotFound("runtime"))?;
        Ok(match self.store.runtime_find(name).await? {
            Some((row, files)) => self.shown(found, Some(&row), Some(files)),
            None => self.shown(found, None, None),
        })
    }

    pub async fn runtime_add(
        &self,
        actor: &Actor,
        new: api::NewRuntime,
    ) -> Result<api::Runtime, AppError> {
        actor.admin("page")?;
        let files = Tree::try_from(new.files)?;
        if RUNTIME_BYTES_MAX < files.size_bytes() {
            let most = strongroom_core::run::bytes_shown(RUNTIME_BYTES_MAX);
            return Err(AppError::TooLarge(format!(
                "the files are more than {most}"
            )));
        }
        let image = self.runtime_check(actor, &new.name, &files).await?;
        let present = match new.replace {
            true => Present::Replaced,
            false => Present::Stays,
        };
        let _turn = self.runtime_turn().await?;
        // Before the runtime is there, so that its image is not cleared away.
        if let Some(image) = image {
            self.image_name(&new.name, Some(image)).await?;
        }
        let row = self
            .store
            .runtime_add(&actor.user, &new.name, &files, present, self.now_ms())
            .await?;
        self.runtime_load(&new.name).await?;
        if image.is_none() {
            self.image_name(&new.name, None).await?;
        }
        let mut shown = self.runtime_show(&new.name).await?;
        shown.unchanged = row.unchanged;
        Ok(shown)
    }

    pub async fn runtime_remove(
        &self,
        actor: &Actor,
        name: &RuntimeName,
        force: bool,
    ) -> Result<(), AppError> {
        actor.admin("runtime")?;
        if self.runtimes.is_shipped(name) {
            let detail = format!("{name} is shipped with Strongroom");
            return Err(AppError::Conflict(detail));
        }
        let in_use = match force {
            true => InUse::Removed,
            false => InUse::Stays,
        };
        let _turn = self.runtime_turn().await?;
        self.store
            .runtime_remove(&actor.user, name, in_use, self.now_ms())
            .await
            .map_err(|error| show::missing(error, "runtime"))?;
        self.runtimes.remove(name);
        self.image_name(name, None).await
    }

    /// Refuses what would be no runtime, before anything is kept. Answers the
    /// image that it names.
    async fn runtime_check(
        &self,
        actor: &Actor,
        name: &RuntimeName,
        files: &Tree,
    ) -> Result<Option<Digest>, AppError> {
        let wrong = |error: &dyn std::error::Error| AppError::invalid("bad_runtime", error);
        let mut texts = BTreeMap::new();
        for path in described_by(files) {
            let text = self.runtime_file(actor, files, &path, TOML_LEN_MAX).await?;
            texts.insert(path, String::from_utf8_lossy(&text).into_owned());
        }
        let definition = Definition::of_folder(files, &texts);
        let definition = definition.map_err(|error| wrong(&error))?;
        if let Some(path) = &definition.main_program {
            let text = self
                .runtime_file(actor, files, path, MAIN_PROGRAM_LEN_MAX)
                .await?;
            main_program_text(text).map_err(|error| wrong(&error))?;
        }
        let image = definition.image;
        let (runtimes, name) = (Arc::clone(&self.runtimes), name.clone());
        let checked = tokio::task::spawn_blocking(move || runtimes.check(&name, &definition));
        let checked = checked
            .await
            .map_err(AppError::internal("look at a runtime"))?;
        checked.map_err(|error| wrong(&error))?;
        Ok(image)
    }

    /// Gives the image of a runtime the runtime's name, or takes it away.
    async fn image_name(
        &self,
        runtime: &RuntimeName,
        image: Option<Digest>,
    ) -> Result<(), AppError> {
        let Some(images) = Images::of_home(&self.config.home) else {
            return Ok(());
        };
        let name = ImageName::of_runtime(runtime);
        let named = tokio::task::spawn_blocking(move || match image {
            Some(image) => images.call(&image, &name),
            None => images.forget(&name),
        });
        named
            .await
            .map_err(AppError::internal("name an image"))?
            .map_err(AppError::internal("name an image"))
    }

    /// A file that `actor` has brought; whoever has not learns nothing of it.
    async fn runtime_file(
        &self,
        actor: &Actor,
        files: &Tree,
        path: &TreePath,
        len_max: usize,
    ) -> Result<Vec<u8>, AppError> {
        let Some(file) = files.get(path) else {
            return Err(AppError::Invalid {
                code: "bad_runtime",
                detail: format!("there is no file `{path}` in the folder"),
            });
        };
        let digest = file.digest;
        if !self
            .store
            .blobs_missing(&actor.user, &[digest])
            .await?
            .is_empty()
        {
            let path = path.clone();
            return Err(StoreError::BlobMissing { path, digest }.into());
        }
        Ok(self.store.blobs().read(&digest, len_max as u64).await?)
    }

    /// Runtimes change one at a time, so that the launcher hears of them in
    /// the store's order.
    async fn runtime_turn(&self) -> Result<SemaphorePermit<'_>, AppError> {
        let turn = self.runtime_change.acquire().await;
        turn.map_err(AppError::internal("wait for a turn"))
    }

    /// Tells the launcher what the store has under this name.
    async fn runtime_load(&self, name: &RuntimeName) -> Result<(), AppError> {
        let found = self.store.runtime_find(name).await?;
        let (row, files) = found.ok_or(AppError::NotFound("runtime"))?;
        let folder = self.store.blobs().view(&files).await?;
        let (runtimes, name) = (Arc::clone(&self.runtimes), name.clone());
        // It may have an image to unpack.
        let added = tokio::task::spawn_blocking(move || runtimes.add(name, &folder, row.tree));
        added
            .await
            .map_err(AppError::internal("load a runtime"))?
            .map_err(AppError::internal("load a runtime"))
    }

    fn shown(
        &self,
        one: &Furniture,
        row: Option<&RuntimeRow>,
        files: Option<Tree>,
    ) -> api::Runtime {
        let pin = self.runtimes.pin(one.name());
        let files: Option<BTreeMap<String, TreeFile>> = files.map(Into::into);
        api::Runtime {
            name: one.name().clone(),
            description: one.description().to_owned(),
            shipped: self.runtimes.is_shipped(one.name()),
            base: one.base().cloned(),
            suffix: one.files().suffix.clone(),
            preload: one.preload().to_vec(),
            image: one.image(),
            missing: pin.as_ref().err().map(missing),
            digest: pin.ok().map(|pin| pin.digest),
            added: row.map(|row| api::RuntimeAdded {
                author: row.author.clone(),
                at_ms: row.at_ms,
                tree: row.tree,
                files,
            }),
            unchanged: false,
        }
    }
}

/// Why a runtime cannot be had, for everyone; paths of the host only where
/// they are the name of an interpreter.
fn missing(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Missing { .. } => error.to_string(),
        _ => "its interpreter cannot be used; the station's log says why".to_owned(),
    }
}
