//! A run without a station: one's own code on one's own files.
//!
//! It is what a developer tries before pushing: the same manifest, plan, jail,
//! view and limits as on a station. Nobody is asked, since everything belongs
//! to whoever runs it, and nothing is kept but the files that were asked for.

mod execute;
mod files;
mod image;
mod keep;
mod network;
mod packages;
mod runtimes;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use strongroom_core::{
    config::Config,
    digest::Digest,
    id::RunId,
    limits::{Limits, LimitsAsked, LimitsError},
    manifest::{Files, Manifest, ManifestError},
    name::{Name, NameError},
    network::{Answers, made::RequestMade},
    plan::{self, Inputs, Plan, PlanError},
    run::{Enforced, OutputFile, Reason, Stream, Usage},
    runtime::RuntimeName,
    stage::{Expose, Stage},
    tree::TreeError,
};
use strongroom_run::{Job, LocalConfig, Reach, RuntimeError, image::ImageError};

use self::network::TrialNetwork;

pub use image::{image, image_for_developers, is_shipped};
pub use strongroom_run::runtime::PYTHON_KIT as PACKAGE;
pub use strongroom_run::{Terminal, program_of_starlark, terminal::ARGUMENTS};

use crate::{
    app::clock::{Clock, random},
    backend::{BackendError, Started, local_config},
    config::{BackendKind, Config as StationConfig, EngineConfig, JailConfig},
    dependencies::DependError,
    gateway::{GatewayConfig, GatewayError},
};

