//! The backend `docker`: each run in a container of a Docker Engine.
//!
//! The engine builds the box: namespaces, control group, read-only root, no
//! network, no capability. What it was asked for is looked at from inside before
//! a guest begins, and what needs no privilege is added there; see
//! `strongroom_jail::inside`. A container is for one run, and removed whatever
//! happens; those that a crash left are removed at the next start, known by the
//! station's own label. Nothing of a run but paths of this host is told to the
//! engine: code, arguments, secrets and values travel past its records.
//!
//! An engine elsewhere is sent what it cannot see; see `elsewhere`.
//!
//! Absent on purpose: any network other than the gateway.

mod address;
mod apart;
mod archive;
mod contain;
mod contained;
mod container;
mod copy;
mod elsewhere;
mod engine;
mod image;
mod making;
mod mouths;
mod talk;
mod tools;
mod usage;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use strongroom_core::{limits::Limits, permit::Permit, run::Enforced};
use strongroom_jail::{Jail, Open, Wall, inside};
use tokio::{sync::Semaphore, time::timeout};

pub(crate) use contained::{Contained, Killer, Out, Word};
pub use engine::EngineError;

use crate::{
    build::Build,
    disk::{self, DiskError},
    guest::Guest,
    job::Job,
    prepare::{PLACE_WAIT_MS_MAX, PrepareError, of_seal},
    prepared::{Beginning, Prepared},
    runtime::Runtimes,
};
use container::Place;
use elsewhere::Elsewhere;
use engine::Engine;

/// What stands around guests, in one word.
pub const TIER: &str = "docker";
/// Where an engine listens unless told otherwise.
pub const HOST: &str = "unix:///var/run/docker.sock";
/// How long clearing away may take once the backend is closed.
const CLOSE_MS_MAX: u64 = 30_000;
/// What the engine is told in the place of a run.
const BUILD: &str = "build";
/// The user in containers of an engine that remaps users, which has no others.
const REMAPPED_UID: u32 = 1000;

/// How the backend is set up.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// Where the engine listens: `unix:///PATH`, or `tcp://HOST:PORT`.
    pub host: String,
    /// A folder with `ca.pem`, `cert.pem` and `key.pem`: it is spoken to over TLS.
    pub certificates: Option<PathBuf>,
    /// The engine does not see this host's files, though it has a socket here.
    /// One that has a port is always taken not to.
    pub is_elsewhere: bool,
    /// How long the engine may take for one answer, and to make one container;
    /// unless it is said, as long as any engine at work needs.
    pub patience: Option<Duration>,
    /// Whose containers these are: what an earlier start of the same station left
    /// is removed. Nobody's are removed at any start once they have ended.
    pub station: Option<String>,
    /// Where what guests leave is kept until it is taken.
    pub folder: PathBuf,
    /// The program that becomes the first process of containers, which must call
    /// [`become_warden_if_asked`](crate::become_warden_if_asked) first thing.
    pub program: PathBuf,
    /// Guests at once.
    pub slots_max: u32,
    /// The first of the user ids that guests run as.
    pub uid_base: u32,
    pub runtimes: Arc<Runtimes>,
}

/// The backend. Dropping it ends every guest.
pub struct Docker {
    shared: Arc<Shared>,
    walls: Vec<Wall>,
}

pub(crate) struct Shared {
    engine: Engine,
    config: DockerConfig,
    tools: tools::Tools,
    /// Users are mapped to others by the engine itself.
    is_remapped: bool,
    /// What the engine is sent, if it does not see this host's files.
    elsewhere: Option<Elsewhere>,
    places: Arc<Semaphore>,
    slots: Mutex<Vec<u32>>,
}

impl Docker {
    /// Reaches the engine, clears away what an earlier start left, and builds
    /// one box to see what stands.
    ///
    /// # Errors
    ///
    /// [`EngineError`] when there is no engine that could build anything; the
    /// operator is at fault. A wall that does not stand is among
    /// [`Docker::walls`], and refuses every run.
    pub async fn start(config: DockerConfig) -> Result<Self, EngineError> {
        let certificates = config.certificates.as_deref();
        let (host, patience) = (&config.host, config.patience);
        let engine = Engine::connect(host, certificates, config.is_elsewhere, patience).await?;
        let facts = engine.facts().await?;
        engine.sweep(config.station.as_deref()).await?;
        let shared = Arc::new(Shared {
            tools: tools::Tools::of(&config.program)?,
            is_remapped: facts.remaps_users,
            elsewhere: match engine.is_elsewhere {
                true => Some(Elsewhere::new(config.runtimes.images().map(Path::to_owned))),
                false => None,
            },
            places: Arc::new(Semaphore::new(config.slots_max as usize)),
            slots: Mutex::new((0..config.slots_max).rev().collect()),
            engine,
            config,
        });
        let rehearsed = shared.rehearse().await;
        let walls = walls(&facts.version, rehearsed);
        Ok(Self { shared, walls })
    }

    /// What stands around guests, found by trying.
    pub fn walls(&self) -> &[Wall] {
        &self.walls
    }

    /// Whether a stage can have a gateway, and so a build: not elsewhere.
    pub fn has_gateways(&self) -> bool {
        self.shared.elsewhere.is_none()
    }

    pub fn runtimes(&self) -> &Arc<Runtimes> {
        &self.shared.config.runtimes
    }

    /// The number of guests that could be prepared now.
    pub fn slots_free(&self) -> usize {
        self.shared.places.available_permits()
    }

