//! What is checked of single words and of counts.

use std::collections::BTreeMap;

use super::{DefinitionError, ENVIRONMENT_MAX, STATION_PREFIX, STATION_VARIABLES, WORD_LEN_MAX};
use crate::tree::{Tree, TreePath};

pub(super) fn variables(
    variables: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, DefinitionError> {
    count("variables", variables.len(), ENVIRONMENT_MAX)?;
    for (name, value) in &variables {
        let wrong = |why| {
            Err(DefinitionError::Variable {
                name: name.clone(),
                why,
            })
        };
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain || name.is_empty() || WORD_LEN_MAX < name.len() {
            return wrong("is not made of letters, digits and `_`");
        }
        if STATION_VARIABLES.contains(&name.as_str()) || name.starts_with(STATION_PREFIX) {
            return wrong("is the station's to set");
        }
        if value.contains('\0') || WORD_LEN_MAX < value.len() {
            return wrong("has a value with a zero byte or of more than 1000 bytes");
        }
    }
    Ok(variables)
}

pub(super) fn has_files_below(tree: &Tree, folder: &TreePath) -> bool {
    let prefix = format!("{folder}/");
    tree.files()
        .any(|(path, _)| path.as_str().starts_with(&prefix))
}

pub(super) fn length(what: &str, text: &str, max: usize) -> Result<(), DefinitionError> {
    if max < text.len() {
        let what = what.to_owned();
        return Err(DefinitionError::TooLong { what, max });
    }
    Ok(())
}

pub(super) fn count(what: &'static str, found: usize, max: usize) -> Result<(), DefinitionError> {
    if max < found {
        return Err(DefinitionError::TooMany { what, max });
    }
    Ok(())
}
