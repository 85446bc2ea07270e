//! Things on the host that no hostile program may find: part of several tests and chores.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// What the file says that nobody may read.
pub const SECRET: &str = "a secret of the host";

/// Abstract names are the host's, and several may be planted by one process.
static PLANTED: AtomicU32 = AtomicU32::new(0);

/// A file, services of three kinds and a process, for as long as this lives.
pub struct Canaries {
    folder: tempfile::TempDir,
    process: Child,
    _services: (TcpListener, [UnixListener; 2], [UnixDatagram; 2]),
    told: Value,
}

impl Canaries {
    /// Plants them where every user of the host could reach them.
    pub fn plant() -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let open = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        open(folder.path(), 0o755)?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("secret"), format!("{SECRET}\n"))?;
        std::fs::create_dir(path("data"))?;
        open(&path("data"), 0o755)?;
        std::fs::write(path("data/rows.csv"), "a,b\n1,2\n")?;
        let port = TcpListener::bind("127.0.0.1:0")?;
        let file = UnixListener::bind(path("socket"))?;
        let log = UnixDatagram::bind(path("datagrams"))?;
        open(&path("socket"), 0o777)?;
        open(&path("datagrams"), 0o777)?;
        let number = PLANTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("hostile-{}-{number}", std::process::id());
        let datagrams = format!("{name}-datagram");
        let stream = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        let datagram = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&datagrams)?)?;
        let process = Command::new("/usr/bin/sleep")
            .arg("3600")
            .env("SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let told = json!({
            "file": path("secret"),
            "folder": folder.path(),
            "socket": path("socket"),
            "port": port.local_addr()?.port(),
            "abstract": name,
            "datagram": datagrams,
            "datagrams": path("datagrams"),
            "pid": process.id(),
        });
        Ok(Self {
            folder,
            process,
            _services: (port, [file, stream], [log, datagram]),
            told,
        })
    }

    /// What the programs are told of them.
    pub fn told(&self) -> &Value {
        &self.told
    }

    /// Beside them, a folder that may be shown.
    #[allow(dead_code)]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
