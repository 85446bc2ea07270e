//! An engine that does not see this host's files: what it is sent instead.
//!
//! What a runtime is made of becomes an image of the engine, sent once. What
//! belongs to one run (code, data, the value of the stage before) is carried by
//! a container that is never started: it has a volume for each folder, filled
//! through the engine's archive door, and the run's container is shown these
//! volumes read-only. They are gone with it.
//!
//! Absent on purpose: the host's own `/usr`, which is this host's and of any size,
//! and a network for stages that download, whose gateway is a socket of this host.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bollard::{
    models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        ImportImageOptions, ListImagesOptionsBuilder, RemoveImageOptions,
        UploadToContainerOptionsBuilder,
    },
};
use futures::StreamExt as _;
use strongroom_core::{digest::Digest, stage};
use strongroom_jail::{Outline, Shown};
use tokio::sync::Semaphore;

use super::{
    BUILD, EngineError,
    archive::{Saved, on_its_way},
    container::Said,
    engine::{self, Engine, failed},
    image,
};
use crate::{
    image::{ImageError, Packed},
    prepare::PrepareError,
    runtime::{FUNCTION, PROGRAM},
};

/// The most images of one station that an engine keeps.
const IMAGES_MAX: usize = 32;
/// Where inputs lie for a guest.
const DATA: &str = "/data";

/// What an engine elsewhere was sent already.
pub(super) struct Elsewhere {
    /// The folder of images of this host.
    images: Option<PathBuf>,
    /// One image is sent at a time.
    sending: Semaphore,
    /// Images by what they were made of, that used last at the end.
    sent: Mutex<Vec<(Digest, String)>>,
}

/// The folders of an outline: those of a runtime, and those of one run.
pub(super) struct Shares {
    pub(super) lasting: Vec<Shown>,
    pub(super) carried: Vec<Shown>,
}

impl Elsewhere {
    pub(super) fn new(images: Option<PathBuf>) -> Self {
        Self {
            images,
            sending: Semaphore::new(1),
            sent: Mutex::default(),
        }
    }

    /// # Errors
    ///
    /// [`PrepareError::Refused`] for what cannot be had elsewhere.
    pub(super) fn check(&self, outline: Outline) -> Result<Outline, PrepareError> {
        if outline.gateway {
            return Err(refused(
                "network",
                "the engine is elsewhere, where no stage has a gateway",
            ));
        }
        // What is at one and the same place is this host's own.
        let own = |shown: &&Shown| shown.host == shown.guest;
        if let Some(own) = outline.folders.iter().find(own) {
            let detail = format!(
                "the engine is elsewhere and has nothing of this host's {}; \
                 give the runtime an image (docs/docker.md)",
                own.host.display()
            );
            return Err(refused("runtime", &detail));
        }
        Ok(outline)
    }

    pub(super) fn shares(&self, run: &str, outline: &Outline) -> Shares {
        let is_lasting = |shown: &Shown| {
            let of_an_image = self.images.as_ref();
            let of_an_image = of_an_image.is_some_and(|images| shown.host.starts_with(images));
            of_an_image || (run != BUILD && !is_of_a_run(&shown.guest))
        };
        let folders = outline.folders.iter().cloned();
        let (lasting, carried) = folders.partition(is_lasting);
        Shares { lasting, carried }
    }

    /// The name of an image with these folders, and with links, files and the first
    /// process of the container, which is sent if need be.
    pub(super) async fn root(
        &self,
        engine: &Engine,
        said: &Said<'_>,
        shares: &Shares,
        outline: &Outline,
        files: &[(PathBuf, Vec<u8>)],
        folder: &Path,
    ) -> Result<String, EngineError> {
        let made_of = made_of(said, &shares.lasting, &outline.links, files);
        let made_of = made_of.map_err(EngineError::Image)?;
        if let Some(name) = self.sent_already(engine, made_of).await? {
            return Ok(name);
        }
        let _alone = self.sending.acquire().await.expect("it is never closed");
        // Whoever was alone before may have sent the same.
        if let Some(name) = self.sent_already(engine, made_of).await? {
            return Ok(name);
        }
        let layers = self.layers(said, &shares.lasting, &outline.links, files);
        let (station, folder) = (said.station.to_owned(), folder.to_owned());
        let packed = tokio::task::spawn_blocking(move || {
            let layers = layers.map_err(io::Error::other)?;
            Saved::pack(&layers, &station, &folder)
        });
        let packed = packed.await.map_err(io::Error::other);
        let saved = packed.and_then(|saved| saved).map_err(EngineError::Image)?;
        let name = saved.name.clone();
        if !image::is_there(engine, &name).await? {
            send(engine, saved).await?;
            tracing::info!(image = name, "sent an image to the engine");
        }
        self.remember(made_of, name.clone());
        self.make_room(engine, said.station).await;
        Ok(name)
    }

