//! A backend with one job at a time, and what came out of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use strongroom_core::{
    digest::Digest,
    id::RunId,
    limits::Limits,
    name::Name,
    permit::Permit,
    plan::{Inputs, Plan, Stage},
    run::{OutputFile, Reason, Stream},
    runtime::RuntimeName,
    tree::TreePath,
};
use strongroom_run::{
    CollectError, Ended, Job, Local, LocalConfig, LogChunk, PrepareError, Prepared, Reach,
    Runtimes, Tier,
};
use tokio::sync::{mpsc, oneshot};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The most lines that wait to be taken in a test.
const LINES_MAX: usize = 10_000;

pub struct House {
    pub local: Local,
    dir: tempfile::TempDir,
    /// Where large outputs take their room.
    disk: tempfile::TempDir,
}

/// What is to be run, with the defaults of a test.
#[derive(Clone)]
pub struct Task {
    pub files: Vec<(String, String)>,
    pub inputs: Inputs<Vec<(String, String)>>,
    pub args: Value,
    pub limits: Limits,
    /// Another than the file's name says.
    pub runtime: Option<RuntimeName>,
    pub tenant: &'static str,
    pub reach: Reach,
    pub secrets: BTreeMap<String, String>,
    /// The entry is this program, whatever its text says.
    pub program: Option<PathBuf>,
}

/// What a run left.
#[derive(Debug)]
pub struct Outcome {
    pub ended: Ended,
    pub lines: Vec<LogChunk>,
}

impl Task {
    pub fn file(name: &str, code: &str) -> Self {
        Self {
            files: vec![(name.to_owned(), code.to_owned())],
            inputs: Inputs::None,
            args: json!({}),
            limits: Limits::DEFAULT,
            runtime: None,
            tenant: "tester",
            reach: Reach::Nothing,
            secrets: BTreeMap::new(),
            program: None,
        }
    }

    pub fn python(code: &str) -> Self {
        Self::file("main.py", code)
    }

    pub fn sh(code: &str) -> Self {
        Self::file("main.sh", code)
    }

    pub fn and_file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    pub fn on(mut self, inputs: Inputs<Vec<(String, String)>>) -> Self {
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

    /// A function that is a program, built by `compiled`.
    pub fn program(name: &str, program: &Path) -> Self {
        let mut task = Self::file(name, "").runs_on("binary");
        task.program = Some(program.to_owned());
        task
    }

    fn runtime(&self) -> RuntimeName {
        if let Some(runtime) = &self.runtime {
            runtime.clone()
        } else if self.files[0].0.ends_with(".py") {
            RuntimeName::python3()
        } else {
            RuntimeName::sh()
        }
    }
}

impl House {
    pub fn new() -> Self {
        Self::with_slots(2)
    }

    pub fn with_slots(slots_max: u32) -> Self {
        Self::with_pool(slots_max, 0)
    }

    pub fn with_pool(slots_max: u32, pool_max: u32) -> Self {
        Self::with_zygotes(slots_max, pool_max, 0)
    }

    pub fn with_zygotes(slots_max: u32, pool_max: u32, zygotes_max: u32) -> Self {
        let disk = tempfile::tempdir_in("/var/tmp").unwrap();
        Self::with(
            (slots_max, pool_max, zygotes_max),
            disk,
            Runtimes::default(),
        )
    }

    /// Where no namespace can be made.
    pub fn reduced() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let disk = tempfile::tempdir_in("/var/tmp").unwrap();
        let folder = disk.path().join("reduced");
        fs::create_dir(&folder).unwrap();
        for path in [disk.path(), &folder] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self::by(disk, |config| {
            config.tier = Tier::Reduced;
            config.folder = folder;
            config.slots_max = 2;
        })
    }

    pub fn with_disk(disk: tempfile::TempDir) -> Self {
        Self::with((2, 0, 0), disk, Runtimes::default())
    }

    pub fn with_runtimes(runtimes: Runtimes, pool_max: u32, zygotes_max: u32) -> Self {
        let disk = tempfile::tempdir_in("/var/tmp").unwrap();
        Self::with((2, pool_max, zygotes_max), disk, runtimes)
    }

