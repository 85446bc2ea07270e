//! A Docker Engine of a test's own, gone with it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long an engine may take to begin.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Engine {
    process: Child,
    folder: TempDir,
}

impl Engine {
    /// Starts an engine; `None`, said aloud, where that cannot be.
    pub async fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("NOT RUN in containers: there is no dockerd; install docker.io");
            return None;
        };
        if !rustix::process::geteuid().is_root() {
            eprintln!("NOT RUN in containers: only root may start a dockerd");
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("strongroom-engine-")
            .tempdir()
            .unwrap();
        let at = |name: &str| folder.path().join(name);
        let process = Command::new(program)
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["-H", &host(folder.path())])
            .stdout(Stdio::null())
            .stderr(File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let engine = Self { process, folder };
        let latest = Instant::now() + PATIENCE;
        while !engine.answers().await {
            let log = std::fs::read_to_string(engine.folder.path().join("log"));
            assert!(Instant::now() < latest, "no engine: {log:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(engine)
    }

    pub fn host(&self) -> String {
        host(self.folder.path())
    }

    /// Its API, for looking at what others did with it.
    pub fn api(&self) -> bollard::Docker {
        bollard::Docker::connect_with_unix(&self.host(), 60, bollard::API_DEFAULT_VERSION).unwrap()
    }

    async fn answers(&self) -> bool {
        self.folder.path().join("socket").exists() && self.api().ping().await.is_ok()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It ends its containers and containerd on this signal.
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let below = below.filter(|path| Path::new(path).starts_with(self.folder.path()));
        for path in below.collect::<Vec<_>>().into_iter().rev() {
            let _ = Command::new("umount").arg(path).status();
        }
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("socket").display())
}

fn program() -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let mut programs = folders
        .map(|folder| Path::new(folder).join("dockerd"))
        .into_iter();
    programs.find(|program| program.is_file())
}
