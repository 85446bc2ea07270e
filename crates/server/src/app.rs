//! The use cases: what the station does for its users.
//!
//! A use case takes parsed words, decides who may, resolves names to digests,
//! and makes one call to the store for each change, so that nothing is ever
//! half done. There are no status codes here and no SQL, and nothing calls
//! back up to the door.

pub mod access;
pub mod archive;
pub mod audit;
pub mod bodies;
pub mod clock;
pub mod data;
pub mod dependencies;
mod diff;
pub mod error;
pub mod functions;
pub mod heard;
pub mod incoming;
pub mod live;
pub mod network;
mod preview;
pub mod queue;
pub mod requests;
pub mod rows;
pub mod runs;
pub mod runtimes;
pub mod scripts;
pub mod secrets;
mod settle;
mod show;
pub mod source;
pub mod tar;
pub mod transforms;
pub mod versions;
pub mod watch;

use std::{ops::Deref, sync::Arc};

use strongroom_core::run::Enforced;
use strongroom_run::Runtimes;
use strongroom_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use access::Actor;
pub use error::AppError;

use crate::{api, config::Config, dependencies::Installer, gateway::Gateway};
use clock::Clock;
use live::Live;
use queue::Queue;
use transforms::Transforms;
use watch::Watch;

/// Archives that are unpacked at once; more wait.
const UNPACKING_MAX: usize = 32;
/// Bodies that are read at once to know or compare them; more wait.
const READING_MAX: usize = 4;
/// Bodies that are read at once for somebody who takes their rows; more wait.
const ROWS_MAX: usize = 16;

/// The station's one state, shared by the doors and the worker.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What every use case can reach.
pub struct Inner {
    pub config: Config,
    pub store: Store,
    pub clock: Clock,
    /// Who waits for news of a run.
    pub watch: Watch,
    /// The way to the worker.
    pub queue: Queue,
    /// Runs that are to make versions.
    pub transforms: Transforms,
    /// Runs that are executing now.
    pub live: Live,
    /// Archives that are unpacked at once; each needs a thread while it arrives.
    pub unpacking: Semaphore,
    /// Bodies that are read at once, to know or compare them and for their rows.
    pub reading: Semaphore,
    pub rows: Arc<Semaphore>,
    /// Cancelled when the station stops.
    pub stop: CancellationToken,
    /// The runtimes that functions can have here.
    pub runtimes: Arc<Runtimes>,
    /// Runtimes change one at a time, so that store and launcher agree.
    pub runtime_change: Semaphore,
    /// What was seen of the jail's walls at start.
    pub walls: Vec<api::Wall>,
    pub tier: String,
    /// What speaks to the world for stages that download.
    pub gateway: Arc<Gateway>,
    /// What installs the packages of functions.
    pub installer: Installer,
    /// What seals users' secrets.
    pub safe: secrets::Safe,
}

/// What differs from one station to the next.
pub struct Ground {
    pub config: Config,
    pub store: Store,
    pub gateway: Gateway,
    pub runtimes: Arc<Runtimes>,
    pub walls: Vec<api::Wall>,
    pub tier: String,
}

impl App {
    /// What stands around guests, as it is known from the jail's start.
    pub fn enforced(&self) -> Enforced {
        let walls = self.walls.iter().filter(|wall| wall.enforced);
        Enforced {
            tier: self.tier.clone(),
            walls: walls.map(|wall| wall.name.clone()).collect(),
        }
    }

    /// A station on its ground, where nothing happens yet.
    pub fn on(ground: Ground) -> Self {
        let gateway = Arc::new(ground.gateway);
        let clock = Clock::default();
        let installer = installer(&ground.config, &gateway, &clock);
        Self(Arc::new(Inner {
            config: ground.config,
            store: ground.store,
            clock,
            watch: Watch::default(),
            queue: Queue::default(),
            transforms: Transforms::default(),
            live: Live::default(),
            unpacking: Semaphore::new(UNPACKING_MAX),
            reading: Semaphore::new(READING_MAX),
            rows: Arc::new(Semaphore::new(ROWS_MAX)),
            stop: CancellationToken::new(),
            runtimes: ground.runtimes,
            runtime_change: Semaphore::new(1),
            walls: ground.walls,
            tier: ground.tier,
            gateway,
            installer,
            safe: secrets::Safe::default(),
        }))
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}

/// What installs packages in the station's home.
fn installer(config: &Config, gateway: &Arc<Gateway>, clock: &Clock) -> Installer {
    let index = (config.index.clone(), config.gateway.trust.clone());
    Installer::new(&config.home, index, Arc::clone(gateway), clock.clone())
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
