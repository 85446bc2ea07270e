//! Images out of archives, and out of a folder that is a root.
//!
//! Both kinds of archive end as the same image: what `docker save` wrote gets
//! a manifest of ours over the same layers and the same configuration.

use std::path::Path;

use serde::Deserialize;
use strongroom_core::digest::Digest;

use super::{
    Descriptor, ImageError, ImageName, Images, Manifest,
    archive::{Archive, compression},
    index, is_index, is_manifest,
    media::{self, Compression, Index},
};

/// How deep indexes may lie in indexes.
const INDEXES_MAX: usize = 4;
const DOCKER: &str = "manifest.json";

/// One image of what `docker save` writes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

impl Images {
    /// Takes the image out of an `oci-archive` or a `docker-archive`, packed
    /// or not, or makes one of a folder.
    ///
    /// # Errors
    ///
    /// [`ImageError`] says what is wrong with it; nothing has changed then.
    pub fn import(&self, from: &Path, names: &[ImageName]) -> Result<Digest, ImageError> {
        self.all_or_nothing(|| self.import_whole(from, names))
    }

    fn import_whole(&self, from: &Path, names: &[ImageName]) -> Result<Digest, ImageError> {
        let _incoming = self.incoming()?;
        let digest = if from.is_dir() && !index::is_layout(from) {
            self.import_folder(from)?
        } else if from.is_dir() {
            return Err(ImageError::Archive(
                "it is a layout; make an archive of it: `tar -C FOLDER -cf image.tar .`".to_owned(),
            ));
        } else {
            let archive = Archive::open(self, from)?;
            if archive.has(index::INDEX) {
                self.import_oci(&archive)?
            } else if archive.has(DOCKER) {
                self.import_docker(&archive)?
            } else {
                let what = "it is neither an oci-archive nor a docker-archive";
                return Err(ImageError::Archive(what.to_owned()));
            }
        };
        self.admit(&digest, names)?;
        Ok(digest)
    }

    fn import_folder(&self, folder: &Path) -> Result<Digest, ImageError> {
        let packed = super::Packed::folder(folder, "")?;
        let built = self.build(None, &[super::Addition::whole(packed)])?;
        Ok(built.digest)
    }

    fn import_oci(&self, archive: &Archive) -> Result<Digest, ImageError> {
        let bytes = archive.document("the index", index::INDEX)?;
        let mut index = Index::parse(&bytes)?;
        for _ in 0..INDEXES_MAX {
            let manifests = index.manifests.len();
            let unlike = index.manifests.iter().any(|one| one.platform.is_none());
            if unlike && 1 < manifests {
                return Err(ImageError::ManyImages(manifests));
            }
            let chosen = index.choose()?;
            archive.blob(self, &chosen)?;
            let bytes = self.document("the manifest", &chosen.digest)?;
            if is_index(&chosen.media_type) {
                index = Index::parse(&bytes)?;
                continue;
            }
            if !is_manifest(&chosen.media_type) {
                return Err(ImageError::Media {
                    what: "the manifest",
                    media: chosen.media_type,
                });
            }
            let manifest = Manifest::parse(&bytes)?;
            for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                archive.blob(self, blob)?;
            }
            return Ok(chosen.digest);
        }
        let why = "indexes lie in indexes without end".to_owned();
        Err(ImageError::Archive(why))
    }

    fn import_docker(&self, archive: &Archive) -> Result<Digest, ImageError> {
        let bytes = archive.document("the manifest", DOCKER)?;
        let saved: Vec<Saved> = media::read("the manifest", &bytes)?;
        let [saved] = saved.as_slice() else {
            return Err(ImageError::ManyImages(saved.len()));
        };
        if super::LAYERS_MAX < saved.layers.len() {
            return Err(ImageError::TooManyLayers);
        }
        let config = archive.document("the configuration", &saved.config)?;
        let size = config.len() as u64;
        let config = Descriptor::new(media::CONFIG, self.document_put(&config)?, size);
        let layers = saved
            .layers
            .iter()
            .map(|name| self.saved_layer(archive, name));
        let layers = layers.collect::<Result<_, _>>()?;
        let manifest = Manifest::new(config, layers);
        self.document_put(&serde_json::to_vec(&manifest).expect("plain data"))
    }

    fn saved_layer(&self, archive: &Archive, name: &str) -> Result<Descriptor, ImageError> {
        use std::io::Read as _;
        let mut beginning = Vec::new();
        let (from, _) = archive.member(name)?;
        let read = from.take(4).read_to_end(&mut beginning);
        read.map_err(ImageError::host("read the archive"))?;
        let (digest, size) = self.blob_take(archive.member(name)?.0)?;
        let media = match compression(&beginning) {
            Compression::None => media::LAYER.to_owned(),
            Compression::Gzip => format!("{}+gzip", media::LAYER),
            Compression::Zstd => format!("{}+zstd", media::LAYER),
        };
        Ok(Descriptor::new(&media, digest, size))
    }
}
