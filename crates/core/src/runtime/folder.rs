//! A folder as a runtime: which of its files say what it is.
//!
//! `runtime.toml` does, or else the `template.yml` of OpenFaaS. A `Dockerfile`
//! beside either has to be one, whether it is used or not.

use std::collections::BTreeMap;

use super::{
    Definition, DefinitionError, FILE_NAME,
    dockerfile::{self, Dockerfile},
    openfaas,
};
use crate::tree::{Tree, TreePath};

/// The files that have to be read to know what the runtime of a folder is.
pub fn described_by(folder: &Tree) -> Vec<TreePath> {
    let names = [FILE_NAME, openfaas::FILE_NAME, dockerfile::FILE_NAME];
    let paths = names.map(|name| name.parse().expect("a constant, plain name"));
    let there = paths.into_iter().filter(|path| folder.get(path).is_some());
    there.collect()
}

impl Definition {
    /// What the runtime of `folder` is, from the texts of [`described_by`].
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] says which file and, where it can, which line.
    pub fn of_folder(
        folder: &Tree,
        texts: &BTreeMap<TreePath, String>,
    ) -> Result<Self, DefinitionError> {
        let text = |name: &str| {
            let mut texts = texts.iter();
            let found = texts.find(|(path, _)| path.as_str() == name);
            found.map(|(_, text)| text.as_str())
        };
        let dockerfile = text(dockerfile::FILE_NAME);
        let definition = match (text(FILE_NAME), text(openfaas::FILE_NAME)) {
            (Some(toml), _) => {
                if let Some(text) = dockerfile {
                    Dockerfile::parse(text)?;
                }
                Self::parse(toml)?
            }
            (None, Some(template)) => {
                let names = folder.files().map(|(path, _)| path);
                openfaas::read(template, dockerfile, names)?
            }
            (None, None) => return Err(DefinitionError::Nothing),
        };
        definition.fits(folder)?;
        Ok(definition)
    }
}
