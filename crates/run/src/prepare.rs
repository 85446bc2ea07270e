//! From a permit and a job to a guest that waits behind every wall.
//!
//! Nothing of the guest has run when this fails. Preparing and running are
//! apart so that a sandbox can be built before there is work for it.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use strongroom_core::{limits::Limits, permit::Permit, run::Reason};
use strongroom_jail::{Event, Jail, Pipes, SealError, Sealed, Tier, WardenError};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    disk::{self, DiskError},
    docker::EngineError,
    job::{Job, Reach},
    local::{Local, Shared, StartError},
    pool::Taken,
    prepared::{Beginning, Prepared, Readers},
    runtime::{Furniture, RuntimeError},
    slot::{Live, Slot},
    waiting::Waiting,
};

/// How long a run may wait for the place of one that is being cleared away.
pub const PLACE_WAIT_MS_MAX: u64 = 10_000;
/// How long the warden may take to build one sandbox.
pub const PREPARE_MS_MAX: u64 = 10_000;

/// Why a guest was not prepared. Nothing of it has run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("the permit is for another plan")]
    NotPermitted,
    #[error("the runtime is not the one in the plan any more")]
    RuntimeChanged,
    #[error("the runtime is an image, and the tier reduced has no root to make of one")]
    ImageReduced,
    #[error("the inputs are not those that the plan has for this stage")]
    Inputs,
    #[error("the function's program was not laid out, or this runtime runs none")]
    Program,
    #[error("data and network never meet: a job with a gateway shows no inputs")]
    DataAndNetwork,
    #[error("{wall}: {detail}")]
    Refused { wall: String, detail: String },
    #[error("could not write down what the guest is to see: {0}")]
    Spec(String),
    #[error("could not furnish the runtime")]
    Runtime(#[from] RuntimeError),
    #[error("could not hand over the arguments")]
    Arguments(#[source] io::Error),
    #[error("no place became free for this run")]
    Busy,
    #[error("could not have a warden")]
    Start(#[from] StartError),
    #[error("could not ask the warden for a sandbox")]
    Warden(#[source] WardenError),
    #[error("the warden died while it built the sandbox")]
    WardenDied,
    #[error("the sandbox ended before its guest began")]
    Ended,
    #[error("the warden took too long to build the sandbox")]
    TooSlow,
    #[error("could not have a disk")]
    Disk(#[from] DiskError),
    #[error("could not read from the guest's pipes")]
    Pipes(#[source] io::Error),
    #[error("could not have a container")]
    Engine(#[from] EngineError),
}

impl PrepareError {
    /// The reason that the run ends with.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotPermitted
            | Self::RuntimeChanged
            | Self::ImageReduced
            | Self::Refused { .. }
            | Self::Runtime(_)
            | Self::Disk(DiskError::NeedsDisk { .. }) => Reason::Refused {
                why: with_sources(self),
            },
            _ => Reason::HostError {
                what: with_sources(self),
            },
        }
    }
}

/// The message with those of its causes.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out = format!("{out}: {cause}");
        source = cause.source();
    }
    out
}

impl Local {
    /// Builds the sandbox for `job`, up to the moment before its guest begins.
    ///
    /// Dropping the returned [`Prepared`], or this future, ends the guest.
    ///
    /// # Errors
    ///
    /// [`PrepareError`]; nothing of the guest has run and nothing is left of it.
    pub async fn prepare(&self, permit: Permit, job: Job) -> Result<Prepared, PrepareError> {
        let runtime = job.checked(&permit, &self.shared.runtimes)?;
        if runtime.image().is_some() && self.kernel().tier == Tier::Reduced {
            return Err(PrepareError::ImageReduced);
        }
        let answer = runtime.answer_of(&job.entry);
        let mut place = self.place().await?;
        let ahead = match job.reach {
            // To a guest that waits nothing can be given that it could execute.
            _ if runtime.runs_programs() => None,
            _ if job.terminal.is_some() => None,
            Reach::Nothing => self.ahead(&permit, &job, &runtime).await,
            // What reaches a network is made for its one run.
            Reach::Gateway => None,
        };
        if let Some(waiting) = ahead {
            let root = self.shared.runtimes.root();
            match waiting.give(place, &permit, &job, &runtime, root).await {
                Ok(prepared) => {
                    let mut prepared = prepared.with_events(runtime.events());
                    prepared.answer = answer;
                    return Ok(prepared);
                }
                // Whatever it is, the plain way meets it too, or does not.
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "could not give a run to a guest that waited"
                ),
            }
            place = self.place().await?;
        }
        let mut jail = job.jail(&permit, &runtime, self.shared.runtimes.root())?;
        if let Some(disk) = self.disk(permit.limits()).await? {
            jail = jail.out_on_disk(disk);
        }
        let live = live(&self.shared).await?;
        let jail = jail.seal(live.warden.kernel()).map_err(of_seal)?;
        live.dispatch();
        let mut slot = live.take(place).ok_or(PrepareError::WardenDied)?;
        let (pipes, enforced, gateway) = ready(&mut slot, jail).await?;
        let pipes = Readers::new(pipes).map_err(PrepareError::Pipes)?;
        let limits = permit.limits();
        let prepared = Prepared::new(slot, pipes, enforced, limits, Beginning::Plain);
        let mut prepared = prepared.with_gateway(gateway);
        prepared.answer = answer;
        Ok(prepared.with_events(runtime.events()))
    }

    /// A guest that was made ahead, or one that is quickly made.
    async fn ahead(&self, permit: &Permit, job: &Job, runtime: &Furniture) -> Option<Waiting> {
        // One with a network is made for its run, and nothing of it before.
        if permit.stage().has_network() || !Waiting::fits(&permit.limits()) {
            return None;
        }
        let (pool, pin) = (&self.shared.pool, runtime.pool_pin(&job.plan.runtime));
        match pool.take(&self.shared, &pin, runtime, &job.tenant) {
            Taken::Waiting(waiting) => Some(*waiting),
            Taken::Nothing => None,
            Taken::Zygote(zygote) => {
                let made = pool.copy(&self.shared, runtime, zygote).await;
                made.unwrap_or_else(|error| {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "could not make a copy"
                    );
                    None
                })
            }
        }
    }

    /// Where `/out` lies, if it is too large for memory.
    async fn disk(&self, limits: Limits) -> Result<Option<OwnedFd>, PrepareError> {
        if !disk::is_large(&limits) {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        let made = move || shared.disks.disk_for(&shared.kernel, &limits);
        let made = tokio::task::spawn_blocking(made).await;
        Ok(made.map_err(|_| PrepareError::WardenDied)??)
    }

    /// A place for one run, as soon as one is free.
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, PrepareError> {
        let places = Arc::clone(&self.shared.places).acquire_owned();
        let place = timeout(Duration::from_millis(PLACE_WAIT_MS_MAX), places).await;
        let place = place.map_err(|_| PrepareError::Busy)?;
        Ok(place.expect("the semaphore is never closed"))
    }
}

pub(crate) async fn live(shared: &Arc<Shared>) -> Result<Arc<Live>, PrepareError> {
    if let Some(live) = shared.live_now() {
        return Ok(live);
    }
    let shared = Arc::clone(shared);
    let started = tokio::task::spawn_blocking(move || shared.live());
    Ok(started.await.map_err(|_| PrepareError::WardenDied)??)
}

pub(crate) async fn ready(
    slot: &mut Slot,
    jail: Jail<Sealed>,
) -> Result<(Pipes, strongroom_jail::Enforced, Option<OwnedFd>), PrepareError> {
    let pipes = slot
        .warden()
        .prepare(slot.id(), jail)
        .map_err(PrepareError::Warden)?;
    match timeout(Duration::from_millis(PREPARE_MS_MAX), slot.event()).await {
        Ok(Some(Event::Ready {
            enforced, gateway, ..
        })) => Ok((pipes, enforced, gateway)),
        Ok(Some(Event::Refused { wall, detail, .. })) => {
            Err(PrepareError::Refused { wall, detail })
        }
        Ok(Some(Event::Exited { .. } | Event::Attached { .. })) => Err(PrepareError::Refused {
            wall: "init".to_owned(),
            detail: "the sandbox ended before its guest began".to_owned(),
        }),
        Ok(None) => Err(PrepareError::WardenDied),
        Err(_) => Err(PrepareError::TooSlow),
    }
}

pub(crate) fn of_seal(error: SealError) -> PrepareError {
    match error {
        SealError::Wall { name, why, fix } => PrepareError::Refused {
            wall: name,
            detail: match fix {
                Some(fix) => format!("{why}; to mend it: {fix}"),
                None => why,
            },
        },
        other => PrepareError::Spec(other.to_string()),
    }
}
