//! A throw-away station with its users, for the demo and the measurements.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::shell::{built, cargo, run};

/// Builds the program with the given profile and returns its path.
pub fn program(release: bool) -> anyhow::Result<PathBuf> {
    let mut args = vec!["build", "--bin", "strongroom"];
    if release {
        args.push("--release");
    }
    run(&mut cargo(&args))?;
    Ok(built(if release { "release" } else { "debug" })?.join("strongroom"))
}

/// A station on a fresh directory and a free port of the loopback.
pub struct Station {
    pub program: PathBuf,
    pub url: String,
    pub home: PathBuf,
    /// Where it makes its temporary files.
    pub temporary: PathBuf,
    child: Child,
    _folder: Option<tempfile::TempDir>,
}

impl Station {
    /// Starts it with the defaults, and waits until it listens.
    pub fn start(program: &Path) -> anyhow::Result<Self> {
        Self::start_with(program, "")
    }

    /// Starts it with this `config.toml`, and waits until it listens.
    pub fn start_with(program: &Path, config: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let home = folder.path().join("home");
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary)?;
        std::fs::create_dir(&home)?;
        std::fs::write(home.join("config.toml"), config)?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--home"])
            .arg(&home)
            .env_remove("STRONGROOM_URL")
            .env_remove("STRONGROOM_TOKEN")
            .env("TMPDIR", &temporary)
            .env("XDG_CONFIG_HOME", folder.path().join("config"))
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the station")?;
        let out = child.stdout.take().context("the station has no stdout")?;
        let url = first_url(BufReader::new(out))?;
        Ok(Self {
            program: program.to_path_buf(),
            url,
            home,
            temporary,
            child,
            _folder: Some(folder),
        })
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The token of the admin that the first start made.
    pub fn admin_token(&self) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(self.home.join("admin.token"))?;
        Ok(text.trim().to_owned())
    }

    /// The program as a client that is logged in with `token`.
    pub fn client(&self, token: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("STRONGROOM_URL", &self.url)
            .env("STRONGROOM_TOKEN", token);
        command.env("XDG_CONFIG_HOME", self.home.join("no-config"));
        command
    }

    /// Adds a user and returns a token of his.
    pub fn user(&self, name: &str) -> anyhow::Result<String> {
        let admin = self.admin_token()?;
        let out = crate::shell::read(self.client(&admin).args(["--json", "user", "add", name]))?;
        let added: Value = serde_json::from_str(&out).context("user add printed no JSON")?;
        let secret = added["secret"]
            .as_str()
            .or_else(|| added["token"]["secret"].as_str());
        Ok(secret.context("user add printed no token")?.to_owned())
    }

    /// Leaves the station and its files as they are, and returns its process id.
    pub fn leave(mut self) -> u32 {
        let id = self.child.id();
        if let Some(folder) = self._folder.take() {
            let _ = folder.keep();
        }
        std::mem::forget(self);
        id
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let stopped = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn first_url(lines: impl BufRead) -> anyhow::Result<String> {
    for line in lines.lines().take(20) {
        let line = line?;
        if let Some(at) = line.find("http://") {
            let url = line[at..].split_whitespace().next().unwrap_or_default();
            return Ok(url.trim_end_matches(['.', ',', '/']).to_owned());
        }
    }
    bail!("the station ended before it listened");
}
