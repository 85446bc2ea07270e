//! Packages of functions: resolved once, and installed once for each lock.
//!
//! What a function needs is resolved when it is pushed, and only if its lock is
//! not for the same requirements already. What a lock names is installed the
//! first time that it is needed, by programs of ours in a sandbox, which
//! reaches the package index through the gateway and nothing else; wheels are
//! unpacked and nothing of them is run. Deliberately absent: building from
//! sources, which would run a stranger's code before anybody approved it.

mod builds;
mod depend;
mod index;
mod shelf;
mod step;
mod turns;

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde::Deserialize;
use strongroom_core::{
    dependency::{Lock, LockError, Origin, Requirements},
    digest::Digest,
    name::Name,
    run::bytes_shown,
    runtime::RuntimeName,
};
use strongroom_run::{Backend, PrepareError, runtime::Dependencies};

pub use depend::{DependError, Function, Locks, Relock, Written, lock_of, lock_path, written};
pub use index::{IndexConfig, Uv, host};
pub use shelf::Record;
pub use step::Step;

use crate::{app::clock::Clock, gateway::Gateway};
use shelf::Shelf;
use step::{Bench, Done};
use turns::{Turn, Turns};

/// Builds at once, besides the runs.
pub const BUILDS_MAX: u32 = 2;
/// How many pairs of a lock and a runtime are remembered.
const FITTING_MAX: usize = 1000;

/// What somebody can do about it where nothing can be let out alone.
const NO_WAY_OUT: &str = "in the tier reduced, and with an engine elsewhere, no sandbox can be let \
    out to an index alone; put them into the folder of a runtime of your own (`packages`, \
    docs/runtimes.md), or push to another station";

/// How many locks are remembered that were resolved here.
const RESOLVED_MAX: usize = 100;

