//! Why an image is not taken, each fault said once and for people.

use std::io;

use strongroom_core::{digest::Digest, run::bytes_shown, text::shown};

use super::{
    BLOB_BYTES_MAX, DOCUMENT_BYTES_MAX, ENTRIES_MAX, LAYERS_MAX, NAMES_MAX, UNPACKED_BYTES_MAX,
};

/// Why something could not be done with an image. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("there is no image `{}` here", shown(.0, 120))]
    Unknown(String),
    #[error("more than one image begins with `{}`", shown(.0, 80))]
    Ambiguous(String),
    #[error("`{}` is no name for an image: {why}", shown(.raw, 120))]
    Name { raw: String, why: &'static str },
    #[error("there are already {NAMES_MAX} names of images")]
    TooManyNames,
    #[error("the image names {digest}, which is not there")]
    Missing { digest: Digest },
    #[error("what is called {expected} is {found}: it was changed or broken on the way")]
    WrongDigest { expected: Digest, found: Digest },
    #[error("{digest} has {found} bytes, and the image says {expected}")]
    WrongLength {
        digest: Digest,
        expected: u64,
        found: u64,
    },
    #[error("{what} of the image has the media type `{}`, which nobody here can read", shown(.media, 120))]
    Media { what: &'static str, media: String },
    #[error("the image is for {found}, and this host is {wanted}")]
    Platform { found: String, wanted: String },
    #[error("{what} of the image cannot be read: {why}")]
    Document { what: &'static str, why: String },
    #[error(
        "{what} of the image is longer than {}",
        bytes_shown(DOCUMENT_BYTES_MAX)
    )]
    DocumentTooLong { what: &'static str },
    #[error("the image has more than {LAYERS_MAX} layers")]
    TooManyLayers,
    #[error("the image says {diff_ids} times what its layers are, and has {layers} of them")]
    LayerCount { layers: usize, diff_ids: usize },
    #[error("the layers are more than {}", bytes_shown(UNPACKED_BYTES_MAX))]
    LayersTooLarge,
    #[error("a layer is more than {}", bytes_shown(BLOB_BYTES_MAX))]
    BlobTooLarge,
    #[error("the layer {digest}")]
    Layer {
        digest: Digest,
        source: Box<LayerError>,
    },
    #[error("the link `{}` leads round in a circle", shown(.0, 200))]
    CyclicLink(String),
    #[error("the image has more than {0} folders and links at its top")]
    TopTooFull(usize),
    #[error("the archive cannot be read: {0}")]
    Archive(String),
    #[error("the archive holds {0} images; name one")]
    ManyImages(usize),
    #[error("line {line} of the Dockerfile: {why}")]
    Recipe { line: usize, why: &'static str },
    #[error(
        "line {line} of the Dockerfile needs a builder, and neither docker nor buildah nor buildctl is installed: {what}"
    )]
    NoBuilder { line: usize, what: String },
    #[error("the image could not be built: {0}")]
    Build(String),
    #[error("an image is being brought in or made right now; try again when that is over")]
    Busy,
    #[error("what is brought in broke off")]
    Source { source: io::Error },
    #[error("could not {attempt}")]
    Host {
        attempt: &'static str,
        source: io::Error,
    },
}

impl ImageError {
    pub(super) fn host(attempt: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Host { attempt, source }
    }
}

/// What is wrong with one layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("the entry `{}` {why}", shown(.name, 200))]
    Entry { name: String, why: &'static str },
    #[error("the entry `{}` lies below a link or a file", shown(.name, 200))]
    Through { name: String },
    #[error("the hard link `{}` leads to `{}`, which is no file of this layer", shown(.name, 200), shown(.target, 200))]
    HardLink { name: String, target: String },
    #[error("there are more than {ENTRIES_MAX} files, folders and links in the image")]
    TooManyEntries,
    #[error("the image is more than {} unpacked", bytes_shown(UNPACKED_BYTES_MAX))]
    TooLarge,
    #[error("it grows {0} fold and more when it is unpacked, as no honest layer does")]
    Bomb(u64),
    #[error("the archive goes on after its end")]
    GoesOn,
    #[error("the archive is cut off")]
    CutOff,
    #[error("not a tar archive: {0}")]
    NotTar(String),
    #[error("unpacked it is {found}, and the image says {expected}")]
    DiffId { expected: Digest, found: Digest },
    #[error("could not write `{}`", shown(.name, 200))]
    Write { name: String, source: io::Error },
}
