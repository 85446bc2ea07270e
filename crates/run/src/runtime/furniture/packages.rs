//! A runtime with packages: those of a function, and those of all functions on it.
//!
//! What a function brings is shown besides, and names who waits for work: a
//! guest that was made ahead is given only to runs with the same packages.

use std::{path::Path, sync::Mutex};

use serde_json::json;
use strongroom_core::{digest::Digest, json, plan::RuntimePin};
use strongroom_jail::{Jail, Open};

use super::{Dependencies, Furniture, Imaged, NODE_MODULES, ONE_THREAD, RuntimeError};

/// Packages that every function of a runtime is run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// As in `requirements.txt`.
    pub requirements: String,
    pub lock: String,
}

impl Furniture {
    /// The same for functions that bring these packages.
    pub(in crate::runtime) fn with(&self, dependencies: &Dependencies) -> Self {
        let mut environment = self.environment.clone();
        let mut preload = self.preload.clone();
        for module in &dependencies.preload {
            if !preload.contains(module) {
                preload.push(module.clone());
            }
        }
        if !preload.is_empty() {
            for (name, value) in ONE_THREAD {
                let variable = environment.entry(name.to_owned());
                variable.or_insert(value.to_owned());
            }
        }
        Self {
            name: self.name.clone(),
            description: self.description.clone(),
            base: self.base.clone(),
            way: self.way.clone(),
            beside: self.beside,
            main_program: self.main_program.clone(),
            kit: self.kit,
            packages: self.packages.clone(),
            brought: self.brought.clone(),
            dependencies: Some(dependencies.clone()),
            image: self.image.clone(),
            home: self.home.clone(),
            preload,
            environment,
            content: self.content.clone(),
            known: Mutex::default(),
        }
    }

    /// Whether its image has something where these packages belong.
    pub(in crate::runtime) fn clashes(&self, with: &Dependencies) -> bool {
        let name = NODE_MODULES.0.trim_start_matches('/');
        let has = |image: &Imaged| image.has(name);
        with.has_modules() && self.image.as_ref().is_some_and(has)
    }

    /// What its functions are run with.
    pub fn brought(&self) -> Option<&Brought> {
        self.brought.as_ref()
    }

    /// What a function brings besides.
    pub(crate) fn dependencies(&self) -> Option<&Dependencies> {
        self.dependencies.as_ref()
    }

    /// What names those who wait for work on this: the pin of the runtime, and
    /// the lock of what is shown besides.
    pub(crate) fn pool_pin(&self, pin: &RuntimePin) -> RuntimePin {
        let Some(dependencies) = &self.dependencies else {
            return pin.clone();
        };
        let parts = json!({
            "runtime": pin.digest,
            "lock": dependencies.lock,
            "folder": dependencies.folder,
        });
        RuntimePin {
            name: pin.name.clone(),
            digest: Digest::of(json::canonical(&parts).as_bytes()),
        }
    }

    /// Puts the runtime into `jail`, with a command of the station's own.
    pub(crate) fn furnish_build(
        &self,
        root: &Path,
        jail: Jail<Open>,
        words: &[String],
    ) -> Result<Jail<Open>, RuntimeError> {
        let program = self.interpreter(root)?.display().to_string();
        let command = std::iter::once(program).chain(words.iter().cloned());
        let jail = self.show(root, jail);
        Ok(jail.command(command.collect(), "/tmp".into()))
    }
}
