//! Packages of a function that is tried: locked and installed here, as a
//! station would, and kept in a folder of trials.
//!
//! A lock that was made once is kept by the requirements that it is for, so
//! that a trial asks the index no more often than a station would.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use strongroom_core::manifest::{Files, Manifest};
use strongroom_run::{Backend, Dependencies};

use super::{Trial, TrialError, files};
use crate::{
    app::clock::Clock,
    config::Config as StationConfig,
    dependencies::{Function, Installer, Locks, Relock},
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
    let function = Function {
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
