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
    port: u16,
    folder: TempDir,
}

impl Engine {
    /// Starts an engine; `None`, said aloud, where that cannot be.
    pub async fn start() -> Option<Self> {
        Self::start_with(|_| Vec::new()).await
    }

    /// Starts one whose port is behind TLS, with the certificates of the folder
    /// that [`Engine::certificates`] names.
    pub async fn start_behind_tls() -> Option<Self> {
        Self::start_with(|folder| {
            let file = |name: &str| folder.join(name).display().to_string();
            certificates(folder);
            let options = [
                ("--tlscacert", file("ca.pem")),
                ("--tlscert", file("cert.pem")),
                ("--tlskey", file("key.pem")),
            ];
            let options = options.map(|(name, file)| format!("{name}={file}"));
            ["--tlsverify".to_owned()]
                .into_iter()
                .chain(options)
                .collect()
        })
        .await
    }

    async fn start_with(options: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
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
        let port = free_port();
        let process = Command::new(program)
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["-H", &host(folder.path())])
            .args(["-H", &format!("tcp://127.0.0.1:{port}")])
            .args(options(folder.path()))
            .stdout(Stdio::null())
            .stderr(File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let engine = Self {
            process,
            port,
            folder,
        };
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

    /// The same by its port, as if it were elsewhere.
    pub fn port(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    pub fn certificates(&self) -> &Path {
        self.folder.path()
    }

    /// Certificates of an authority that the engine does not know.
    pub fn strange_certificates() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        folder
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

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An authority, and a certificate of it that serves both sides.
fn certificates(folder: &Path) {
    let script = r#"set -e
exec 2> /dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=engine -keyout key.pem -out request
printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' > extensions
openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem
"#;
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .status();
    assert!(made.unwrap().success(), "openssl made no certificates");
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
