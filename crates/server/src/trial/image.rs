//! A function as an image: its runtime's, what the runtime brings, and its files.
//!
//! Whoever has the files can make it, on the runtimes that a trial run has. The
//! same files on the same runtime make the same image.

use std::path::Path;

use strongroom_core::{digest::Digest, manifest::Files};
use strongroom_run::image::{ImageName, Images};

use super::{Trial, TrialError, runtimes::Found};

/// Makes the image of the function whose files are `source`, which `trial`
/// calls by its path or its name.
///
/// # Errors
///
/// [`TrialError::NoImage`] when the function's runtime has none to build on.
pub fn image(
    trial: &Trial,
    source: &Files,
    images: &Images,
    names: &[ImageName],
) -> Result<Digest, TrialError> {
    let mut found = Found::of(trial)?;
    let manifest = found.manifest(&trial.function, source)?;
    let (_, runtime) = found.runtimes.pinned(&manifest.runtime)?;
    let base = runtime.image();
    let base = base.ok_or_else(|| TrialError::NoImage(manifest.runtime.clone()))?;
    let layers = runtime.layers_of(Path::new("/"), source, &manifest.entry)?;
    Ok(images.build_and_admit(Some(&base), &layers, names)?.digest)
}