    /// Waits until all containers of guests that are over are removed.
    pub async fn close(&self) {
        let all = self.shared.config.slots_max;
        let cleared = self.shared.places.acquire_many(all);
        if timeout(Duration::from_millis(CLOSE_MS_MAX), cleared)
            .await
            .is_err()
        {
            tracing::warn!("containers are left; the next start removes them");
        }
    }

    pub(crate) async fn prepare(&self, permit: Permit, job: Job) -> Result<Prepared, PrepareError> {
        let runtime = job.checked(&permit, self.runtimes())?;
        if job.terminal.is_some() {
            return Err(PrepareError::Refused {
                wall: "terminal".to_owned(),
                detail: "the backend docker gives a terminal to nobody".to_owned(),
            });
        }
        let jail = job.jail(&permit, &runtime, self.runtimes().root())?;
        let run = permit.run().to_string();
        let mut prepared = self.contained(&run, jail, permit.limits()).await?;
        prepared.answer = runtime.answer_of(&job.entry);
        Ok(prepared.with_events(runtime.events()))
    }

    /// A container for work of the station's own.
    pub(crate) async fn prepare_build(&self, build: Build) -> Result<Prepared, PrepareError> {
        let limits = build.limits;
        let jail = build.jail(self.runtimes())?;
        self.contained(BUILD, jail, limits).await
    }

    /// A container whose guest waits to begin.
    async fn contained(
        &self,
        run: &str,
        jail: Jail<Open>,
        limits: Limits,
    ) -> Result<Prepared, PrepareError> {
        let mut required = self.walls.iter().filter(|wall| wall.required);
        if let Some(wall) = required.find(|wall| !wall.enforced) {
            return Err(PrepareError::Refused {
                wall: wall.name.clone(),
                detail: wall.found.clone(),
            });
        }
        check_out(&limits)?;
        let outline = jail.outline().map_err(of_seal)?;
        let place = self.shared.place().await.ok_or(PrepareError::Busy)?;
        let made = self.shared.contain(place, run, outline, limits.log_bytes);
        let (contained, pipes, gateway) = made.await?;
        let enforced = Enforced {
            tier: TIER.to_owned(),
            walls: names().collect(),
        };
        let guest = Guest::Contained(contained);
        let prepared = Prepared::of(guest, pipes, enforced, limits, Beginning::Plain);
        Ok(prepared.with_gateway(gateway))
    }
}

/// An engine bounds memory alone, so a large `/out` has to fit there.
fn check_out(limits: &Limits) -> Result<(), DiskError> {
    if !disk::is_large(limits) || limits.out_bytes <= limits.memory_bytes {
        return Ok(());
    }
    Err(DiskError::NeedsDisk {
        out_bytes: limits.out_bytes,
        memory_bytes: limits.memory_bytes,
        why: "the backend docker keeps it in memory".to_owned(),
    })
}

fn names() -> impl Iterator<Item = String> {
    inside::WALLS.iter().map(|(name, _)| (*name).to_owned())
}

impl Shared {
    /// A place for one container, and a user of its own.
    async fn place(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.places).acquire_owned();
        let permit = timeout(Duration::from_millis(PLACE_WAIT_MS_MAX), permit).await;
        let permit = permit.ok()?.expect("the semaphore is never closed");
        let slot = self.slots().pop()?;
        Some(Place {
            shared: Arc::clone(self),
            slot,
            _permit: permit,
        })
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user and group of a slot.
    fn uid(&self, slot: u32) -> u32 {
        match self.is_remapped {
            true => REMAPPED_UID,
            false => self.config.uid_base.saturating_add(slot),
        }
    }

    /// Every user that a guest can be.
    fn uids(&self) -> Vec<u32> {
        let mut uids: Vec<u32> = (0..self.config.slots_max)
            .map(|slot| self.uid(slot))
            .collect();
        uids.dedup();
        uids
    }
}

/// The rows of what a rehearsal showed.
fn walls(engine: &str, rehearsed: Result<(), PrepareError>) -> Vec<Wall> {
    let mut rows = vec![Wall {
        name: "engine".to_owned(),
        enforced: true,
        required: true,
        found: format!("reached, version {engine}"),
        fix: None,
    }];
    let missing = match &rehearsed {
        Ok(()) => None,
        Err(PrepareError::Refused { wall, detail }) => Some((wall.as_str(), detail.clone())),
        Err(other) => Some(("container", crate::prepare::with_sources(other))),
    };
    let known = inside::WALLS
        .iter()
        .any(|(name, _)| Some(*name) == missing.as_ref().map(|m| m.0));
    let mut reached = true;
    if let Some((name, detail)) = missing.as_ref().filter(|_| !known) {
        rows.push(row(name, false, detail.clone()));
        reached = false;
    }
    for (name, meaning) in inside::WALLS {
        let is_missing = missing.as_ref().is_some_and(|(wall, _)| *wall == name);
        let found = match &missing {
            Some((_, detail)) if is_missing => detail.clone(),
            _ if !reached => "not reached: an earlier wall is missing".to_owned(),
            _ => meaning.to_owned(),
        };
        rows.push(row(name, reached && !is_missing, found));
        reached = reached && !is_missing;
    }
    rows
}

fn row(name: &str, enforced: bool, found: String) -> Wall {
    Wall {
        name: name.to_owned(),
        enforced,
        required: true,
        found,
        fix: (!enforced).then(|| "see docs/docker.md".to_owned()),
    }
}
