//! A backend with one job at a time, and what came out of it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use strongroom_core::{
    digest::Digest,
    id::RunId,
    limits::Limits,
    permit::Permit,
    plan::{Inputs, Plan, Stage},
    run::{Reason, Stream},
    runtime::RuntimeName,
};
use strongroom_run::{
    Backend, Dependencies, Docker, DockerConfig, Job, Local, LocalConfig, LogChunk, PrepareError,
    Prepared, Reach, Runtimes,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;

/// The most lines of one run in a test.
const LINES_MAX: usize = 10_000;
/// How the names of runtimes begin that are on an image.
pub const IMAGED: &str = "imaged-";
pub const STATION: &str = "station-of-a-test";

pub struct House {
    pub backend: Backend,
    pub folder: TempDir,
    /// Every run is on an image: there is nothing else.
    pub on_images: bool,
}

/// What is to be run.
#[derive(Clone)]
pub struct Task {
    pub files: Vec<(&'static str, String)>,
    pub inputs: Inputs<Vec<(&'static str, String)>>,
    pub args: Value,
    pub limits: Limits,
    pub reach: Reach,
    /// Another than the file's name says.
    pub runtime: Option<RuntimeName>,
    /// The entry is this program, whatever its text says.
    pub program: Option<PathBuf>,
    pub dependencies: Option<Dependencies>,
}

/// What a run left, as far as it has to be the same everywhere.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub reason: Reason,
    pub value: Option<Value>,
    pub stdout: String,
    pub stderr: String,
    /// Paths and texts, or why they were refused.
    pub files: Result<Vec<(String, String)>, String>,
}

impl Task {
    pub fn file(name: &'static str, code: &str) -> Self {
        Self {
            files: vec![(name, code.to_owned())],
            inputs: Inputs::None,
            args: json!({}),
            limits: Limits::DEFAULT,
            reach: Reach::Nothing,
            runtime: None,
            program: None,
            dependencies: None,
        }
    }

    pub fn python(code: &str) -> Self {
        Self::file("main.py", code)
    }

    pub fn sh(code: &str) -> Self {
        Self::file("main.sh", code)
    }

    pub fn on(mut self, inputs: Inputs<Vec<(&'static str, String)>>) -> Self {
        self.inputs = inputs;
        self
    }

    pub fn args(mut self, args: Value) -> Self {
        self.args = args;
        self
    }

    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub fn runs_on(mut self, runtime: &str) -> Self {
        self.runtime = Some(runtime.parse().unwrap());
        self
    }

    fn runtime(&self, on_images: bool) -> RuntimeName {
        let runtime = self.runtime_here();
        match on_images && !runtime.as_str().starts_with(IMAGED) {
            true => format!("{IMAGED}{runtime}").parse().unwrap(),
            false => runtime,
        }
    }

    fn runtime_here(&self) -> RuntimeName {
        if let Some(runtime) = &self.runtime {
            return runtime.clone();
        }
        match self.files[0].0.rsplit_once('.') {
            Some((_, "py")) => RuntimeName::python3(),
            _ => RuntimeName::sh(),
        }
    }
}

impl House {
    /// In the jail of this host.
    pub fn local() -> Self {
        Self::local_with(Arc::default())
    }

    pub fn local_with(runtimes: Arc<Runtimes>) -> Self {
        let config = LocalConfig {
            runtimes,
            program: jail_program(),
            slots_max: 2,
            // Tests run beside each other; guests of two never share a user.
            uid_base: 1_400_000_000 + std::process::id() % 100_000 * 64,
            ..LocalConfig::default()
        };
        Self {
            backend: Local::start(config).unwrap().into(),
            folder: tempfile::tempdir().unwrap(),
            on_images: false,
        }
    }

    /// In containers of this engine, which is taken not to see this host's files.
    pub async fn elsewhere(engine: &Engine, runtimes: Arc<Runtimes>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DockerConfig {
            host: engine.port(),
            runtimes,
            ..docker_config(engine, folder.path())
        };
        Self::started(config, folder, true).await
    }

    /// In containers of this engine.
    pub async fn docker(engine: &Engine) -> Self {
        Self::docker_with(engine, Arc::default()).await
    }

    pub async fn docker_with(engine: &Engine, runtimes: Arc<Runtimes>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DockerConfig {
            runtimes,
            ..docker_config(engine, folder.path())
        };
        Self::started(config, folder, false).await
    }

    async fn started(config: DockerConfig, folder: TempDir, on_images: bool) -> Self {
        let docker = Docker::start(config).await.unwrap();
        Self {
            backend: Backend::Docker(docker),
            folder,
            on_images,
        }
    }

    pub fn job(&self, task: &Task) -> Job {
        let mut job = self.job_of_files(task);
        if let Some(program) = &task.program {
            fs::copy(program, job.function_dir.join(job.entry.as_str())).unwrap();
            let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
            strongroom_run::lay_program(&job.function_dir, &job.entry, &folder).unwrap();
            job.program_dir = Some(folder);
        }
        job
    }

    fn job_of_files(&self, task: &Task) -> Job {
        let place = |files: &[(&'static str, String)]| {
            let below = self.folder.path();
            let dir = tempfile::tempdir_in(below).unwrap().keep();
            open_to_all(below);
            open_to_all(&dir);
            for (path, text) in files {
                fs::write(dir.join(path), text).unwrap();
            }
            dir
        };
        let digest =
            |files: &Vec<(&'static str, String)>| Digest::of(format!("{files:?}").as_bytes());
        let inputs = task.inputs.clone();
        Job {
            tenant: "tester".parse().unwrap(),
            plan: Plan {
                function: digest(&task.files),
                runtime: self.backend.pin(&task.runtime(self.on_images)).unwrap(),
                inputs: inputs
                    .clone()
                    .try_map(|files| Ok::<_, ()>(digest(&files)))
                    .unwrap(),
                args: task.args.clone(),
                limits: task.limits,
                stages: match task.reach {
                    Reach::Nothing => vec![Stage::Transform],
                    Reach::Gateway => vec![Stage::Download, Stage::Transform],
                },
                download: None,
                secrets: std::collections::BTreeMap::new(),
                config: std::collections::BTreeMap::new(),
                answers: strongroom_core::network::Answers::Live,
            },
            entry: task.files[0].0.parse().unwrap(),
            function_dir: place(&task.files),
            inputs: inputs.try_map(|files| Ok::<_, ()>(place(&files))).unwrap(),
            reach: task.reach,
            dependencies: task.dependencies.clone(),
            secrets: std::collections::BTreeMap::new(),
            stage_dir: None,
            program_dir: None,
            terminal: None,
            begun: false,
        }
    }

    pub async fn prepare(&self, task: &Task) -> Result<Prepared, PrepareError> {
        let job = self.job(task);
        let permit = Permit::trial(RunId::new(1, *b"0123456789"), &job.plan);
        self.backend.prepare(permit, job).await
    }

    pub async fn run(&self, task: &Task) -> Outcome {
        let prepared = self.prepare(task).await.unwrap();
        let (_keep, cancel) = oneshot::channel();
        ended(prepared, cancel, task).await
    }
}

/// Runs to the end and takes everything.
pub async fn ended(
    prepared: Prepared,
    cancel: oneshot::Receiver<strongroom_core::name::Name>,
    task: &Task,
) -> Outcome {
    let (sender, mut taken) = mpsc::channel(LINES_MAX);
    let ended = prepared.run(sender, cancel).await;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Ok(LogChunk { stream, text }) = taken.try_recv() {
        match stream {
            Stream::Stdout => stdout.push(text),
            Stream::Stderr => stderr.push(text),
            Stream::Event => {}
        }
    }
    let mut texts = Vec::new();
    let files = match ended.out {
        None => Ok(Vec::new()),
        Some(_) if !matches!(ended.reason, Reason::Succeeded | Reason::Failed { .. }) => Ok(texts),
        Some(out) => out
            .collect(&task.limits, |path, _, reader| {
                let mut text = String::new();
                reader.read_to_string(&mut text)?;
                texts.push((path.to_string(), text.clone()));
                Ok(Digest::of(text.as_bytes()))
            })
            .map(|_| texts)
            .map_err(|error| error.to_string()),
    };
    Outcome {
        reason: ended.reason,
        value: ended.value,
        stdout: stdout.join("\n"),
        stderr: stderr.join("\n"),
        files,
    }
}

pub fn docker_config(engine: &Engine, folder: &Path) -> DockerConfig {
    DockerConfig {
        host: engine.host(),
        station: Some(STATION.to_owned()),
        folder: folder.to_owned(),
        program: jail_program(),
        slots_max: 2,
        uid_base: 1_500_000_000 + std::process::id() % 100_000 * 64,
        runtimes: Arc::default(),
        certificates: None,
        is_elsewhere: false,
        patience: None,
    }
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The program that becomes the warden, built beside this test.
fn jail_program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("strongroom-jail");
    assert!(
        program.is_file(),
        "{} is missing: build it with `cargo build -p strongroom-jail`",
        program.display()
    );
    program
}
