//! What a push says of a version, read from local files.
//!
//! A file that ends in `.toml` is TOML, any other is JSON; both mean the same.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::CliError;

/// The longest file that says something, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a document.
///
/// # Errors
///
/// Names the file and what is wrong in it.
pub fn document<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let text = text(path)?;
    let is_toml = path.extension().is_some_and(|suffix| suffix == "toml");
    let read = match is_toml {
        true => toml::from_str(&text).map_err(|error| error.message().to_owned()),
        false => serde_json::from_str(&text).map_err(|error| error.to_string()),
    };
    read.map_err(|why| CliError::wrong_use(format!("{}: {why}", path.display())))
}

/// Reads a text.
pub fn text(path: &Path) -> Result<String, CliError> {
    use std::io::Read as _;
    let wrong = |why: String| CliError::wrong_use(format!("{}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    match read {
        Ok(count) if count as u64 <= BYTES_MAX => Ok(text),
        Ok(_) => Err(wrong("it is longer than 1 MiB".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}
