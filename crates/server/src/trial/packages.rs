//! Packages of a function that is tried: locked and installed here, as a
//! station would, and kept in a folder of trials.
//!
//! A lock that was made once is kept by the requirements that it is for, so
//! that a trial asks the index no more often than a station would.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use strongroom_core::{
    dependency::Asked,
    manifest::{Files, Manifest},
    name::Name,
    runtime::RuntimeName,
};
use strongroom_run::{Backend, Dependencies, LocalConfig};

use super::{Trial, TrialError, files, runtimes::Found};
use crate::{
    app::clock::Clock,
    backend::{Started, local_config},
    config::{BackendKind, Config as StationConfig},
    dependencies::{DependError, Function, Installer, Locks, Relock, lock_of},
    gateway::Gateway,
};

/// The folder below a home.
const FOLDER: &str = "trial";

/// Gives a function the packages that it needs.
pub(super) async fn bring(
    trial: &Trial,
    backend: &Arc<Backend>,
    (source, manifest): (&mut Files, &mut Manifest),
    below: &Path,
) -> Result<Option<Dependencies>, TrialError> {
    let Some(config) = &trial.packages else {
        return Ok(None);
    };
    let wishes = Manifest::wishes(source, &backend.runtimes().kinds());
    let wishes = wishes.map_err(|source| TrialError::Manifest {
        path: trial.function.clone(),
        source,
    })?;
    let installer = installer(config)?;
    installer.use_backend(backend);
    let runtime = backend.runtimes().find(&manifest.runtime);
    let by = nobody();
    let function = Function {
        by: &by,
        files: source,
        manifest,
        wishes,
        brought: runtime.as_ref().and_then(|runtime| runtime.brought()),
    };
    let view = async |source: &Files| {
        let folder = below.join("imports");
        files::write(&folder, source).map_err(TrialError::LayOut)?;
        Ok::<PathBuf, TrialError>(folder)
    };
    let locks = Locks {
        last: None,
        others: installer.kept_locks(),
    };
    let brought = installer.depend(function, locks, Relock::No, view).await?;
    Ok(brought.and_then(|record| Some(installer.find(&record.lock)?.0)))
}

/// What a function needs that is not tried: installed in a jail of this host,
/// which is started where there is something to install.
pub(super) fn of_function(
    trial: &Trial,
    found: &Found,
    source: &mut Files,
    manifest: &mut Manifest,
) -> Result<Option<Dependencies>, TrialError> {
    let wrong = |source| TrialError::Manifest {
        path: trial.function.clone(),
        source,
    };
    let wishes = Manifest::wishes(source, &found.runtimes.kinds()).map_err(wrong)?;
    let asked = Asked::of_files(source, manifest, wishes).map_err(DependError::from)?;
    let runtime = found.runtimes.find(&manifest.runtime);
    let brings = runtime.is_some_and(|runtime| runtime.brought().is_some());
    if trial.packages.is_none() || (matches!(asked, Asked::Nothing) && !brings) {
        return Ok(None);
    }
    let laid = tempfile::tempdir().map_err(TrialError::LayOut)?;
    in_a_jail(trial, found, async |backend| {
        bring(trial, backend, (source, manifest), laid.path()).await
    })
}

/// What a runtime brings that is installed.
pub(super) fn of_runtime(
    trial: &Trial,
    found: &Found,
    name: &RuntimeName,
) -> Result<Option<Dependencies>, TrialError> {
    let runtime = found.runtimes.find(name);
    let brought = runtime.as_ref().and_then(|runtime| runtime.brought());
    let (Some(brought), Some(config)) = (brought, &trial.packages) else {
        return Ok(None);
    };
    let lock = lock_of(brought).map_err(DependError::from)?;
    in_a_jail(trial, found, async |backend| {
        let installer = installer(config)?;
        installer.use_backend(backend);
        let by = nobody();
        let installed = installer.install(&by, name, &lock, Default::default());
        let (brought, _) = installed.await.map_err(DependError::from)?;
        Ok(Some(brought))
    })
}

/// Who builds where there are no users.
fn nobody() -> Name {
    "trial".parse().expect("a constant, plain name")
}

/// Does something with a jail for builds, and ends that.
fn in_a_jail<T>(
    trial: &Trial,
    found: &Found,
    work: impl AsyncFnOnce(&Arc<Backend>) -> Result<T, TrialError>,
) -> Result<T, TrialError> {
    let config = LocalConfig {
        runtimes: Arc::clone(&found.runtimes),
        pool_max: 0,
        ..local_config(&trial.jail, 1)
    };
    let started = Started::of(BackendKind::Local, config, &trial.engine, None)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TrialError::Async)?;
    runtime.block_on(async {
        let backend = Arc::new(started.reached().await?);
        let done = work(&backend).await;
        backend.close().await;
        done
    })
}

fn installer(config: &StationConfig) -> Result<Installer, TrialError> {
    let gateway = Gateway::new(config.gateway.clone())?;
    let index = (config.index.clone(), config.gateway.trust.clone());
    let home = config.home.join(FOLDER);
    Ok(Installer::new(
        &home,
        index,
        Arc::new(gateway),
        Clock::default(),
    ))
}
