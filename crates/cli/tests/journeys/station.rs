//! A station of one's own, and people who talk to it by command line.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Guests of two stations on one host must not be the same user to it.
static STATIONS: AtomicU32 = AtomicU32::new(0);

/// A home of one's own, with no station in it yet.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        std::fs::create_dir_all(place.home()).unwrap();
        let number = STATIONS.fetch_add(1, Ordering::Relaxed) % 64;
        let uid_base = 1_500_000_000 + (std::process::id() % 100_000) * 4096 + number * 64;
        place.configure(&format!("workers = 2\n[jail]\nuid_base = {uid_base}\n"));
        place
    }

    pub fn configure(&self, text: &str) {
        std::fs::write(self.home().join("config.toml"), text).unwrap();
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A path for files of the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// The program with nothing of the machine's own in its environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("user"))
            .env("STRONGROOM_HOME", self.home())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program as someone who is not logged in.
    pub fn run(&self, words: &[&str]) -> Said {
        said(self.command().args(words))
    }
}

/// A running station.
pub struct Station {
    pub place: Place,
    pub url: String,
    /// All that it said up to its address.
    pub announced: String,
    child: Child,
}

impl Station {
    pub fn start() -> Self {
        Self::start_in(Place::new())
    }

    pub fn start_in(place: Place) -> Self {
        let mut child = place
            .command()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut announced = String::new();
        lines.read_line(&mut announced).unwrap();
        let url = announced.trim().strip_prefix("Listening on ");
        let url = url
            .expect("the station ended before it listened")
            .to_owned();
        if !place.path("known").exists() {
            lines.read_line(&mut announced).unwrap();
            std::fs::write(place.path("known"), "").unwrap();
        }
        Self {
            place,
            url,
            announced,
            child,
        }
    }

    /// The most memory that it has held, in bytes.
    pub fn memory_peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Kills it, and gives its place back.
    pub fn kill(mut self) -> Place {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
        };
        std::mem::replace(&mut self.place, place)
    }

    pub fn admin(&self) -> Person<'_> {
        let token = std::fs::read_to_string(self.place.home().join("admin.token")).unwrap();
        Person {
            station: self,
            name: "admin".to_owned(),
            token: token.trim().to_owned(),
        }
    }

    /// Adds a user.
    pub fn user(&self, name: &str) -> Person<'_> {
        let said = self.admin().does(&["user", "add", name]);
        Person {
            station: self,
            name: name.to_owned(),
            token: said.out.trim().to_owned(),
        }
    }

    /// The owner, the developer and the caller, with the example pushed.
    pub fn people(&self) -> [Person<'_>; 3] {
        let people = ["lab", "devs", "guest"].map(|name| self.user(name));
        let [lab, devs, _] = &people;
        lab.does(&[
            "dataset",
            "push",
            "lab/penguins",
            &example("penguins.csv"),
            "-m",
            "344 penguins",
        ]);
        devs.does(&[
            "function",
            "push",
            "devs/mean-mass",
            &example("mean_mass.py"),
        ]);
        people
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody with a token.
pub struct Person<'a> {
    pub station: &'a Station,
    pub name: String,
    pub token: String,
}

impl Person<'_> {
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.station.place.command();
        command
            .env("STRONGROOM_URL", &self.station.url)
            .env("STRONGROOM_TOKEN", &self.token);
        command.args(words);
        command
    }

    /// Runs a command, whatever comes of it.
    pub fn tries(&self, words: &[&str]) -> Said {
        said(&mut self.command(words))
    }

    /// Runs a command that has to work.
    #[track_caller]
    pub fn does(&self, words: &[&str]) -> Said {
        let said = self.tries(words);
        assert_eq!(said.code, 0, "{} cannot {words:?}:\n{said}", self.name);
        said
    }

    /// Runs a command that must not work, and says why not.
    #[track_caller]
    pub fn cannot(&self, words: &[&str]) -> String {
        let said = self.tries(words);
        assert_eq!(said.code, 2, "{} can {words:?}:\n{said}", self.name);
        assert_eq!(said.out, "", "{words:?}");
        said.err
    }

    /// What a command prints as JSON.
    #[track_caller]
    pub fn reads(&self, words: &[&str]) -> Value {
        let said = self.tries(&[words, &["--json"]].concat());
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{words:?}: {said}"))
    }

    /// Asks without waiting; returns the run and its request.
    #[track_caller]
    pub fn asks(&self, words: &[&str]) -> (String, String) {
        let run = self.reads(&[&["run", "--detach"], words].concat());
        (text(&run, "id"), text(&run, "request"))
    }

    /// Waits until the run is in this state.
    #[track_caller]
    pub fn waits_for(&self, run: &str, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.reads(&["status", run]);
            if now["state"] == state {
                return now;
            }
            assert!(Instant::now() < deadline, "never {state}: {now}");
        }
    }
}

pub fn text(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
        .to_owned()
}

/// The path of an example of this repository.
pub fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    path.canonicalize().unwrap().to_string_lossy().into_owned()
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().expect("it was killed"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.out)?;
        if !self.err.is_empty() {
            write!(f, "---- stderr\n{}", self.err)?;
        }
        if self.code != 0 {
            writeln!(f, "---- exit code {}", self.code)?;
        }
        Ok(())
    }
}

/// Whatever a started command says, to its end.
pub fn rest(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().expect("it was killed"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Reads a started command's stderr up to a line with `wanted` in it.
pub fn read_until(child: &mut Child, wanted: &str) -> String {
    let stderr = child.stderr.as_mut().unwrap();
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while stderr.read(&mut byte).unwrap() == 1 {
        seen.push(byte[0]);
        if byte[0] == b'\n' && String::from_utf8_lossy(&seen).contains(wanted) {
            return String::from_utf8(seen).unwrap();
        }
    }
    panic!(
        "it ended before it said {wanted}: {}",
        String::from_utf8_lossy(&seen)
    );
}

/// Runs a check of a snapshot with what differs from run to run left out.
pub fn steady(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    for (pattern, name) in [
        (r"\b(run|req|tok|apr)-[0-9a-z]{26}\b", "$1-ID"),
        (r"sha256:[0-9a-f]{64}", "sha256:DIGEST"),
        (r"sha256:[0-9a-f]{12}\b", "sha256:SHORT"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (
            r"[\d.]+ m?s wall, [\d.]+ m?s cpu, [\d.]+ [KM]iB memory",
            "USAGE",
        ),
        (r"http://127.0.0.1:\d+", "URL"),
        (r"srt_[A-Za-z0-9_-]{43}", "SECRET"),
        (r"/[^ `]*/\.tmp\w{6}", "DIR"),
        // Whether a short run is seen while it runs is chance.
        (r"(?m)^running\n", ""),
    ] {
        settings.add_filter(pattern, name);
    }
    settings.bind(check);
}

/// Compares what was said with a snapshot.
macro_rules! snapshot {
    ($said:expr, @$wanted:literal) => {
        $crate::station::steady(|| insta::assert_snapshot!($said, @$wanted))
    };
}
pub(crate) use snapshot;
