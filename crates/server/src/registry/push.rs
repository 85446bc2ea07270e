//! Pushing: the blobs that the registry lacks, and the manifest last.

use strongroom_core::digest::Digest;
use strongroom_run::image::{Descriptor, Images};
use ureq::http::Method;

use super::{
    RegistryError, RegistryReference,
    conversation::{Conversation, Sent, header},
};

/// Pushes an image that is here.
///
/// # Errors
///
/// [`RegistryError`]; the tag means what it meant before.
pub fn push(images: &Images, image: &Digest, to: &RegistryReference) -> Result<(), RegistryError> {
    if to.digest().is_some_and(|digest| digest != *image) {
        return Err(RegistryError::Reference {
            raw: to.to_string(),
            why: "its digest is another image's",
        });
    }
    let conversation = Conversation::new(to, "pull,push")?;
    // Nothing of it is cleared away meanwhile.
    let _incoming = images.incoming()?;
    let (manifest, _) = images.image(image)?;
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        give(&conversation, images, blob)?;
    }
    let bytes = images.manifest_bytes(image)?;
    let url = conversation.url(&format!("manifests/{}", to.wanted()));
    let media = [("content-type", manifest.media_type())];
    let what = format!("a place for the manifest {to}");
    conversation.ask(Method::PUT, &url, &media, &Sent::Bytes(&bytes), &what)?;
    Ok(())
}

fn give(
    conversation: &Conversation<'_>,
    images: &Images,
    blob: &Descriptor,
) -> Result<(), RegistryError> {
    let what = format!("a place for the blob {}", blob.digest);
    let there = conversation.url(&format!("blobs/{}", blob.digest));
    let found = conversation.ask(Method::HEAD, &there, &[], &Sent::Nothing, &what);
    match found {
        Ok(_) => return Ok(()),
        Err(RegistryError::NotThere { .. }) => {}
        Err(error) => return Err(error),
    }
    // Right length, or nothing is sent.
    images.blob_open(blob)?;
    let begin = conversation.url("blobs/uploads/");
    let begun = conversation.ask(Method::POST, &begin, &[], &Sent::Bytes(b""), &what)?;
    let place = header(&begun, "location");
    let place = place.ok_or_else(|| conversation.nonsense("it names no place for a blob"))?;
    let place = match place.starts_with('/') {
        true => format!("{}{place}", conversation.about.base()),
        false => place,
    };
    let joint = if place.contains('?') { '&' } else { '?' };
    let place = format!("{place}{joint}digest={}", blob.digest);
    let media = [("content-type", "application/octet-stream")];
    let path = images.blob_path(&blob.digest);
    let sent = Sent::File {
        path: &path,
        size: blob.size,
    };
    conversation.ask(Method::PUT, &place, &media, &sent, &what)?;
    Ok(())
}
