//! The peers that are measured beside Strongroom, where they are installed.
//!
//! Each gets the same work: start a Python interpreter from the host's `/usr`
//! in whatever the peer calls isolation, run `pass`, end.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::shell::{read, say, which};

/// The interpreter and its cheapest start.
pub const PYTHON: [&str; 5] = ["/usr/bin/python3", "-I", "-S", "-c", "pass"];

/// `bwrap` with everything unshared.
pub fn bwrap() -> Option<Command> {
    let mut command = Command::new(which("bwrap")?);
    command.args([
        "--unshare-all",
        "--die-with-parent",
        "--ro-bind",
        "/usr",
        "/usr",
    ]);
    for folder in ["bin", "sbin", "lib", "lib64"] {
        command.args(["--symlink", &format!("usr/{folder}"), &format!("/{folder}")]);
    }
    command
        .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"])
        .args(PYTHON);
    Some(command)
}

/// `runc run` with a bundle whose root holds only `/usr`.
pub fn runc(folder: &Path) -> anyhow::Result<Option<RuncBundle>> {
    let Some(program) = which("runc") else {
        return Ok(None);
    };
    let bundle = folder.join("bundle");
    make_root(&bundle.join("rootfs"))?;
    read(
        Command::new(&program)
            .args(["spec", "--bundle"])
            .arg(&bundle),
    )?;
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!(PYTHON);
    let usr = serde_json::json!({
        "destination": "/usr", "source": "/usr", "type": "bind", "options": ["rbind", "ro"]
    });
    config["mounts"]
        .as_array_mut()
        .context("runc's spec has no mounts")?
        .push(usr);
    std::fs::write(&path, config.to_string())?;
    let state = folder.join("runc");
    let found = RuncBundle {
        program,
        bundle,
        state,
    };
    match read(&mut found.command(0)) {
        Ok(_) => Ok(Some(found)),
        Err(error) => {
            say(&format!("runc cannot run here: {error}"));
            Ok(None)
        }
    }
}

/// Where runc finds its container.
pub struct RuncBundle {
    program: PathBuf,
    bundle: PathBuf,
    state: PathBuf,
}

impl RuncBundle {
    pub fn command(&self, round: usize) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--root")
            .arg(&self.state)
            .args(["run", "--bundle"])
            .arg(&self.bundle);
        command.arg(format!("strongroom-bench-{}-{round}", std::process::id()));
        command
    }
}

/// Folders and links that make the host's `/usr` a root.
fn make_root(root: &Path) -> anyhow::Result<()> {
    for folder in ["usr", "proc", "dev", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    for folder in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{folder}"), root.join(folder))?;
    }
    Ok(())
}

/// A Docker Engine of our own: its own data folder and socket, no network.
pub struct Docker {
    engine: Child,
    socket: String,
}

const ENGINE_WAIT: Duration = Duration::from_secs(60);

impl Docker {
    /// Starts an engine, if one is installed and may be started.
    pub fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        let (Some(engine), Some(_)) = (which("dockerd"), which("docker")) else {
            return Ok(None);
        };
        let root = folder.join("docker");
        let socket = format!("unix://{}", folder.join("docker.sock").display());
        let child = Command::new(engine)
            .arg("--data-root")
            .arg(root.join("data"))
            .arg("--exec-root")
            .arg(root.join("exec"))
            .arg("--pidfile")
            .arg(root.join("pid"))
            .args([
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "-H",
                &socket,
            ])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("dockerd.log"))?)
            .spawn()?;
        let docker = Self {
            engine: child,
            socket,
        };
        match docker.import(folder) {
            Ok(()) => Ok(Some(docker)),
            Err(error) => {
                say(&format!("docker cannot run here: {error}"));
                Ok(None)
            }
        }
    }

    fn import(&self, folder: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + ENGINE_WAIT;
        while read(self.docker().arg("version")).is_err() {
            if deadline < Instant::now() {
                bail!("the engine did not answer in {} s", ENGINE_WAIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let root = folder.join("docker-root");
        make_root(&root)?;
        self.image(&root, "strongroom-bench")?;
        read(&mut self.command()).map(drop)
    }

    /// Makes an image of everything below `root`.
    pub fn image(&self, root: &Path, name: &str) -> anyhow::Result<()> {
        let archive = root.with_extension("tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(root).arg("-cf").arg(&archive).arg(".");
        read(&mut tar)?;
        read(self.docker().arg("import").arg(&archive).arg(name)).map(drop)
    }

    /// The client, talking to this engine.
    pub fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.socket]);
        command
    }

    /// `docker run` of the interpreter, without a network.
    pub fn command(&self) -> Command {
        let mut command = self.docker();
        command.args([
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "/usr:/usr:ro",
            "strongroom-bench",
        ]);
        command.args(PYTHON);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // The engine takes its containers' shims with it on SIGTERM.
        let _ = Command::new("kill")
            .arg(self.engine.id().to_string())
            .status();
        let _ = self.engine.wait();
    }
}
