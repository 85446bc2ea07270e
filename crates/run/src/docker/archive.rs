//! Archives for an engine elsewhere: an image of a root, and bytes on their way.
//!
//! An image is what `docker load` takes: the engine has all of it or nothing. It
//! is named by the digest of its content, so that an engine is sent none twice.

use std::{
    fs::File,
    io::{self, BufWriter, Seek as _, Write},
    path::Path,
};

use bytes::Bytes;
use futures::Stream;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use strongroom_core::digest::Digest;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::{engine, image::NAME};
use crate::image::Packed;

/// One piece of an archive on its way, and how many wait to be taken.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES_MAX: usize = 16;

/// An image, ready to be sent.
pub(super) struct Saved {
    pub(super) name: String,
    config: Vec<u8>,
    layers: Vec<Layer>,
}

struct Layer {
    digest: Digest,
    bytes: u64,
    file: File,
}

impl Saved {
    /// Packs layers, the lowest first, into files of `folder` without a name.
    /// Blocking.
    pub(super) fn pack(layers: &[Packed], station: &str, folder: &Path) -> io::Result<Self> {
        let layers = layers.iter().map(|layer| Layer::pack(layer, folder));
        let layers = layers.collect::<io::Result<Vec<_>>>()?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let digests: Vec<_> = layers
            .iter()
            .map(|layer| layer.digest.to_string())
            .collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Labels": { engine::STATION: station } },
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = serde_json::to_vec(&config).expect("plain data");
        let tag = Digest::of(&config).to_string().replace(':', "-");
        Ok(Self {
            name: format!("{NAME}:{tag}"),
            config,
            layers,
        })
    }

    /// The archive, as `docker load` takes it.
    pub(super) fn write(self, to: &mut dyn Write) -> io::Result<()> {
        let mut archive = Builder::new(to);
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|layer| format!("{}.tar", layer.digest.hex()))
            .collect();
        let saved = json!([{ "Config": "config.json", "RepoTags": [self.name], "Layers": layers }]);
        let saved = saved.to_string();
        let mut put = |path: &str, bytes: u64, from: &mut dyn io::Read| {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(bytes);
            header.set_mtime(0);
            archive.append_data(&mut header, path, from)
        };
        put("manifest.json", saved.len() as u64, &mut saved.as_bytes())?;
        let config = self.config.as_slice();
        put("config.json", config.len() as u64, &mut &*config)?;
        let mut sent = std::collections::BTreeSet::new();
        for (mut layer, path) in self.layers.into_iter().zip(layers) {
            if sent.insert(layer.digest) {
                layer.file.rewind()?;
                put(&path, layer.bytes, &mut layer.file)?;
            }
        }
        archive.into_inner()?.flush()
    }
}

impl Layer {
    fn pack(packed: &Packed, folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        let mut hashing = Hashing {
            to: BufWriter::new(file),
            hash: Sha256::new(),
            bytes: 0,
        };
        packed.write(&mut hashing)?;
        let digest = Digest::from_bytes(hashing.hash.finalize().into());
        Ok(Self {
            digest,
            bytes: hashing.bytes,
            file: hashing.to.into_inner()?,
        })
    }
}

/// Writes on, and counts and hashes what was written.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What `write` writes, piece by piece. Where it fails the stream does, so that
/// nobody takes a part for the whole; where nobody takes it, writing ends.
pub(super) fn on_its_way(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (to, mut pieces) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut writer = BufWriter::with_capacity(PIECE_BYTES, Pieces(to.clone()));
        let written = write(&mut writer).and_then(|()| writer.flush());
        if let Err(error) = written {
            // What it holds still is no end of anything.
            let _ = writer.into_parts();
            // An error means that nobody takes it any more.
            let _ = to.blocking_send(Err(error));
        }
    });
    futures::stream::poll_fn(move |context| pieces.poll_recv(context))
}

struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[test]
    fn the_same_layers_have_one_name_and_others_another() {
        let folder = tempfile::tempdir().unwrap();
        let packed = |text: &str| {
            let mut packed = Packed::default();
            packed.text("etc/x", text);
            packed
        };
        let name = |layers: &[Packed], station: &str| {
            Saved::pack(layers, station, folder.path()).unwrap().name
        };
        let one = name(&[packed("one")], "station");
        assert_eq!(one, name(&[packed("one")], "station"));
        assert_ne!(one, name(&[packed("two")], "station"));
        assert_ne!(one, name(&[packed("one")], "another"));
    }

    #[tokio::test]
    async fn an_archive_that_cannot_be_written_to_its_end_has_none() {
        let mut taken = Box::pin(on_its_way(|to| {
            to.write_all(b"some")?;
            Err(io::Error::other("the disk is gone"))
        }));
        let mut failed = false;
        while let Some(piece) = taken.next().await {
            failed = piece.is_err();
        }
        assert!(failed);
    }
}
