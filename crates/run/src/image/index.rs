//! Which images there are, and what they are called: the layout's `index.json`.
//!
//! An image enters it last, when all of it is there, so who finds one in it
//! finds it whole. The file is replaced and never written to.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use serde::Serialize;
use strongroom_core::digest::Digest;

use super::{
    Config, Descriptor, ImageError, ImageName, Images, Manifest, NAMES_MAX,
    blob::sync_folder_of,
    media::{self, Index},
    private,
};

/// The file that says that a folder is an OCI layout.
pub(super) const LAYOUT: &str = "oci-layout";
pub(super) const LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
pub(super) const INDEX: &str = "index.json";
/// How other tools find the name of an image.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One image, as a list shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    pub digest: Digest,
    pub names: Vec<String>,
    /// What its layers take, in bytes; several images may share them.
    pub size_bytes: u64,
    pub layers: usize,
    /// Why it cannot be used, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

pub(super) fn make(folder: &Path) -> io::Result<()> {
    let layout = folder.join(LAYOUT);
    if !folder.join(INDEX).exists() {
        let _turn = turn(folder)?;
        if !folder.join(INDEX).exists() {
            let empty = serde_json::to_vec(&Index::new(Vec::new())).expect("plain data");
            replace(folder, INDEX, &empty)?;
        }
    }
    match layout.exists() {
        true => Ok(()),
        false => replace(folder, LAYOUT, LAYOUT_TEXT.as_bytes()),
    }
}