    /// Where large outputs take their room.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    fn with(
        (slots_max, pool_max, zygotes_max): (u32, u32, u32),
        disk: tempfile::TempDir,
        runtimes: Runtimes,
    ) -> Self {
        Self::by(disk, |config| {
            config.runtimes = std::sync::Arc::new(runtimes);
            config.pool_max = pool_max;
            config.zygotes_max = zygotes_max;
            config.slots_max = slots_max;
        })
    }

    fn by(disk: tempfile::TempDir, change: impl FnOnce(&mut LocalConfig)) -> Self {
        let mut config = LocalConfig {
            disk: disk.path().to_owned(),
            program: jail_program(),
            // Tests run beside each other; guests of two never share a user.
            uid_base: 1_000_000_000 + std::process::id() % 100_000 * 64,
            ..LocalConfig::default()
        };
        change(&mut config);
        Self {
            local: Local::start(config).unwrap(),
            dir: tempfile::tempdir().unwrap(),
            disk,
        }
    }

    pub fn job(&self, task: &Task) -> Job {
        let mut job = self.job_of_files(task);
        if let Some(program) = &task.program {
            fs::copy(program, job.function_dir.join(job.entry.as_str())).unwrap();
            let folder = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
            strongroom_run::lay_program(&job.function_dir, &job.entry, &folder).unwrap();
            job.program_dir = Some(folder);
        }
        job
    }

    fn job_of_files(&self, task: &Task) -> Job {
        let place = |files: &[(String, String)]| {
            let dir = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
            write_files(&dir, files);
            dir
        };
        let digest = |files: &Vec<(String, String)>| Digest::of(format!("{files:?}").as_bytes());
        let inputs = task.inputs.clone();
        Job {
            tenant: task.tenant.parse().unwrap(),
            plan: Plan {
                function: digest(&task.files),
                runtime: self.local.pin(&task.runtime()).unwrap(),
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
            dependencies: None,
            secrets: task.secrets.clone(),
            stage_dir: None,
            program_dir: None,
            terminal: None,
            begun: false,
        }
    }

    pub async fn prepare(&self, task: &Task) -> Result<Prepared, PrepareError> {
        let job = self.job(task);
        self.local
            .prepare(Permit::trial(run_id(), &job.plan), job)
            .await
    }

    pub async fn run(&self, task: Task) -> Outcome {
        let prepared = self.prepare(&task).await.unwrap();
        let (sender, mut taken) = mpsc::channel(LINES_MAX);
        let (_keep, cancel) = oneshot::channel();
        let ended = prepared.run(sender, cancel).await;
        let mut lines = Vec::new();
        while let Ok(chunk) = taken.try_recv() {
            lines.push(chunk);
        }
        Outcome { ended, lines }
    }

    /// Waits until a guest waits for work on the runtime of `task`.
    pub async fn until_waiting(&self, task: &Task) {
        let runtime = task.runtime();
        until("a guest waits", || 0 < self.local.waiting(&runtime)).await;
    }

    /// Waits until all places are free again, as they must become.
    pub async fn until_empty(&self, slots: usize) {
        until("all slots are free", || self.local.slots_free() == slots).await;
    }
}

impl Outcome {
    pub fn reason(&self) -> &Reason {
        &self.ended.reason
    }

    pub fn stdout(&self) -> String {
        self.text(Stream::Stdout)
    }

    pub fn stderr(&self) -> String {
        self.text(Stream::Stderr)
    }

    fn text(&self, stream: Stream) -> String {
        let of_stream = self.lines.iter().filter(|line| line.stream == stream);
        of_stream
            .map(|line| line.text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[track_caller]
    pub fn value(self) -> Value {
        assert_eq!(*self.reason(), Reason::Succeeded, "{self:?}");
        self.ended.value.unwrap()
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(*self.reason(), Reason::Succeeded, "{self:?}");
        self
    }

    pub fn collect(self, limits: &Limits) -> Result<Vec<(OutputFile, String)>, CollectError> {
        let mut texts = Vec::new();
        let files = self.ended.out.unwrap().collect(limits, |_, _, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
            Ok(Digest::of(&bytes))
        })?;
        Ok(files.into_iter().zip(texts).collect())
    }
}

pub fn run_id() -> RunId {
    RunId::new(1, *b"0123456789")
}

pub fn name(raw: &str) -> Name {
    raw.parse().unwrap()
}

pub fn files(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

/// Waits for something that must come to be.
pub async fn until(what: &str, is: impl Fn() -> bool) {
    let latest = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < latest, "never came to be: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn write_files(dir: &Path, files: &[(String, String)]) {
    for (path, text) in files {
        let path: TreePath = path.parse().unwrap();
        let whole = dir.join(path.as_str());
        fs::create_dir_all(whole.parent().unwrap()).unwrap();
        fs::write(whole, text).unwrap();
    }
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
