//! The files of a runtime's folder, as they are read when it is added.
//!
//! Whoever added it may have written anything there: every fault is said with
//! the runtime's name, and nothing is taken over before all of it was read.

use std::{
    io,
    path::{Path, PathBuf},
};

use strongroom_core::{
    dependency::{LOCK_LEN_MAX, Lock},
    runtime::{
        Definition, DefinitionError, FILE_NAME, RuntimeName, dockerfile, main_program_text,
        openfaas,
    },
    tree::{TreeError, TreePath},
};

use super::{Brought, RuntimeError, home};
use crate::beneath;

/// One folder that is read.
pub(super) struct Reading<'a> {
    pub(super) name: &'a RuntimeName,
    pub(super) folder: &'a Path,
}

impl Reading<'_> {
    /// What the runtime says of itself.
    pub(super) fn definition(&self) -> Result<Definition, RuntimeError> {
        let is_there = |file: &str| self.folder.join(file).is_file();
        // Without either file it is the first that is missing.
        if is_there(FILE_NAME) || !is_there(openfaas::FILE_NAME) {
            let text = self.text(FILE_NAME)?;
            return Definition::parse(&text).map_err(|source| self.wrong(source));
        }
        let names = home::names(self.folder)
            .map_err(|source| self.unreadable(self.folder.to_owned(), source))?;
        let template = self.text(openfaas::FILE_NAME)?;
        let dockerfile = match is_there(dockerfile::FILE_NAME) {
            true => Some(self.text(dockerfile::FILE_NAME)?),
            false => None,
        };
        openfaas::read(&template, dockerfile.as_deref(), names.iter())
            .map_err(|source| self.wrong(source))
    }

    pub(super) fn main_program(
        &self,
        definition: &Definition,
    ) -> Result<Option<String>, RuntimeError> {
        let Some(path) = &definition.main_program else {
            return Ok(None);
        };
        let text = main_program_text(self.bytes(path.as_str())?);
        text.map(Some).map_err(|source| self.wrong(source))
    }

    pub(super) fn check_packages(&self, definition: &Definition) -> Result<(), RuntimeError> {
        match &definition.packages {
            Some(path) if !self.folder.join(path.as_str()).is_dir() => {
                Err(self.wrong(DefinitionError::NoPackages(path.clone())))
            }
            _ => Ok(()),
        }
    }

    /// The packages that its functions are run with.
    pub(super) fn brought(&self, definition: &Definition) -> Result<Option<Brought>, RuntimeError> {
        let Some((requirements, lock)) = &definition.locked else {
            return Ok(None);
        };
        let brought = Brought {
            requirements: self.text(requirements.as_str())?,
            lock: self.text(lock.as_str())?,
        };
        match Lock::python(&brought.lock) {
            Ok(_) => Ok(Some(brought)),
            Err(source) => {
                let path = lock.clone();
                Err(self.wrong(DefinitionError::Lock { path, source }))
            }
        }
    }

    fn text(&self, file: &str) -> Result<String, RuntimeError> {
        let bytes = self.bytes(file)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn bytes(&self, file: &str) -> Result<Vec<u8>, RuntimeError> {
        let unreadable = |source| self.unreadable(self.folder.join(file), source);
        let path: TreePath = file
            .parse()
            .map_err(|error: TreeError| unreadable(io::Error::other(error)))?;
        // The longest of them; the others have bounds of their own.
        beneath::read(self.folder, &path, LOCK_LEN_MAX as u64).map_err(unreadable)
    }

    fn unreadable(&self, path: PathBuf, source: io::Error) -> RuntimeError {
        RuntimeError::Read {
            runtime: self.name.clone(),
            path,
            source,
        }
    }

    fn wrong(&self, source: DefinitionError) -> RuntimeError {
        RuntimeError::Definition {
            runtime: self.name.clone(),
            source,
        }
    }
}