/// Why packages were not resolved or installed. Nothing is half done.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("this station installs no packages: {0}")]
    Unable(&'static str),
    #[error("build_failed({}): {why}", .step.as_str())]
    Failed {
        step: Step,
        why: String,
        log: Vec<String>,
    },
    #[error("build_failed(install): this station keeps at most {} of packages", bytes_shown(*.0))]
    Full(u64),
    #[error("too many builds wait; try again later")]
    Busy,
    #[error("could not have a sandbox for a build")]
    Prepare(#[from] PrepareError),
    #[error("a build ended by the host's fault: {0}")]
    Host(String),
    #[error("could not keep what a build left")]
    Keep(#[from] std::io::Error),
}

/// Steps by name with how long they took, and the end of what they said.
pub type Told = (Vec<(String, u64)>, Vec<String>);

/// What resolves and installs, for one station or one trial.
pub struct Installer {
    shelf: Shelf,
    index: IndexConfig,
    trust: Option<PathBuf>,
    gateway: Arc<Gateway>,
    clock: Clock,
    backend: OnceLock<Arc<Backend>>,
    turns: Turns,
    /// Locks and runtimes that were found to go together.
    fitting: Mutex<BTreeSet<(Digest, Digest)>>,
    /// Locks that were resolved here, and for which runtime: nobody pushed them.
    resolved: Mutex<VecDeque<(Digest, Written)>>,
}

impl Installer {
    /// One whose folders lie below `home`. It does nothing before it has a jail.
    pub fn new(
        home: &Path,
        (index, trust): (IndexConfig, Option<PathBuf>),
        gateway: Arc<Gateway>,
        clock: Clock,
    ) -> Self {
        Self {
            shelf: Shelf::open(home),
            index,
            trust,
            gateway,
            clock,
            backend: OnceLock::new(),
            turns: Turns::new(BUILDS_MAX),
            fitting: Mutex::default(),
            resolved: Mutex::default(),
        }
    }

    /// Gives it the backend in whose sandboxes its builds are made.
    pub fn use_backend(&self, backend: &Arc<Backend>) {
        let _ = self.backend.set(Arc::clone(backend));
    }

    /// Whether requirements of Python can be resolved here.
    pub fn can_resolve(&self) -> bool {
        self.bench().is_ok() && self.index.uv.find().is_some()
    }

    /// What is installed for a lock.
    pub fn find(&self, lock: &Digest) -> Option<(Dependencies, Record)> {
        self.shelf.find(lock)
    }

    /// The locks of all that is installed.
    pub fn kept_locks(&self) -> Vec<Written> {
        let texts = self.shelf.locks().into_iter();
        texts
            .filter_map(|text| {
                let lock = Lock::python(&text).or_else(|_| Lock::node(&text)).ok()?;
                Some((text, lock))
            })
            .collect()
    }

    /// The locks that were resolved for a runtime as it is now, the newest first.
    pub fn resolved(&self, runtime: &RuntimeName) -> Vec<Written> {
        let Some(Ok(pin)) = self.backend.get().map(|backend| backend.pin(runtime)) else {
            return Vec::new();
        };
        let resolved = self.resolved.lock();
        let resolved = resolved.unwrap_or_else(PoisonError::into_inner);
        let of_runtime = resolved.iter().filter(|(of, _)| *of == pin.digest);
        of_runtime.map(|(_, written)| written.clone()).collect()
    }

    fn remember(&self, runtime: Digest, written: Written) {
        let resolved = self.resolved.lock();
        let mut resolved = resolved.unwrap_or_else(PoisonError::into_inner);
        resolved.push_front((runtime, written));
        resolved.truncate(RESOLVED_MAX);
    }

    /// Removes what is installed for no lock of `named`.
    pub async fn clear(&self, named: BTreeSet<Digest>) -> u64 {
        let shelf = self.shelf.clone();
        let cleared = tokio::task::spawn_blocking(move || shelf.clear(&named));
        cleared.await.unwrap_or(0)
    }

    /// The modules that the code in `function` imports and has to bring.
    async fn imports(
        &self,
        by: &Name,
        runtime: &RuntimeName,
        function: PathBuf,
        paths: &[String],
    ) -> Result<Vec<String>, InstallError> {
        let _turn = self.turn(by).await?;
        let (build, network) = self.build_imports(runtime, function, paths);
        let bench = self.bench()?;
        let done = bench.take(Step::Imports, build, network).await?;
        read(Step::Imports, done).map(|(modules, _)| modules)
    }

    /// Resolves requirements; `before` is a lock whose versions are kept where
    /// they still fit.
    async fn lock(
        &self,
        by: &Name,
        runtime: &RuntimeName,
        requirements: &Requirements,
        before: Option<&str>,
    ) -> Result<(Written, Told), InstallError> {
        #[derive(Deserialize)]
        struct Said {
            lock: String,
            interpreter: Option<String>,
        }
        let _turn = self.turn(by).await?;
        let bench = self.bench()?;
        let (build, network) = self.build_lock(runtime, requirements, before)?;
        let done = bench.take(Step::Lock, build, network).await?;
        let steps = vec![(Step::Lock.as_str().to_owned(), done.wall_ms)];
        let (said, log): (Said, _) = read(Step::Lock, done)?;
        let (text, lock) = match requirements.from {
            Origin::PackageJson => (said.lock.clone(), Lock::node(&said.lock)),
            _ => {
                let interpreter = said.interpreter.unwrap_or_default();
                let text = Lock::python_text(&requirements.digest(), &interpreter, &said.lock);
                let lock = Lock::python(&text);
                (text, lock)
            }
        };
        let lock = lock.map_err(|error| of_lock(&error))?;
        if before.is_none()
            && let Ok(pin) = bench.backend.pin(runtime)
        {
            self.remember(pin.digest, (text.clone(), lock.clone()));
        }
        Ok(((text, lock), (steps, log)))
    }

    /// Installs what a lock names, unless it is, when it is the turn of who asks
    /// for it. `before` are the steps that led to it.
    pub async fn install(
        &self,
        by: &Name,
        runtime: &RuntimeName,
        (text, lock): &Written,
        before: Told,
    ) -> Result<(Dependencies, Record), InstallError> {
        #[derive(Deserialize)]
        struct Said {
            preload: Vec<String>,
            #[serde(default)]
            interpreter: String,
        }
        if let Some(found) = self.installed(runtime, &lock.digest()).await? {
            return Ok(found);
        }
        let _turn = self.turn(by).await?;
        // Whoever had the turn before may have installed the same.
        if let Some(found) = self.shelf.find(&lock.digest()) {
            return Ok(found);
        }
        if self.index.keep_bytes_max <= self.shelf.size_bytes() {
            return Err(InstallError::Full(self.index.keep_bytes_max));
        }
        let bench = self.bench()?;
        let (build, network) = self.build_install(runtime, lock, text)?;
        let mut done = bench.take(Step::Install, build, network).await?;
        let (mut steps, mut log) = before;
        steps.push((Step::Install.as_str().to_owned(), done.wall_ms));
        let out = done.out.take();
        let (said, tail): (Said, _) = read(Step::Install, done)?;
        log.extend(tail);
        let record = Record {
            lock: lock.digest(),
            at_ms: self.clock.now_ms(),
            file_count: 0,
            size_bytes: 0,
            steps,
            log,
            preload: said.preload,
            runtime: bench
                .backend
                .pin(runtime)
                .map_err(PrepareError::from)?
                .digest,
            interpreter: said.interpreter,
        };
        let (shelf, text) = (self.shelf.clone(), text.clone());
        let out = out.ok_or_else(|| InstallError::Host("its folder is gone".to_owned()))?;
        let limits = Step::Install.limits();
        let filled = tokio::task::spawn_blocking(move || shelf.fill(out, &limits, record, &text));
        filled.await.map_err(std::io::Error::other)??;
        let found = self.shelf.find(&lock.digest());
        found.ok_or_else(|| InstallError::Host("what was installed is gone".to_owned()))
    }

    /// What is installed for a lock, if it is for the interpreter that the
    /// runtime has now.
    ///
    /// # Errors
    ///
    /// [`InstallError::Failed`] when it is for another.
    pub async fn installed(
        &self,
        runtime: &RuntimeName,
        lock: &Digest,
    ) -> Result<Option<(Dependencies, Record)>, InstallError> {
        let Some((dependencies, record)) = self.shelf.find(lock) else {
            return Ok(None);
        };
        let bench = self.bench()?;
        let pin = bench.backend.pin(runtime).map_err(PrepareError::from)?;
        let known = (*lock, pin.digest);
        let is_known = record.interpreter.is_empty()
            || record.runtime == pin.digest
            || self.fitting().contains(&known);
        if !is_known {
            let build = self.build_interpreter(runtime);
            let done = bench.take(Step::Install, build, None).await?;
            let (found, log): (String, _) = read(Step::Install, done)?;
            if found != record.interpreter {
                let made_for = &record.interpreter;
                let why = format!(
                    "what is installed is for {made_for}, and this is {found}; push with --relock"
                );
                let step = Step::Install;
                return Err(InstallError::Failed { step, why, log });
            }
            self.fitting().insert(known);
        }
        Ok(Some((dependencies, record)))
    }

    fn fitting(&self) -> MutexGuard<'_, BTreeSet<(Digest, Digest)>> {
        let mut fitting = self.fitting.lock().unwrap_or_else(PoisonError::into_inner);
        if FITTING_MAX <= fitting.len() {
            fitting.clear();
        }
        fitting
    }

    fn bench(&self) -> Result<Bench<'_>, InstallError> {
        let backend = self.backend.get();
        let backend = backend.ok_or(InstallError::Unable("it runs nothing"))?;
        if !backend.has_gateways() {
            return Err(InstallError::Unable(NO_WAY_OUT));
        }
        Ok(Bench {
            backend,
            gateway: &self.gateway,
            clock: &self.clock,
        })
    }

    async fn turn(&self, by: &Name) -> Result<Turn, InstallError> {
        self.turns.take(by).await.map_err(|_| InstallError::Busy)
    }
}

/// What a program of ours answered.
fn read<T: for<'a> Deserialize<'a>>(
    step: Step,
    done: Done,
) -> Result<(T, Vec<String>), InstallError> {
    match serde_json::from_value(done.value) {
        Ok(said) => Ok((said, done.log)),
        Err(error) => Err(InstallError::Failed {
            step,
            why: format!("it answered what it should not: {error}"),
            log: done.log,
        }),
    }
}

fn of_lock(error: &LockError) -> InstallError {
    InstallError::Failed {
        step: Step::Lock,
        why: error.to_string(),
        log: Vec::new(),
    }
}
