//! From an outline to a container whose guest waits to begin.

use std::{os::fd::OwnedFd, sync::Arc, time::Duration};

use strongroom_core::limits::Limits;
use strongroom_jail::{Outline, inside::Order};
use tokio::{net::unix::pipe, time::timeout};

use super::{
    EngineError, Shared,
    contained::{Contained, Life, Word},
    container::{self, Place, Said},
    engine, image,
    mouths::Mouths,
};
use crate::{prepare::PrepareError, prepared::Readers};

/// How long an engine may take to make a container whose guest can begin.
const MAKE_MS_MAX: u64 = 60_000;

impl Shared {
    /// A container whose guest waits to begin, and the pipes it speaks through.
    pub(super) async fn contain(
        self: &Arc<Self>,
        place: Place,
        run: &str,
        outline: Outline,
        log_bytes: u64,
    ) -> Result<(Contained, Readers, Option<OwnedFd>), PrepareError> {
        if outline.gateway {
            return Err(PrepareError::Refused {
                wall: "gateway".to_owned(),
                detail: "the backend docker runs no stage that downloads".to_owned(),
            });
        }
        let uid = self.uid(place.slot);
        let files = container::files(&outline, &self.uids());
        let image = image::root(&self.engine, &outline.links, &files).await?;
        let said = Said {
            station: self.config.station.as_deref().unwrap_or(engine::TRIAL),
            run,
            uid,
            tools: &self.tools,
            own: Vec::new(),
        };
        let body = container::body(&said, &outline, image);
        let order = container::order(outline, log_bytes, None)?;
        let pipes = || pipe::pipe().map_err(PrepareError::Pipes);
        let [stdout, stderr, result] = [pipes()?, pipes()?, pipes()?];
        let mouths = Mouths::new([stdout.0, stderr.0, result.0], &order);
        let (life, mut contained) = Life::new(limits(&order), mouths);
        tokio::spawn(life.whole(place, body, order));
        let readers = Readers::of([stdout.1, stderr.1, result.1]);
        let first = timeout(Duration::from_millis(MAKE_MS_MAX), contained.word());
        match first.await.map_err(|_| EngineError::Slow)? {
            Some(Word::Ready) => Ok((contained, readers, None)),
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

fn limits(order: &Order) -> Limits {
    Limits {
        out_bytes: order.limits.out_bytes,
        out_files: u32::try_from(order.limits.out_files).unwrap_or(u32::MAX),
        ..Limits::DEFAULT
    }
}
