//! Pulling: the manifest, then what it names, then the image is there at once.

use std::io::Read as _;

use strongroom_core::digest::Digest;
use strongroom_run::image::{self, DOCUMENT_BYTES_MAX, Descriptor, ImageName, Images, Manifest};
use ureq::http::Method;

use super::{
    RegistryError, RegistryReference,
    conversation::{Conversation, Sent, header},
};

const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";
/// How deep indexes may lie in indexes.
const INDEXES_MAX: usize = 4;

/// Pulls an image, and gives it names.
///
/// # Errors
///
/// [`RegistryError`]; the images that were there before are as they were.
pub fn pull(
    images: &Images,
    from: &RegistryReference,
    names: &[ImageName],
) -> Result<Digest, RegistryError> {
    pull_by(&Conversation::new(from, "pull")?, images, names)
}

pub(super) fn pull_by(
    conversation: &Conversation<'_>,
    images: &Images,
    names: &[ImageName],
) -> Result<Digest, RegistryError> {
    let from = conversation.about;
    let _incoming = images.incoming()?;
    let mut wanted = from.wanted();
    let mut expected = from.digest();
    for _ in 0..INDEXES_MAX {
        let (media, bytes) = document(conversation, &wanted, expected)?;
        if image::is_index(&media) {
            let chosen = image::chosen(&bytes)?;
            wanted = chosen.digest.to_string();
            expected = Some(chosen.digest);
            continue;
        }
        let manifest = Manifest::parse(&bytes)?;
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            take(conversation, images, blob)?;
        }
        let digest = images.document_put(&bytes)?;
        images.admit(&digest, names)?;
        return Ok(digest);
    }
    Err(conversation.nonsense("indexes lie in indexes without end"))
}

/// A manifest or an index, and its type.
fn document(
    conversation: &Conversation<'_>,
    wanted: &str,
    expected: Option<Digest>,
) -> Result<(String, Vec<u8>), RegistryError> {
    let url = conversation.url(&format!("manifests/{wanted}"));
    let what = format!("the manifest {}", conversation.about);
    let accept = [("accept", ACCEPTED)];
    let answer = conversation.ask(Method::GET, &url, &accept, &Sent::Nothing, &what)?;
    let said = header(&answer, "docker-content-digest").and_then(|raw| raw.parse().ok());
    let media = header(&answer, "content-type").unwrap_or_default();
    let media = media
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let mut bytes = Vec::new();
    let mut body = answer
        .into_body()
        .into_reader()
        .take(DOCUMENT_BYTES_MAX + 1);
    body.read_to_end(&mut bytes)
        .map_err(|source| image::ImageError::Source { source })?;
    if DOCUMENT_BYTES_MAX < bytes.len() as u64 {
        let what = "the manifest";
        return Err(image::ImageError::DocumentTooLong { what }.into());
    }
    let found = Digest::of(&bytes);
    match expected.or(said) {
        Some(expected) if expected != found => {
            Err(image::ImageError::WrongDigest { expected, found }.into())
        }
        _ => Ok((media, bytes)),
    }
}

/// Takes in a blob that is not there yet.
fn take(
    conversation: &Conversation<'_>,
    images: &Images,
    blob: &Descriptor,
) -> Result<(), RegistryError> {
    if images.has_blob(blob) {
        return Ok(());
    }
    let url = conversation.url(&format!("blobs/{}", blob.digest));
    let what = format!("the blob {}", blob.digest);
    let sent = Sent::NothingFor { size: blob.size };
    let answer = conversation.ask(Method::GET, &url, &[], &sent, &what)?;
    Ok(images.blob_put(blob, answer.into_body().into_reader())?)
}
