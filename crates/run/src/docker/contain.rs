//! From an outline to a container whose guest waits to begin.

use std::{
    fs::Permissions,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use strongroom_core::limits::Limits;
use strongroom_jail::{
    Outline,
    inside::{Handover, Order, SOCKET},
};
use tempfile::TempDir;
use tokio::{net::unix::pipe, time::timeout};

use super::{
    EngineError, Shared, apart,
    contained::{Contained, Life, Word},
    container::{self, Place, Said, Sight},
    elsewhere, engine, image,
    making::Making,
    mouths::Mouths,
    tools::FOLDER,
};
use crate::{prepare::PrepareError, prepared::Readers};

/// How long an engine may take to make a container whose guest can begin; and one
/// that is sent first what the guest is shown.
const MAKE_MS_MAX: u64 = 60_000;
const MAKE_ELSEWHERE_MS_MAX: u64 = 900_000;

/// A container whose guest waits to begin, the pipes it speaks through, and the
/// port of its gateway.
type Whole = (Contained, Readers, Option<OwnedFd>);

impl Shared {
    /// A container whose guest waits to begin, or an error once that has taken too
    /// long; what was made of it by then is removed by its own task.
    pub(super) async fn contain(
        self: &Arc<Self>,
        place: Place,
        run: &str,
        outline: Outline,
        log_bytes: u64,
    ) -> Result<Whole, PrepareError> {
        let usual_ms = match self.elsewhere {
            None => MAKE_MS_MAX,
            Some(_) => MAKE_ELSEWHERE_MS_MAX,
        };
        let usual = Duration::from_millis(usual_ms);
        let make_max = self.config.patience.unwrap_or(usual);
        let made = self.make(place, run, outline, log_bytes);
        timeout(make_max, made)
            .await
            .map_err(|_| EngineError::Slow)?
    }

    async fn make(
        self: &Arc<Self>,
        place: Place,
        run: &str,
        outline: Outline,
        log_bytes: u64,
    ) -> Result<Whole, PrepareError> {
        let outline = match &self.elsewhere {
            Some(elsewhere) => elsewhere.check(outline)?,
            None => outline,
        };
        let gateway = match outline.gateway {
            true => Some(Waiting::in_folder(&self.config.folder)?),
            false => None,
        };
        if container::is_among_tools(&outline) {
            return Err(EngineError::AmongTools.into());
        }
        let outline = apart::etc(outline).map_err(EngineError::Image)?;
        let uid = self.uid(place.slot);
        let files = container::files(&outline, &self.uids());
        let said = Said {
            station: self.config.station.as_deref().unwrap_or(engine::TRIAL),
            run,
            uid,
            tools: &self.tools,
            own: gateway.iter().map(Waiting::shown).collect(),
        };
        let making = match &self.elsewhere {
            None => {
                let image = image::root(&self.engine, &outline.links, &files).await?;
                let body = container::body(&said, &outline, image, Sight::Here);
                Making { body, load: None }
            }
            Some(elsewhere) => {
                let shares = elsewhere.shares(run, &outline);
                let folder = &self.config.folder;
                let sent = elsewhere.root(&self.engine, &said, &shares, &outline, &files, folder);
                let image = sent.await?;
                let carries = elsewhere::carrier(&said, &shares.carried, &image);
                let body = container::body(&said, &outline, image, Sight::Elsewhere);
                let load = Some((carries, shares.carried));
                Making { body, load }
            }
        };
        let order = container::order(outline, log_bytes, gateway.as_ref().map(Waiting::path))?;
        let pipes = || pipe::pipe().map_err(PrepareError::Pipes);
        let [stdout, stderr, result] = [pipes()?, pipes()?, pipes()?];
        let mouths = Mouths::new([stdout.0, stderr.0, result.0], &order);
        let (life, mut contained) = Life::new(limits(&order), mouths);
        tokio::spawn(life.whole(place, making, order));
        let readers = Readers::of([stdout.1, stderr.1, result.1]);
        match contained.word().await {
            Some(Word::Ready) => {
                let taken = gateway.map(Waiting::take).transpose()?;
                Ok((contained, readers, taken))
            }
            Some(Word::Refused(error)) => Err(error),
            Some(Word::Dead(..)) | None => Err(PrepareError::Ended),
        }
    }

    /// Builds one box and looks at it, without a guest.
    pub(super) async fn rehearse(self: &Arc<Self>) -> Result<(), PrepareError> {
        let place = self.place().await.ok_or(PrepareError::Busy)?;
        let made = self.contain(place, "rehearsal", container::rehearsal(), 0);
        made.await.map(drop)
    }
}

/// A folder in which the port of a container's gateway is waited for.
struct Waiting {
    folder: TempDir,
    handover: Handover,
}

impl Waiting {
    fn in_folder(below: &Path) -> Result<Self, EngineError> {
        let made = || {
            let folder = tempfile::Builder::new()
                .prefix("strongroom-gateway-")
                .permissions(Permissions::from_mode(0o711))
                .tempdir_in(below)?;
            let handover = Handover::listen(folder.path())?;
            let everybody = Permissions::from_mode(0o777);
            std::fs::set_permissions(folder.path().join(SOCKET), everybody)?;
            Ok(Self { folder, handover })
        };
        made().map_err(EngineError::Folder)
    }

    /// The folder, and where the container sees it.
    fn shown(&self) -> (PathBuf, String) {
        (self.folder.path().to_owned(), format!("{FOLDER}/gateway"))
    }

    /// The socket, as the container sees it.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("{FOLDER}/gateway/{SOCKET}"))
    }

    fn take(self) -> Result<OwnedFd, PrepareError> {
        self.handover.take().map_err(PrepareError::Pipes)
    }
}

fn limits(order: &Order) -> Limits {
    Limits {
        cpu_milli: order.limits.cpu_milli,
        memory_bytes: order.limits.memory_bytes,
        out_bytes: order.limits.out_bytes,
        out_files: u32::try_from(order.limits.out_files).unwrap_or(u32::MAX),
        ..Limits::DEFAULT
    }
}