/// What is tried.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// A file or a folder.
    pub function: PathBuf,
    /// A path alone, or `input=path` each.
    pub on: Vec<String>,
    pub args: Value,
    pub limits: LimitsAsked,
    /// Settings, laid over the function's.
    pub config: Config,
    /// Whether whoever tries it wants to hear of its steps.
    pub events: bool,
    /// What to do where the function defines `expose`. All data is whoever
    /// tries it.
    pub expose: Expose,
    /// A file of the function that is run in place of its entry, with any
    /// arguments and inputs.
    pub entry: Option<String>,
    /// Where files from `/out` are written; nowhere if absent.
    pub out: Option<PathBuf>,
    /// Where a stage that downloads has its answers from.
    pub answers: Answers,
    /// A folder for the answers that are kept, by their trials.
    pub recorded: Option<PathBuf>,
    pub gateway: GatewayConfig,
    /// A folder whose folders are runtimes, by their names.
    pub runtimes: Option<PathBuf>,
    /// The folder of images that runtimes name.
    pub images: Option<PathBuf>,
    /// One more runtime: `DIR` or `NAME=DIR`.
    pub runtime_folder: Option<String>,
    /// Where it runs.
    pub backend: BackendKind,
    pub engine: EngineConfig,
    pub jail: JailConfig,
    /// Where packages come from and are kept; none are installed if absent.
    pub packages: Option<StationConfig>,
    /// Where a shell is tried in place of the function.
    pub terminal: Option<Terminal>,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct TrialEnded {
    pub run: RunId,
    pub plan: Plan,
    pub reason: Reason,
    pub usage: Usage,
    pub value: Option<Value>,
    pub files: Vec<OutputFile>,
    pub enforced: Enforced,
    /// What it asked of the network.
    pub requests: Vec<RequestMade>,
    /// The stage in which it ended, if it has several and did not come through.
    pub stage: Option<Stage>,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("could not read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is {kind}; only regular files and folders are taken", .path.display())]
    Kind { path: PathBuf, kind: &'static str },
    #[error("{}", .path.display())]
    Tree { path: PathBuf, source: TreeError },
    #[error("the function is larger than {} bytes", files::FUNCTION_BYTES_MAX)]
    FunctionTooLarge,
    #[error("{}", .path.display())]
    Manifest {
        path: PathBuf,
        source: ManifestError,
    },
    #[error("the function has no file `{}`", strongroom_core::text::shown(.0, 120))]
    Entry(String),
    #[error("input `{raw}`")]
    InputName { raw: String, source: NameError },
    #[error("runtime `{raw}`")]
    RuntimeName { raw: String, source: NameError },
    #[error("only a lone input may go without a name; give each as NAME=PATH")]
    TwoUnnamed,
    #[error("the input `{0}` is there twice")]
    InputTwice(Name),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Limits(#[from] LimitsError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("could not set up the gateway")]
    Gateway(#[from] GatewayError),
    #[error("could not make a folder for the answers")]
    Record(#[source] io::Error),
    #[error("no answers of {0} are kept here; `--record` keeps those of a trial")]
    NotRecorded(RunId),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the runtime {0} runs on the host's /usr, and so there is nothing to build on")]
    NoImage(RuntimeName),
    #[error("could not lay out what the guest will see")]
    LayOut(#[source] io::Error),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Packages(#[from] DependError),
    #[error("could not start the async runtime")]
    Async(#[source] io::Error),
}

/// Tries a function. Blocks until it has ended; Ctrl-C cancels it.
///
/// `on_line` gets each line as it comes. Call it from the main thread.
///
/// # Errors
///
/// [`TrialError`] when it never began because of what was given; a wall that
/// is missing is a [`Reason`], as on a station.
pub fn run(trial: &Trial, on_line: impl FnMut(Stream, &str)) -> Result<TrialEnded, TrialError> {
    let mut source = files::function(&trial.function)?;
    let mut found = runtimes::Found::of(trial)?;
    let mut manifest = found.manifest(&trial.function, &source)?;
    if let Some(entry) = &trial.entry {
        replace_entry(&mut manifest, entry, &source)?;
    }
    let paths = inputs(&trial.on)?;
    let laid = tempfile::Builder::new()
        .prefix("strongroom-trial-")
        .tempdir()
        .map_err(TrialError::LayOut)?;
    found.lay_out(&manifest.runtime, &laid.path().join("runtime"))?;
    let config = LocalConfig {
        runtimes: Arc::clone(&found.runtimes),
        // There is one run, and nobody to wait for another.
        pool_max: 0,
        ..local_config(&trial.jail, 1)
    };
    let started = Started::of(trial.backend, config, &trial.engine, None)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TrialError::Async)?;
    let backend = Arc::new(runtime.block_on(started.reached())?);
    let bring = packages::bring(trial, &backend, (&mut source, &mut manifest), laid.path());
    let dependencies = runtime.block_on(bring)?;
    let plan = pinned(trial, &manifest, &source, &paths, &found)?;
    let job = lay_out(laid.path(), plan, manifest, &source, paths)?;
    let mut job = Job {
        dependencies,
        ..job
    };
    if found.runs_programs(&job.plan.runtime.name) {
        let folder = laid.path().join("program");
        std::fs::create_dir(&folder).map_err(TrialError::LayOut)?;
        strongroom_run::lay_program(&job.function_dir, &job.entry, &folder)
            .map_err(TrialError::LayOut)?;
        job.program_dir = Some(folder);
    }
    if trial.terminal.is_some() {
        job.terminal.clone_from(&trial.terminal);
        // It stands where the result is made, and what it asks for is data.
        job.plan.stages = vec![Stage::Transform];
        job.plan.download = None;
    }
    let run = RunId::new(Clock::default().now_ms(), random());
    let network = match job.plan.download {
        Some(_) => Some(TrialNetwork::of(trial, &run)?),
        None => None,
    };
    let whole = execute::Whole {
        run,
        job,
        network,
        out: trial.out.clone(),
    };
    Ok(runtime.block_on(async {
        let ended = execute::execute(&backend, whole, on_line).await;
        backend.close().await;
        ended
    }))
}

fn replace_entry(manifest: &mut Manifest, entry: &str, source: &Files) -> Result<(), TrialError> {
    let missing = || TrialError::Entry(entry.to_owned());
    let path = entry.parse().map_err(|_| missing())?;
    if !source.contains_key(&path) {
        return Err(missing());
    }
    manifest.entry = path;
    manifest.args = None;
    manifest.inputs = None;
    manifest.stages = vec![Stage::Transform];
    manifest.download = None;
    Ok(())
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> TrialError {
    let path = path.to_owned();
    move |source| TrialError::Read { path, source }
}

fn pinned(
    trial: &Trial,
    manifest: &Manifest,
    source: &Files,
    paths: &Inputs<PathBuf>,
    found: &runtimes::Found,
) -> Result<Plan, TrialError> {
    // The plan is shown to nobody, so what stands for its parts need only be
    // one thing for one thing: the source by content, the data by its place.
    let listing: BTreeMap<String, Digest> = source
        .iter()
        .map(|(path, bytes)| (path.to_string(), Digest::of(bytes)))
        .collect();
    let function = Digest::of(strongroom_core::json::canonical_of(&listing).as_bytes());
    let inputs = paths
        .clone()
        .try_map(|path| Ok::<_, TrialError>(Digest::of(path.as_os_str().as_encoded_bytes())))?;
    let limits = trial.limits.over(manifest.limits)?;
    let pin = found.runtimes.pin(&manifest.runtime)?;
    let args = trial.args.clone();
    let plan = plan::pin(manifest, function, pin, inputs, args, limits, Limits::MAX)?;
    let plan = plan.configured(trial.config.clone())?;
    let mut plan = plan.wanted(trial.expose)?;
    plan.answers = trial.answers.clone();
    Ok(plan)
}

/// Reads `path` alone or `input=path` each.
fn inputs(raw: &[String]) -> Result<Inputs<PathBuf>, TrialError> {
    let mut only = None;
    let mut named = BTreeMap::new();
    for text in raw {
        // A path that exists is a path, even with a `=` in it.
        match text.split_once('=').filter(|_| !Path::new(text).exists()) {
            None if only.is_some() => return Err(TrialError::TwoUnnamed),
            None => only = Some(PathBuf::from(text)),
            Some((name, path)) => {
                let name: Name = name.parse().map_err(|source| TrialError::InputName {
                    raw: text.clone(),
                    source,
                })?;
                if named.insert(name.clone(), PathBuf::from(path)).is_some() {
                    return Err(TrialError::InputTwice(name));
                }
            }
        }
    }
    match (only, named.is_empty()) {
        (None, true) => Ok(Inputs::None),
        (Some(path), true) => Ok(Inputs::Only(path)),
        (None, false) => Ok(Inputs::Named(named)),
        (Some(_), false) => Err(TrialError::TwoUnnamed),
    }
}

fn lay_out(
    below: &Path,
    plan: Plan,
    manifest: Manifest,
    source: &Files,
    paths: Inputs<PathBuf>,
) -> Result<Job, TrialError> {
    let function_dir = below.join("function");
    files::write(&function_dir, source).map_err(TrialError::LayOut)?;
    let mut count = 0;
    let inputs = paths.try_map(|path| {
        count += 1;
        files::view(&path, &below.join(format!("input-{count}")))
    })?;
    Ok(Job {
        tenant: you(),
        plan,
        entry: manifest.entry,
        function_dir,
        inputs,
        dependencies: None,
        reach: Reach::Nothing,
        secrets: BTreeMap::new(),
        stage_dir: None,
        program_dir: None,
        terminal: None,
        begun: true,
    })
}

/// Whoever tries something at home.
fn you() -> Name {
    "you".parse().expect("a constant, plain name")
}
