//! A guest that was made ahead of its work, and the work that it is given.
//!
//! It stands behind every wall and holds nobody's code or data. Given its
//! work once, it becomes the guest of that run; dropped, it ends.

use std::{sync::Arc, time::Duration};

use strongroom_core::{limits::Limits, permit::Permit, plan::RuntimePin};
use strongroom_jail::{Enforced, Event, Jail, Open, WORK_BYTES_MAX};
use tokio::{io::AsyncReadExt as _, sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    disk,
    job::Job,
    prepare::{PREPARE_MS_MAX, PrepareError, of_seal, ready},
    prepared::{Beginning, Prepared, Readers},
    runtime::Furniture,
    slot::{Live, Slot},
    zygotes::Frozen,
};

/// How long a program that was launched may take until it waits.
const LAUNCH_MS_MAX: u64 = 10_000;

/// A guest that waits for work on one runtime.
pub(crate) struct Waiting {
    pin: RuntimePin,
    slot: Slot,
    pipes: Readers,
    enforced: Enforced,
}

impl Waiting {
    /// Makes one, up to where it waits.
    pub(crate) async fn make(
        live: &Arc<Live>,
        pin: RuntimePin,
        jail: Jail<Open>,
        (place, zygote): (OwnedSemaphorePermit, Option<Arc<Frozen>>),
    ) -> Result<Self, PrepareError> {
        let jail = jail.seal(live.warden.kernel()).map_err(of_seal)?;
        live.dispatch();
        let mut slot = live.take(place).ok_or(PrepareError::WardenDied)?;
        slot.keep(zygote);
        let (pipes, enforced, _) = ready(&mut slot, jail).await?;
        let mut pipes = Readers::new(pipes).map_err(PrepareError::Pipes)?;
        if pipes.door.is_some() {
            // Its main program says one byte when everything is loaded.
            let mut byte = [0];
            let said = pipes.result.read_exact(&mut byte);
            timeout(Duration::from_millis(LAUNCH_MS_MAX), said)
                .await
                .map_err(|_| PrepareError::TooSlow)?
                .map_err(PrepareError::Pipes)?;
        }
        Ok(Self {
            pin,
            slot,
            pipes,
            enforced,
        })
    }

    /// Whether it waits still, and for work on this very runtime.
    pub(crate) fn is_good_for(&mut self, pin: &RuntimePin) -> bool {
        self.pin == *pin && self.slot.is_quiet()
    }

    /// Whether a run with these limits can be given to it: what it holds
    /// already must fit, and a large `/out` is made for its run.
    pub(crate) fn fits(limits: &Limits) -> bool {
        let least = strongroom_jail::Limits::WAITING.memory_bytes;
        least <= limits.memory_bytes && !disk::is_large(limits)
    }

    /// Gives it its work, up to the moment before it hears of it.
    pub(crate) async fn give(
        mut self,
        place: OwnedSemaphorePermit,
        permit: &Permit,
        job: &Job,
        runtime: &Furniture,
        root: &std::path::Path,
    ) -> Result<Prepared, PrepareError> {
        self.slot.move_to(place);
        let arguments = job.arguments()?;
        let launched = self.pipes.door.is_some();
        let beginning = match self.pipes.door.take() {
            Some(door) => {
                let work = job.work(permit, runtime);
                if WORK_BYTES_MAX < work.len() {
                    return Err(PrepareError::Spec("it is too long for a door".to_owned()));
                }
                Beginning::Door {
                    door,
                    work,
                    arguments,
                    has_begun: job.begun,
                }
            }
            None => Beginning::Gate {
                program: job.program(permit, runtime, root)?,
                arguments,
            },
        };
        self.slot
            .warden()
            .attach(
                self.slot.id(),
                job.attachment(permit).begins(launched && job.begun),
            )
            .map_err(PrepareError::Warden)?;
        match timeout(Duration::from_millis(PREPARE_MS_MAX), self.slot.event()).await {
            Ok(Some(Event::Attached { .. })) => {}
            Ok(Some(Event::Refused { wall, detail, .. })) => {
                return Err(PrepareError::Refused { wall, detail });
            }
            Ok(Some(_)) => return Err(PrepareError::Ended),
            Ok(None) => return Err(PrepareError::WardenDied),
            Err(_) => return Err(PrepareError::TooSlow),
        }
        let limits = permit.limits();
        Ok(Prepared::new(
            self.slot,
            self.pipes,
            self.enforced,
            limits,
            beginning,
        ))
    }
}