    /// The image made of this, if the engine has it still.
    async fn sent_already(
        &self,
        engine: &Engine,
        made_of: Digest,
    ) -> Result<Option<String>, EngineError> {
        match self.used(made_of) {
            Some(name) if image::is_there(engine, &name).await? => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    /// The image made of this, which is used once more.
    fn used(&self, made_of: Digest) -> Option<String> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = sent.iter().position(|(known, _)| *known == made_of)?;
        let one = sent.remove(at);
        let name = one.1.clone();
        sent.push(one);
        Some(name)
    }

    fn remember(&self, made_of: Digest, name: String) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|(known, _)| *known != made_of);
        sent.push((made_of, name));
        let over = sent.len().saturating_sub(IMAGES_MAX);
        sent.drain(..over);
    }

    /// Removes images of this station that it has used longest ago, while there
    /// are too many. The engine keeps what a container has.
    async fn make_room(&self, engine: &Engine, station: &str) {
        let label = vec![format!("{}={station}", engine::STATION)];
        let filters = HashMap::from([("label".to_owned(), label)]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let Ok(listed) = engine.api.list_images(Some(options)).await else {
            return;
        };
        let known: Vec<String> = {
            let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.iter().map(|(_, name)| name.clone()).collect()
        };
        let over = listed.len().saturating_sub(IMAGES_MAX);
        let names = listed
            .into_iter()
            .filter_map(|image| image.repo_tags.into_iter().next());
        for name in names.filter(|name| !known.contains(name)).take(over) {
            let removed = engine
                .api
                .remove_image(&name, None::<RemoveImageOptions>, None);
            if let Err(error) = removed.await {
                tracing::debug!(%error, image = name, "could not remove an image");
            }
        }
    }

    fn layers(
        &self,
        said: &Said<'_>,
        lasting: &[Shown],
        links: &[(PathBuf, PathBuf)],
        files: &[(PathBuf, Vec<u8>)],
    ) -> Result<Vec<Packed>, ImageError> {
        let (mut layers, mut root) = (Vec::new(), Packed::default());
        for shown in lasting {
            let packed = Packed::folder(&shown.host, &text(&shown.guest))?;
            match &self.images {
                Some(images) if shown.host.starts_with(images) => root = root.and(packed),
                _ => layers.push(packed.keeping_times()),
            }
        }
        layers.insert(0, root.keeping_times());
        let mut own = Packed::default();
        for (at, target) in links {
            own.link(&text(at), target.clone());
        }
        for (at, content) in files {
            own.text(&text(at), content.clone());
        }
        for (host, at) in said.tools.files() {
            own.file(&at, host, true);
        }
        layers.push(own);
        Ok(layers)
    }
}

fn is_of_a_run(guest: &Path) -> bool {
    let places = [FUNCTION, PROGRAM, stage::FOLDER, DATA];
    places.iter().any(|place| guest.starts_with(place))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn refused(wall: &str, detail: &str) -> PrepareError {
    PrepareError::Refused {
        wall: wall.to_owned(),
        detail: detail.to_owned(),
    }
}

/// Names what an image is made of without reading all of it: folders that last
/// are changed by being made anew, if at all.
fn made_of(
    said: &Said<'_>,
    lasting: &[Shown],
    links: &[(PathBuf, PathBuf)],
    files: &[(PathBuf, Vec<u8>)],
) -> io::Result<Digest> {
    let mut parts = vec![format!("{links:?}")];
    for (path, content) in files {
        parts.push(format!("{path:?} {}", Digest::of(content)));
    }
    let tools = said.tools.files().into_iter();
    let tools = tools.map(|(host, at)| (host, PathBuf::from(at)));
    let folders = lasting
        .iter()
        .map(|shown| (shown.host.clone(), shown.guest.clone()));
    for (host, guest) in folders.chain(tools) {
        let mut of = vec![fs::metadata(&host)?];
        if of[0].is_dir() {
            for entry in fs::read_dir(&host)? {
                of.push(entry?.metadata()?);
            }
        }
        let mut stamps: Vec<_> = of
            .iter()
            .map(|one| (one.ino(), one.ctime(), one.ctime_nsec()))
            .collect();
        stamps.sort_unstable();
        parts.push(format!("{host:?} {guest:?} {stamps:?}"));
    }
    Ok(Digest::of(parts.join("\n").as_bytes()))
}

async fn send(engine: &Engine, saved: Saved) -> Result<(), EngineError> {
    let name = saved.name.clone();
    let body = bollard::body_try_stream(on_its_way(|to| saved.write(to)));
    let mut heard = engine
        .api
        .import_image(ImportImageOptions::default(), body, None);
    while let Some(said) = heard.next().await {
        said.map_err(failed("send an image"))?;
    }
    match image::is_there(engine, &name).await? {
        true => Ok(()),
        false => Err(EngineError::Image(io::Error::other(
            "the engine did not take it",
        ))),
    }
}

/// A container that is never started, with a volume for each folder.
pub(super) fn carrier(said: &Said<'_>, carried: &[Shown], image: &str) -> ContainerCreateBody {
    let volumes = carried.iter().map(|shown| Mount {
        target: Some(text(&shown.guest)),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    });
    ContainerCreateBody {
        entrypoint: Some(vec!["/never".to_owned()]),
        image: Some(image.to_owned()),
        labels: Some(said.labels()),
        host_config: Some(HostConfig {
            mounts: Some(volumes.collect()),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Fills a carrier's volumes.
pub(super) async fn fill(
    engine: &Engine,
    carrier: &str,
    carried: Vec<Shown>,
) -> Result<(), EngineError> {
    for shown in carried {
        let at = text(&shown.guest);
        let options = UploadToContainerOptionsBuilder::new().path(&at).build();
        let body = bollard::body_try_stream(on_its_way(move |to| {
            let packed = Packed::folder(&shown.host, "").map_err(io::Error::other)?;
            packed.keeping_times().write(to)
        }));
        let sent = engine.api.upload_to_container(carrier, Some(options), body);
        sent.await.map_err(failed("send what a run is given"))?;
    }
    Ok(())
}
