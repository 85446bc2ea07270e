//! Images made here: a base, and layers on top of it.
//!
//! No daemon, no clock and no random number has a part in it: the same base
//! and the same files make the same image.

use std::io::{self, Write};

use serde_json::json;
use strongroom_core::digest::Digest;

use super::{
    Config, Descriptor, ImageError, ImageName, Images, Manifest, Packed,
    media::{self, RootFs, Start},
};

/// A layer to be put on top.
#[derive(Clone, Debug)]
pub struct Addition {
    files: Packed,
    /// What other tools start; the last one counts.
    pub start: Option<Start>,
}

impl Addition {
    pub fn whole(files: Packed) -> Self {
        Self { files, start: None }
    }
}

/// An image that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    pub digest: Digest,
}

impl Images {
    /// Puts layers on top of a base, or on nothing. The image cannot be found
    /// yet: [`Images::admit`] lets it.
    ///
    /// # Errors
    ///
    /// [`ImageError::Unknown`] when there is no such base.
    pub fn build(&self, base: Option<&Digest>, on_top: &[Addition]) -> Result<Built, ImageError> {
        let (mut layers, mut diff_ids, mut start) = match base {
            None => (Vec::new(), Vec::new(), Start::default()),
            Some(base) => {
                let (manifest, config) = self.image(base)?;
                (manifest.layers, config.rootfs.diff_ids, config.config)
            }
        };
        for addition in on_top {
            if !addition.files.is_empty() {
                let layer = self.pack(&addition.files)?;
                diff_ids.push(layer.digest);
                layers.push(layer);
            }
            if let Some(other) = &addition.start {
                start = over(start, other.clone());
            }
        }
        if super::LAYERS_MAX < layers.len() {
            return Err(ImageError::TooManyLayers);
        }
        let config = Config {
            architecture: media::host().architecture,
            os: media::host().os,
            config: start,
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids,
            },
            created: Some("1970-01-01T00:00:00Z".to_owned()),
        };
        // With a history, for tools that show one; by its length they check it.
        let mut config = serde_json::to_value(&config).expect("plain data");
        config["history"] = json!(vec![json!({ "created_by": "strongroom" }); layers.len()]);
        let config = serde_json::to_vec(&config).expect("plain data");
        let size = config.len() as u64;
        let config = Descriptor::new(media::CONFIG, self.document_put(&config)?, size);
        let manifest = Manifest::new(config, layers);
        let digest = self.document_put(&serde_json::to_vec(&manifest).expect("plain data"))?;
        Ok(Built { digest })
    }

    /// Builds, and lets the image be found by these names.
    pub fn build_and_admit(
        &self,
        base: Option<&Digest>,
        on_top: &[Addition],
        names: &[ImageName],
    ) -> Result<Built, ImageError> {
        self.all_or_nothing(|| {
            let _incoming = self.incoming()?;
            let built = self.build(base, on_top)?;
            self.admit(&built.digest, names)?;
            Ok(built)
        })
    }

    fn pack(&self, files: &Packed) -> Result<Descriptor, ImageError> {
        let attempt = ImageError::host("pack a layer");
        let mut file = tempfile::tempfile_in(self.folder.join("staging")).map_err(&attempt)?;
        files
            .write(io::BufWriter::new(&mut file))
            .map_err(&attempt)?;
        file.flush().map_err(&attempt)?;
        io::Seek::rewind(&mut file).map_err(&attempt)?;
        let (digest, size) = self.blob_take(file)?;
        Ok(Descriptor::new(media::LAYER, digest, size))
    }
}

/// What the upper one says, and else the lower one.
fn over(lower: Start, upper: Start) -> Start {
    let own_start = upper.entrypoint.is_some() || upper.cmd.is_some();
    Start {
        user: upper.user.or(lower.user),
        env: upper.env.or(lower.env),
        cmd: if own_start { upper.cmd } else { lower.cmd },
        entrypoint: if own_start {
            upper.entrypoint
        } else {
            lower.entrypoint
        },
        working_dir: upper.working_dir.or(lower.working_dir),
        labels: upper.labels.or(lower.labels),
    }
}