fn turn(folder: &Path) -> io::Result<File> {
    let lock = private().open(folder.join("index.lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder.join("staging"))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let path = folder.join(name);
    file.persist(&path)?;
    sync_folder_of(&path)
}

impl Images {
    /// All images, by digest.
    pub fn list(&self) -> Result<Vec<Listed>, ImageError> {
        let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for one in self.index()?.manifests {
            let known = names.entry(one.digest).or_default();
            known.extend(one.annotations.get(REF_NAME).cloned());
        }
        let listed = names.into_iter().map(|(digest, names)| {
            let found = self.image(&digest);
            let fault = found.as_ref().err().map(ToString::to_string);
            let layers = found.map_or_else(|_| Vec::new(), |(manifest, _)| manifest.layers);
            Listed {
                digest,
                names,
                size_bytes: layers.iter().map(|blob| blob.size).sum(),
                layers: layers.len(),
                fault,
            }
        });
        Ok(listed.collect())
    }

    /// The image of this name or digest, or of the beginning of a digest.
    ///
    /// # Errors
    ///
    /// [`ImageError::Unknown`] and [`ImageError::Ambiguous`].
    pub fn find(&self, raw: &str) -> Result<Digest, ImageError> {
        let manifests = self.index()?.manifests;
        let named = |one: &&Descriptor| {
            one.annotations
                .get(REF_NAME)
                .is_some_and(|name| name == raw)
        };
        if let Some(found) = manifests.iter().find(named) {
            return Ok(found.digest);
        }
        let begins = raw.strip_prefix("sha256:").unwrap_or(raw);
        let unknown = || ImageError::Unknown(raw.to_owned());
        if begins.len() < PREFIX_LEN_MIN {
            return Err(unknown());
        }
        let mut found: Vec<Digest> = manifests.iter().map(|one| one.digest).collect();
        found.retain(|digest| digest.hex().starts_with(begins));
        found.dedup();
        match found.as_slice() {
            [] => Err(unknown()),
            [one] => Ok(*one),
            _ if found.iter().all(|one| *one == found[0]) => Ok(found[0]),
            _ => Err(ImageError::Ambiguous(raw.to_owned())),
        }
    }

    /// Reads and checks the documents of an image.
    pub fn image(&self, digest: &Digest) -> Result<(Manifest, Config), ImageError> {
        let bytes = self.document("the manifest", digest);
        let bytes = bytes.map_err(|error| match error {
            ImageError::Missing { .. } => ImageError::Unknown(digest.to_string()),
            other => other,
        })?;
        let manifest = Manifest::parse(&bytes)?;
        let config = self.document("the configuration", &manifest.config.digest)?;
        let config = Config::parse(&config, &manifest)?;
        Ok((manifest, config))
    }

    /// The bytes of an image's manifest, as they were when it got its digest.
    pub fn manifest_bytes(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        self.document("the manifest", digest)
    }

    /// Takes in the image whose blobs are all there: looks at every one,
    /// unpacks it, makes its root, and only then lets it be found.
    ///
    /// # Errors
    ///
    /// What is wrong with it; then nothing is found that was not before.
    pub fn admit(&self, digest: &Digest, names: &[ImageName]) -> Result<(), ImageError> {
        let (manifest, config) = self.image(digest)?;
        for blob in &manifest.layers {
            self.blob_open(blob)?;
        }
        self.root(digest)?;
        // Its root may be another image's, and its blobs anything.
        for (blob, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            self.compare(blob, diff_id)?;
        }
        let size = self.manifest_bytes(digest)?.len() as u64;
        let entry = Descriptor::new(manifest.media_type(), *digest, size);
        self.change(|index| {
            let known = |one: &Descriptor| one.digest == *digest;
            for name in names {
                name_it(index, &entry, name)?;
            }
            if names.is_empty() && !index.manifests.iter().any(known) {
                index.manifests.push(entry.clone());
            }
            Ok(())
        })
    }

    /// Gives an image that is there a name, or the name to another image.
    pub fn call(&self, digest: &Digest, name: &ImageName) -> Result<(), ImageError> {
        // Else it could be cleared away between being looked at and named.
        let _incoming = self.incoming()?;
        self.admit(digest, std::slice::from_ref(name))
    }

    /// Takes a name away. The image stays until what nobody names is cleared.
    pub fn forget(&self, name: &ImageName) -> Result<(), ImageError> {
        self.change(|index| {
            let named = |one: &Descriptor| {
                one.annotations.get(REF_NAME).map(String::as_str) == Some(name.as_str())
            };
            index.manifests.retain(|one| !named(one));
            Ok(())
        })
    }

    pub(super) fn index(&self) -> Result<Index, ImageError> {
        let file = File::open(self.folder.join(INDEX));
        let file = file.map_err(ImageError::host("read which images there are"))?;
        Index::parse(&media::bounded("the index", file)?)
    }

    /// Changes the index, one change at a time.
    pub(super) fn change(
        &self,
        how: impl FnOnce(&mut Index) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let attempt = ImageError::host("write down which images there are");
        let _turn = turn(&self.folder).map_err(&attempt)?;
        let mut index = self.index()?;
        how(&mut index)?;
        let text = serde_json::to_vec(&index).expect("plain data");
        replace(&self.folder, INDEX, &text).map_err(&attempt)
    }
}

/// The fewest digits that stand for a digest.
const PREFIX_LEN_MIN: usize = 6;

fn name_it(index: &mut Index, entry: &Descriptor, name: &ImageName) -> Result<(), ImageError> {
    let named =
        |one: &Descriptor| one.annotations.get(REF_NAME).map(String::as_str) == Some(name.as_str());
    let bare =
        |one: &Descriptor| one.digest == entry.digest && !one.annotations.contains_key(REF_NAME);
    index.manifests.retain(|one| !named(one) && !bare(one));
    if NAMES_MAX <= index.manifests.len() {
        return Err(ImageError::TooManyNames);
    }
    let mut entry = entry.clone();
    entry
        .annotations
        .insert(REF_NAME.to_owned(), name.to_string());
    index.manifests.push(entry);
    Ok(())
}

/// Whether a folder holds a layout at all.
pub(super) fn is_layout(folder: &Path) -> bool {
    fs::metadata(folder.join(LAYOUT)).is_ok_and(|meta| meta.is_file())
}
