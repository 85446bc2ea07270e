//! The documents of an image: index, manifest and configuration.
//!
//! Only what is needed is read. A manifest that somebody else wrote is kept
//! byte for byte, since its digest is the image's name.

use std::{collections::BTreeMap, io::Read};

use serde::{Deserialize, Serialize};
use strongroom_core::digest::Digest;

use super::{DOCUMENT_BYTES_MAX, ImageError};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

const LAYERS: [(&str, Compression); 5] = [
    (LAYER, Compression::None),
    (
        "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Gzip,
    ),
    (
        "application/vnd.oci.image.layer.v1.tar+zstd",
        Compression::Zstd,
    ),
    (
        "application/vnd.docker.image.rootfs.diff.tar",
        Compression::None,
    ),
    (
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        Compression::Gzip,
    ),
];

/// What names a blob of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
}

/// Several images under one name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<String>,
    pub(super) manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing)]
    layers: Option<serde::de::IgnoredAny>,
}

/// One image: its configuration and its layers, the lowest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u8,
    #[serde(default)]
    pub media_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing)]
    manifests: Option<serde::de::IgnoredAny>,
}

/// What an image says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    pub architecture: String,
    pub os: String,
    #[serde(default)]
    pub config: Start,
    pub rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

/// How other tools start an image. Not used here, and written for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Start {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    pub diff_ids: Vec<Digest>,
}

/// Whether a document of this type lists several images.
pub fn is_index(media: &str) -> bool {
    [INDEX, DOCKER_INDEX].contains(&media)
}

/// Whether a document of this type is one image.
pub fn is_manifest(media: &str) -> bool {
    [MANIFEST, DOCKER_MANIFEST].contains(&media)
}

/// The image of this host's platform, of an index.
pub fn chosen(index: &[u8]) -> Result<Descriptor, ImageError> {
    Index::parse(index)?.choose()
}

/// What this host calls its own platform.
pub(super) fn host() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64" => "riscv64",
        "powerpc64" => "ppc64le",
        other => other,
    };
    Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = format!("{}/{}", self.os, self.architecture);
        f.write_str(&strongroom_core::text::shown(&said, 80))
    }
}

/// Reads a document, of which only the beginning is ever held.
pub(super) fn read<T: serde::de::DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::Document {
        what,
        why: strongroom_core::text::shown(&error.to_string(), 200),
    })
}

fn two_things(what: &'static str) -> ImageError {
    ImageError::Document {
        what,
        why: "it is an image and a list of images at once".to_owned(),
    }
}

/// All bytes of a document.
pub(super) fn bounded(what: &'static str, from: impl Read) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    from.take(DOCUMENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(ImageError::host("read a document of an image"))?;
    match bytes.len() as u64 <= DOCUMENT_BYTES_MAX {
        true => Ok(bytes),
        false => Err(ImageError::DocumentTooLong { what }),
    }
}

impl Index {
    pub(super) fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX.to_owned()),
            manifests,
            layers: None,
        }
    }

    /// Reads an index. What would also be an image is neither: who is told that
    /// it is one sees another image than who is told that it is the other.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let index: Self = read("the index", bytes)?;
        match index.layers {
            None => Ok(index),
            Some(_) => Err(two_things("the index")),
        }
    }

    /// The image of this host's platform among several.
    pub(super) fn choose(self) -> Result<Descriptor, ImageError> {
        let host = host();
        let mut others = Vec::new();
        for one in self.manifests {
            match &one.platform {
                None => return Ok(one),
                Some(platform) if *platform == host => return Ok(one),
                Some(platform) => others.push(platform.to_string()),
            }
        }
        others.truncate(8);
        let found = match others.is_empty() {
            true => "no platform at all".to_owned(),
            false => others.join(", "),
        };
        Err(ImageError::Platform {
            found,
            wanted: host.to_string(),
        })
    }
}

impl Manifest {
    pub(super) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config,
            layers,
            manifests: None,
        }
    }

    /// Reads a manifest and checks the types of all that it names.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let manifest: Self = read("the manifest", bytes)?;
        if manifest.manifests.is_some() {
            return Err(two_things("the manifest"));
        }
        let media = |what, media: &str| ImageError::Media {
            what,
            media: media.to_owned(),
        };
        if let Some(own) = &manifest.media_type
            && !is_manifest(own)
        {
            return Err(media("the manifest", own));
        }
        if ![CONFIG, DOCKER_CONFIG].contains(&manifest.config.media_type.as_str()) {
            return Err(media("the configuration", &manifest.config.media_type));
        }
        if super::LAYERS_MAX < manifest.layers.len() {
            return Err(ImageError::TooManyLayers);
        }
        // Packed it is no more than unpacked; so the rest need not even come.
        let sizes = manifest.layers.iter().map(|layer| layer.size);
        if super::UNPACKED_BYTES_MAX < sizes.fold(0, u64::saturating_add) {
            return Err(ImageError::LayersTooLarge);
        }
        for layer in &manifest.layers {
            layer.compression()?;
        }
        Ok(manifest)
    }

    pub fn media_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(MANIFEST)
    }
}

impl Config {
    /// Reads a configuration and checks that this host can run it.
    pub(super) fn parse(bytes: &[u8], manifest: &Manifest) -> Result<Self, ImageError> {
        let config: Self = read("the configuration", bytes)?;
        let found = Platform {
            architecture: config.architecture.clone(),
            os: config.os.clone(),
        };
        if found != host() {
            return Err(ImageError::Platform {
                found: found.to_string(),
                wanted: host().to_string(),
            });
        }
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        match layers == diff_ids {
            true => Ok(config),
            false => Err(ImageError::LayerCount { layers, diff_ids }),
        }
    }
}

impl Descriptor {
    pub(super) fn new(media: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    pub(super) fn compression(&self) -> Result<Compression, ImageError> {
        let known = LAYERS.iter().find(|(media, _)| *media == self.media_type);
        let known = known.map(|(_, compression)| *compression);
        known.ok_or_else(|| ImageError::Media {
            what: "a layer",
            media: self.media_type.clone(),
        })
    }
}
