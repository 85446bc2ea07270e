//! Runtimes for a trial: folders of this machine.
//!
//! Those below the user's own folder are there by their names, and one more
//! can be named. Only the one that is used is looked at whole; another that is
//! broken is no trouble.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use strongroom_core::{
    digest::Digest,
    manifest::{Files, Manifest, ManifestError},
    runtime::RuntimeName,
};
use strongroom_run::{RuntimeError, Runtimes};

use super::{Trial, TrialError, files, reading};

/// The runtimes of a trial.
pub(super) struct Found {
    pub(super) runtimes: Arc<Runtimes>,
    folders: BTreeMap<RuntimeName, PathBuf>,
    broken: BTreeMap<RuntimeName, RuntimeError>,
}

impl Found {
    pub(super) fn of(trial: &Trial) -> Result<Self, TrialError> {
        let mut found = Self {
            runtimes: Arc::new(match &trial.images {
                Some(images) => Runtimes::default().with_images(images.clone()),
                None => Runtimes::default(),
            }),
            folders: BTreeMap::new(),
            broken: BTreeMap::new(),
        };
        if let Some(below) = &trial.runtimes {
            found.all_below(below)?;
        }
        if let Some(raw) = &trial.runtime_folder {
            let (name, folder) = named(raw)?;
            found.add(&name, &folder)?;
            found.folders.insert(name, folder);
        }
        Ok(found)
    }

    /// The manifest of a function, whose runtime is there.
    pub(super) fn manifest(
        &mut self,
        function: &Path,
        source: &Files,
    ) -> Result<Manifest, TrialError> {
        let read = Manifest::of_files(source, &self.runtimes.kinds());
        read.map_err(|source| {
            if let ManifestError::Runtime { raw, .. } = &source
                && let Some(error) = raw.parse().ok().and_then(|name| self.broken.remove(&name))
            {
                return TrialError::Runtime(error);
            }
            let path = function.to_owned();
            TrialError::Manifest { path, source }
        })
    }

    /// Whether functions on this runtime are programs themselves.
    pub(super) fn runs_programs(&self, name: &RuntimeName) -> bool {
        let all = self.runtimes.all();
        all.iter()
            .any(|one| one.name() == name && one.runs_programs())
    }

    /// Shows the guest what a station would show it of this runtime, under the
    /// digest that it has on a station.
    pub(super) fn lay_out(&self, name: &RuntimeName, at: &Path) -> Result<(), TrialError> {
        let Some(folder) = self.folders.get(name) else {
            return Ok(());
        };
        let view = files::view(folder, at)?;
        let content = files::digest(&view)?;
        Ok(self.runtimes.add(name.clone(), &view, content)?)
    }

    fn all_below(&mut self, below: &Path) -> Result<(), TrialError> {
        let entries = match fs::read_dir(below) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(reading(below))?,
        };
        for entry in entries {
            let entry = entry.map_err(reading(below))?;
            let name = entry.file_name().to_str().and_then(|raw| raw.parse().ok());
            let Some(name) = name.filter(|_| entry.path().is_dir()) else {
                continue;
            };
            match self
                .runtimes
                .add(RuntimeName::clone(&name), &entry.path(), of(&entry.path()))
            {
                Ok(()) => drop(self.folders.insert(name, entry.path())),
                Err(error) => drop(self.broken.insert(name, error)),
            }
        }
        Ok(())
    }

    fn add(&self, name: &RuntimeName, folder: &Path) -> Result<(), TrialError> {
        Ok(self.runtimes.add(name.clone(), folder, of(folder))?)
    }
}

/// What stands for a folder's content until it is the one that is used.
fn of(folder: &Path) -> Digest {
    Digest::of(folder.as_os_str().as_encoded_bytes())
}

/// Reads `NAME=DIR`, or `DIR` which is called what it is called.
fn named(raw: &str) -> Result<(RuntimeName, PathBuf), TrialError> {
    let (name, folder) = match raw.split_once('=').filter(|_| !Path::new(raw).exists()) {
        Some((name, folder)) => (name.to_owned(), PathBuf::from(folder)),
        None => {
            let folder = fs::canonicalize(raw).map_err(reading(Path::new(raw)))?;
            let name = folder.file_name().unwrap_or_default();
            (name.to_string_lossy().into_owned(), folder)
        }
    };
    let parsed = name.parse().map_err(|source| TrialError::RuntimeName {
        raw: raw.to_owned(),
        source,
    })?;
    Ok((parsed, folder))
}
