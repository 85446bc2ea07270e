//! Images as one archive, for other tools and other stations.
//!
//! What is written is sorted and has no times, so an image exported twice is
//! the same file.

use std::{io::Write, str::FromStr};

use serde_json::json;
use strongroom_core::digest::Digest;
use tar::{EntryType, Header};

use super::{
    Descriptor, ImageError, Images, Manifest,
    index::{INDEX, LAYOUT, LAYOUT_TEXT, REF_NAME},
    media::Index,
};

/// What kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportAs {
    OciArchive,
    DockerArchive,
}

impl FromStr for ExportAs {
    type Err = &'static str;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        match raw {
            "oci-archive" => Ok(Self::OciArchive),
            "docker-archive" => Ok(Self::DockerArchive),
            _ => Err("it is `oci-archive` or `docker-archive`"),
        }
    }
}

impl Images {
    /// Writes an image as an archive, under a name for those who load it.
    pub fn export(
        &self,
        image: &Digest,
        name: &str,
        kind: ExportAs,
        to: impl Write,
    ) -> Result<(), ImageError> {
        let (manifest, _) = self.image(image)?;
        let mut archive = tar::Builder::new(to);
        match kind {
            ExportAs::OciArchive => self.export_oci(image, &manifest, name, &mut archive)?,
            ExportAs::DockerArchive => self.export_docker(&manifest, name, &mut archive)?,
        }
        let attempt = ImageError::host("write the archive");
        archive
            .into_inner()
            .and_then(|mut to| to.flush())
            .map_err(&attempt)
    }

    fn export_oci(
        &self,
        image: &Digest,
        manifest: &Manifest,
        name: &str,
        archive: &mut tar::Builder<impl Write>,
    ) -> Result<(), ImageError> {
        let bytes = self.manifest_bytes(image)?;
        let mut own = Descriptor::new(manifest.media_type(), *image, bytes.len() as u64);
        own.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        let index = serde_json::to_vec(&Index::new(vec![own.clone()])).expect("plain data");
        text(archive, LAYOUT, LAYOUT_TEXT.as_bytes())?;
        text(archive, INDEX, &index)?;
        let mut blobs = vec![own, manifest.config.clone()];
        blobs.extend(manifest.layers.iter().cloned());
        blobs.sort_by_key(|blob| blob.digest);
        blobs.dedup_by_key(|blob| blob.digest);
        for blob in blobs {
            let path = format!("blobs/sha256/{}", blob.digest.hex());
            self.append(archive, &path, &blob)?;
        }
        Ok(())
    }

    fn export_docker(
        &self,
        manifest: &Manifest,
        name: &str,
        archive: &mut tar::Builder<impl Write>,
    ) -> Result<(), ImageError> {
        let config = format!("{}.json", manifest.config.digest.hex());
        let layers = manifest.layers.iter();
        let layers: Vec<String> = layers
            .map(|layer| format!("{}.tar", layer.digest.hex()))
            .collect();
        let name = match name
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'))
        {
            true => name.to_owned(),
            false => format!("{name}:latest"),
        };
        let saved = json!([{ "Config": config, "RepoTags": [name], "Layers": layers }]);
        text(archive, "manifest.json", saved.to_string().as_bytes())?;
        self.append(archive, &config, &manifest.config)?;
        let mut written = Vec::new();
        for (layer, path) in manifest.layers.iter().zip(layers) {
            if !written.contains(&layer.digest) {
                self.append(archive, &path, layer)?;
                written.push(layer.digest);
            }
        }
        Ok(())
    }

    fn append(
        &self,
        archive: &mut tar::Builder<impl Write>,
        path: &str,
        blob: &Descriptor,
    ) -> Result<(), ImageError> {
        let file = self.blob_open(blob)?;
        let written = archive.append_data(&mut header(blob.size), path, file);
        written.map_err(ImageError::host("write the archive"))
    }
}

fn text(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    bytes: &[u8],
) -> Result<(), ImageError> {
    let written = archive.append_data(&mut header(bytes.len() as u64), path, bytes);
    written.map_err(ImageError::host("write the archive"))
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header
}
