//! Images for elsewhere: a function with all that it needs, and a runtime for
//! developers.
//!
//! Whoever has the files can make them, on the runtimes that a trial run has.
//! The same files on the same runtime make the same image. Packages are
//! installed as for a trial, in a build jail.

use std::path::Path;

use strongroom_core::{
    digest::Digest,
    manifest::{Files, Manifest},
    runtime::{FILE_NAME, RuntimeName},
};
use strongroom_run::{
    Furniture, Runtimes,
    image::{Addition, ImageName, Images},
};

use super::{Trial, TrialError, packages, runtimes::Found};

/// What a shipped runtime is called that is put on an image for a moment.
const ON_AN_IMAGE: &str = "on-an-image";

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
    let mut source = source.clone();
    let mut manifest: Manifest = found.manifest(&trial.function, &source)?;
    let name = manifest.runtime.clone();
    let base = base_of(&found, &name)?;
    let brought = packages::of_function(trial, &found, &mut source, &mut manifest)?;
    let (_, runtime) = found.runtimes.furnished(&name, brought.as_ref())?;
    let layers = runtime.layers_of(Path::new("/"), &source, &manifest.entry)?;
    put(images, &base, &layers, names)
}

/// Makes an image in which functions can be tried without a station: of the
/// runtime `name`, or of a shipped one put on the image `on`.
///
/// # Errors
///
/// [`TrialError::NoImage`] when the runtime has none, and none was said.
pub fn image_for_developers(
    trial: &Trial,
    name: &RuntimeName,
    on: Option<Digest>,
    images: &Images,
    names: &[ImageName],
) -> Result<Digest, TrialError> {
    let folder = tempfile::tempdir().map_err(TrialError::LayOut)?;
    let (trial, name) = match on {
        None => (trial.clone(), name.clone()),
        Some(image) => {
            let toml = format!("base = \"{name}\"\nimage = \"{image}\"\n");
            std::fs::write(folder.path().join(FILE_NAME), toml).map_err(TrialError::LayOut)?;
            let raw = format!("{ON_AN_IMAGE}={}", folder.path().display());
            let trial = Trial {
                runtime_folder: Some(raw),
                ..trial.clone()
            };
            let name = ON_AN_IMAGE.parse().expect("a constant, plain name");
            (trial, name)
        }
    };
    let found = Found::of(&trial)?;
    let base = base_of(&found, &name)?;
    let brought = packages::of_runtime(&trial, &found, &name)?;
    let (_, runtime) = found.runtimes.furnished(&name, brought.as_ref())?;
    let layers = runtime.layers_for_developers(Path::new("/"))?;
    put(images, &base, &layers, names)
}

/// Whether a runtime is there wherever Strongroom is.
pub fn is_shipped(name: &RuntimeName) -> bool {
    Runtimes::default().is_shipped(name)
}

fn base_of(found: &Found, name: &RuntimeName) -> Result<Digest, TrialError> {
    let (_, runtime) = found.runtimes.pinned(name)?;
    let image = Furniture::image(&runtime);
    image.ok_or_else(|| TrialError::NoImage(name.clone()))
}

fn put(
    images: &Images,
    base: &Digest,
    layers: &[Addition],
    names: &[ImageName],
) -> Result<Digest, TrialError> {
    Ok(images.build_and_admit(Some(base), layers, names)?.digest)
}
