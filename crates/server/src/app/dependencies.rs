//! The packages of a function, from its push to its runs.

use strongroom_core::{
    dependency::{Package, Wishes},
    digest::Digest,
    manifest::{Files, Manifest},
    name::Name,
    runtime::RuntimeName,
};
use strongroom_store::FunctionContent;

use super::{Actor, App, AppError};
use crate::{
    api,
    dependencies::{
        DependError, Function, InstallError, Locks, Record, Relock, Step, Written, lock_of,
        lock_path, written,
    },
};

impl App {
    /// Adds to a function that is pushed the lock of what it needs, and
    /// installs that. `before` is the version that was the newest.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] says which line of the requirements, or what the
    /// index had to say to them; nothing of the function is kept.
    pub(super) async fn depend(
        &self,
        by: &Name,
        (files, manifest): (&mut Files, &mut Manifest),
        before: Option<&FunctionContent>,
        relock: Relock,
    ) -> Result<Option<Record>, AppError> {
        let wishes = Manifest::wishes(files, &self.runtimes.kinds())?;
        let runtime = self.runtimes.find(&manifest.runtime);
        let last = match before {
            Some(content) => self.lock_of(content).await?,
            None => None,
        };
        let locks = Locks {
            last,
            others: Vec::new(),
        };
        let function = Function {
            by,
            files,
            manifest,
            wishes,
            brought: runtime.as_ref().and_then(|runtime| runtime.brought()),
        };
        let view = async |files: &Files| {
            let most = self.config.body.function_bytes_max;
            let tree = self.source_store(files, most).await?;
            Ok::<_, AppError>(self.store.blobs().view(&tree).await?)
        };
        self.installer.depend(function, locks, relock, view).await
    }

    /// Adds to a script the lock of what it needs, as to a function, and installs
    /// that; says whether there is one. A script has no version before it, so
    /// one that needs the same is given what was resolved for that last.
    ///
    /// # Errors
    ///
    /// As [`App::depend`].
    pub(super) async fn depend_script(
        &self,
        by: &Name,
        files: &mut Files,
        manifest: &mut Manifest,
    ) -> Result<bool, AppError> {
        let locks = Locks {
            last: None,
            others: self.installer.resolved(&manifest.runtime),
        };
        let function = Function {
            by,
            files,
            manifest,
            wishes: Wishes::default(),
            brought: None,
        };
        let view = async |files: &Files| {
            let most = self.config.script.upload_bytes_max;
            let tree = self.source_store(files, most).await;
            let tree = tree.map_err(OfScript::App)?;
            let view = self.store.blobs().view(&tree).await;
            view.map_err(|error| OfScript::App(error.into()))
        };
        let installed = self.installer.depend(function, locks, Relock::No, view);
        match installed.await {
            Ok(installed) => Ok(installed.is_some()),
            // What cannot be read says so itself, when it is run.
            Err(OfScript::Depend(DependError::Install(InstallError::Failed {
                step: Step::Imports,
                ..
            }))) => Ok(false),
            Err(OfScript::Depend(error)) => Err(error.into()),
            Err(OfScript::App(error)) => Err(error),
        }
    }

    /// Installs what the functions of a runtime are run with, ahead of them.
    pub async fn runtime_build(
        &self,
        actor: &Actor,
        name: &RuntimeName,
    ) -> Result<api::Installed, AppError> {
        actor.admin("page")?;
        let runtime = self.runtimes.find(name);
        let runtime = runtime.ok_or(AppError::NotFound("runtime"))?;
        let Some(brought) = runtime.brought() else {
            // It brings none, so all of them are there.
            return Ok(api::Installed::default());
        };
        let lock = lock_of(brought).map_err(DependError::from)?;
        let installed = self
            .installer
            .install(&actor.user, name, &lock, Default::default());
        Ok(shown(installed.await?.1))
    }

    /// The lock of a version, if it has one.
    async fn lock_of(&self, content: &FunctionContent) -> Result<Option<Written>, AppError> {
        let Some(dependencies) = &content.manifest.dependencies else {
            return Ok(None);
        };
        let from = dependencies.from;
        let Some(file) = content.tree.get(&lock_path(from)) else {
            return Ok(None);
        };
        let bytes = self.store.blobs().read(&file.digest, file.size_bytes);
        Ok(written(from, &bytes.await?).ok())
    }

    /// What a version's guests are shown of its packages; installed again if
    /// that was removed meanwhile, in the turn of who runs it.
    pub async fn dependencies_of(
        &self,
        by: &Name,
        content: &FunctionContent,
    ) -> Result<Option<strongroom_run::Dependencies>, AppError> {
        let Some(dependencies) = &content.manifest.dependencies else {
            return Ok(None);
        };
        let runtime = &content.manifest.runtime;
        let found = self
            .installer
            .installed(runtime, &dependencies.lock)
            .await?;
        if let Some((found, _)) = found {
            return Ok(Some(found));
        }
        let lock = self.lock_of(content).await?;
        let lock = lock.filter(|(_, lock)| lock.digest() == dependencies.lock);
        let lock = lock.ok_or(AppError::NotFound("lock"))?;
        let installed = self
            .installer
            .install(by, runtime, &lock, Default::default());
        Ok(Some(installed.await?.0))
    }

    /// The packages of a version, by name.
    pub(super) async fn packages(
        &self,
        content: &FunctionContent,
    ) -> Result<Vec<Package>, AppError> {
        let lock = self.lock_of(content).await?;
        Ok(lock.map(|(_, lock)| lock.packages).unwrap_or_default())
    }

    /// How what a version depends on was installed.
    pub(super) fn installed(&self, manifest: &Manifest) -> Option<api::Installed> {
        let dependencies = manifest.dependencies.as_ref()?;
        self.installer
            .find(&dependencies.lock)
            .map(|(_, record)| shown(record))
    }

    /// Removes what is installed for no version of any function.
    pub async fn dependencies_clear(&self) -> Result<u64, AppError> {
        let mut named = self.store.function_locks().await?;
        for runtime in self.runtimes.all() {
            let brought = runtime.brought();
            named.extend(brought.map(|brought| Digest::of(brought.lock.as_bytes())));
        }
        Ok(self.installer.clear(named).await)
    }
}

/// Why a script is not given packages.
enum OfScript {
    Depend(DependError),
    App(AppError),
}

impl From<DependError> for OfScript {
    fn from(error: DependError) -> Self {
        Self::Depend(error)
    }
}

/// An installation as it is shown.
pub(super) fn shown(record: Record) -> api::Installed {
    let steps = record.steps.into_iter();
    api::Installed {
        at_ms: record.at_ms,
        file_count: record.file_count,
        size_bytes: record.size_bytes,
        steps: steps
            .map(|(step, wall_ms)| api::BuildStep { step, wall_ms })
            .collect(),
        log: record.log,
    }
}

impl From<DependError> for AppError {
    fn from(error: DependError) -> Self {
        match error {
            DependError::Asked(error) => Self::invalid("bad_dependencies", &error),
            DependError::Lock(error) => Self::invalid("bad_lock", &error),
            DependError::Install(error) => error.into(),
        }
    }
}

impl From<InstallError> for AppError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Unable(_) => Self::invalid("no_installer", &error),
            InstallError::Failed { .. } | InstallError::Full(_) => {
                Self::invalid("build_failed", &error)
            }
            InstallError::Busy => Self::TooMany(error.to_string()),
            InstallError::Prepare(strongroom_run::PrepareError::Refused { .. }) => {
                Self::invalid("no_installer", &error)
            }
            other => Self::internal("install packages")(other),
        }
    }
}
