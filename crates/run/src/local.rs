//! The backend `local`: guests in the jail of this host.
//!
//! It holds one warden. When that dies, every run in it ends as the station's
//! fault, and the next run gets a new warden; one that keeps dying is given
//! up, since something is wrong that a restart does not mend.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use strongroom_core::{
    name::Name,
    plan::{Plan, RuntimePin},
    runtime::RuntimeName,
};
use strongroom_jail::{Kernel, Tier, Wall, Warden, WardenConfig, WardenError};
use tokio::sync::Semaphore;

use crate::{
    disk::Disks,
    pool::Pool,
    runtime::{RuntimeError, Runtimes},
    slot::Live,
    waiting::Waiting,
};

/// How often in a row a warden may die before any guest ended in it.
pub const WARDEN_DEATHS_MAX: u32 = 5;

/// Why there is no warden; the host is at fault.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not start the warden")]
    Warden(#[source] WardenError),
    #[error("the warden died {0} times in a row before any guest ended")]
    KeepsDying(u32),
}

/// How the backend is set up.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// What has to stand around guests.
    pub tier: Tier,
    /// Where the private folders of the tier `reduced` lie.
    pub folder: PathBuf,
    /// Where a large `/out` takes its room: a folder on a disk.
    pub disk: PathBuf,
    /// The program that becomes the warden, which must call
    /// [`become_warden_if_asked`](crate::become_warden_if_asked) first thing;
    /// this very program unless a test has another one.
    pub program: PathBuf,
    /// Guests at once.
    pub slots_max: u32,
    /// Guests that may wait for work, besides; 0 makes each when it is needed.
    pub pool_max: u32,
    /// Interpreters that are loaded once and copied for each run, one for each
    /// caller and runtime; 0 makes none.
    pub zygotes_max: u32,
    /// The first of the host's user ids that guests run as.
    pub uid_base: u32,
    /// Control groups that the station may write, where it does not own one.
    pub cgroup_dirs: Vec<PathBuf>,
    /// The runtimes that guests can have; whoever keeps a clone can add some.
    pub runtimes: Arc<Runtimes>,
}

/// The backend. Dropping it ends every guest.
pub struct Local {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    config: WardenConfig,
    pub(crate) disks: Disks,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) runtimes: Arc<Runtimes>,
    pub(crate) kernel: Kernel,
    state: Mutex<State>,
}

struct State {
    live: Arc<Live>,
    deaths: u32,
}

impl Local {
    /// Starts the warden. May be called before there is an async runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`] when there is no warden; the host is at fault.
    pub fn start(config: LocalConfig) -> Result<Self, StartError> {
        let runtimes = Arc::clone(&config.runtimes);
        let (slots_max, pool_max) = (config.slots_max, config.pool_max);
        let disks = Disks::new(config.disk.clone());
        let config = WardenConfig::from(config);
        let warden = Warden::start(config.clone()).map_err(StartError::Warden)?;
        let kernel = warden.kernel().clone();
        let state = State {
            live: Live::new(warden, &config),
            deaths: 0,
        };
        // Below the tier `full` nobody can be given files later.
        let pool_max = match kernel.tier {
            Tier::Full => pool_max,
            Tier::Reduced => 0,
        };
        let shared = Shared {
            pool: Arc::new(Pool::new(pool_max)),
            config,
            disks,
            places: Arc::new(Semaphore::new(slots_max as usize)),
            runtimes,
            kernel,
            state: Mutex::new(state),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What the warden found that this kernel enforces, by trying.
    pub fn kernel(&self) -> &Kernel {
        &self.shared.kernel
    }

    /// The rows of [`Local::kernel`].
    pub fn walls(&self) -> &[Wall] {
        &self.shared.kernel.walls
    }

    /// Whether a large `/out` lies on a disk here, found out by trying: `None`
    /// where it does, or else why it lies in memory.
    pub fn why_out_in_memory(&self) -> Option<String> {
        self.shared.disks.why_not(&self.shared.kernel)
    }

    /// The runtime as it is on this host now. Reads the interpreter's file
    /// when it is new: blocking, the first time.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Missing`] when the host lacks the interpreter.
    pub fn pin(&self, runtime: &RuntimeName) -> Result<RuntimePin, RuntimeError> {
        self.shared.runtimes.pin(runtime)
    }

    /// The runtimes that guests can have.
    pub fn runtimes(&self) -> &Arc<Runtimes> {
        &self.shared.runtimes
    }

    /// The number of guests that could be prepared now.
    pub fn slots_free(&self) -> usize {
        self.shared.places.available_permits()
    }
}

impl Local {
    /// As [`Backend::has_waiting`](crate::Backend::has_waiting).
    pub(crate) fn has_waiting(&self, plan: &Plan, tenant: &Name) -> bool {
        let has_network = plan.stages.first().is_some_and(|stage| stage.has_network());
        let pool = &self.shared.pool;
        !has_network && Waiting::fits(&plan.limits) && pool.has_waiting(&plan.runtime.name, tenant)
    }

    /// The number of guests that wait for work on this runtime.
    pub fn waiting(&self, runtime: &RuntimeName) -> usize {
        self.shared.pool.waiting(runtime)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shared.pool.close();
        self.shared.lock().live.close();
    }
}

impl Shared {
    /// The living warden, or else a new one. Blocks while one starts.
    pub(crate) fn live(&self) -> Result<Arc<Live>, StartError> {
        let mut state = self.lock();
        if !state.live.is_dead() {
            return Ok(Arc::clone(&state.live));
        }
        let deaths = if state.live.is_proven() {
            1
        } else {
            state.deaths + 1
        };
        if WARDEN_DEATHS_MAX < deaths {
            return Err(StartError::KeepsDying(state.deaths));
        }
        let warden = Warden::start(self.config.clone()).map_err(StartError::Warden)?;
        state.deaths = deaths;
        state.live = Live::new(warden, &self.config);
        Ok(Arc::clone(&state.live))
    }

    /// The living warden, if it is known to live.
    pub(crate) fn live_now(&self) -> Option<Arc<Live>> {
        let state = self.state.try_lock().ok()?;
        (!state.live.is_dead()).then(|| Arc::clone(&state.live))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LocalConfig {
    fn default() -> Self {
        let jail = WardenConfig::default();
        Self {
            tier: jail.tier,
            folder: jail.folder,
            disk: PathBuf::from("/var/tmp"),
            program: jail.program,
            slots_max: jail.slots_max,
            pool_max: 0,
            zygotes_max: 0,
            uid_base: jail.uid_base,
            cgroup_dirs: jail.cgroup_dirs,
            runtimes: Arc::default(),
        }
    }
}

impl From<LocalConfig> for WardenConfig {
    fn from(config: LocalConfig) -> Self {
        let LocalConfig {
            tier,
            folder,
            disk: _,
            program,
            slots_max,
            pool_max,
            zygotes_max,
            uid_base,
            cgroup_dirs,
            runtimes: _,
        } = config;
        Self {
            tier,
            folder,
            program,
            slots_max: slots_max.saturating_add(pool_max),
            zygotes_max,
            uid_base,
            cgroup_dirs,
            ..Self::default()
        }
    }
}
