//! Where the hostile programs run: in a cage of the warden, or on the bare host.
#![allow(dead_code)]

pub mod outside;
pub mod outside_reduced;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use strongroom_jail::{Cause, Jail, Limits, Open, SlotId, Status, Warden};

use crate::canaries::Canaries;
use crate::cell::{self, Guest, MIB};
use crate::judge::{Ended, Place};

/// Small, so that going over a limit is quick.
pub const LIMITS: Limits = Limits {
    cpu_milli: 1000,
    memory_bytes: 48 * MIB,
    wall_ms: 20_000,
    processes: 24,
    out_bytes: MIB,
    out_files: 16,
    tmp_bytes: 4 * MIB,
};
/// For attempts that must be ended from outside.
const SHORT_MS: u64 = 1_500;
/// For the attempt to use too much of the processor.
const SLOW_CPU_MILLI: u32 = 100;

/// What every program is told.
fn arguments(canaries: &Canaries) -> Value {
    json!({
        "canaries": canaries.told(),
        "mark": std::process::id(),
        "limits": {
            "memory_bytes": LIMITS.memory_bytes,
            "processes": LIMITS.processes,
            "tmp_bytes": LIMITS.tmp_bytes,
            "out_bytes": LIMITS.out_bytes,
            "out_files": LIMITS.out_files,
            "cpu_milli": SLOW_CPU_MILLI,
        },
    })
}

/// The processes that a program of this siege left behind, by their name.
pub fn outliving() -> Vec<i32> {
    let name = format!("outlive-{}\n", std::process::id());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == name)
    })
    .collect()
}

/// In a sandbox of the warden, with code, one input and all limits.
pub struct Caged<'a> {
    pub warden: &'a Warden,
    pub canaries: &'a Canaries,
    pub is_patient: bool,
    pub kind: Kind,
}

/// What kind of guest runs the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// A copy of the zygote that the warden has.
    Copy,
    /// One that has a gateway, and sees data if it may.
    Client,
    /// One of the tier `reduced`.
    Reduced,
}

impl Caged<'_> {
    fn jail(&self, folder: &Path, source: &str) -> Jail<Open> {
        std::fs::write(folder.join("main.py"), source).unwrap();
        let argv = ["/usr/bin/python3", "-I", "-S", "-B", "/function/main.py"];
        let jail = cell::host(limits_for(source))
            .read_only(folder.into(), "/function".into())
            .command(argv.map(str::to_owned).to_vec(), "/function".into());
        let with_data = |jail: Jail<Open>| jail.data(self.canaries.data(), "/data".into());
        let zygote = cell::config().zygote_slot(0);
        match self.kind {
            Kind::Plain | Kind::Reduced => with_data(jail),
            Kind::Copy => with_data(jail).copy_of(zygote).stdin(cell::input(source)),
            Kind::Client if self.sees_data_and_network() => with_data(jail).gateway(),
            Kind::Client => jail.gateway(),
        }
    }

    /// Whether the seal, which is the wall between them, lets both in.
    fn sees_data_and_network(&self) -> bool {
        let both = cell::shell(LIMITS, "true").data(self.canaries.data(), "/data".into());
        both.gateway().seal(self.warden.kernel()).is_ok()
    }
}

/// Some attempts need other limits than the rest.
fn limits_for(source: &str) -> Limits {
    let asked = source.lines().nth(1).unwrap_or_default();
    let late = ["for ever", "stop itself", "stop all", "time is over"];
    let late = late.iter().any(|words| asked.contains(words));
    let slow = asked.contains("use more of the processor");
    Limits {
        wall_ms: if late { SHORT_MS } else { LIMITS.wall_ms },
        cpu_milli: if slow {
            SLOW_CPU_MILLI
        } else {
            LIMITS.cpu_milli
        },
        ..LIMITS
    }
}

impl Place for Caged<'_> {
    fn arguments(&self) -> Value {
        let mut arguments = arguments(self.canaries);
        arguments["landlock_abi"] = json!(self.warden.kernel().landlock_abi);
        arguments["ordinary_user"] = json!(self.warden.kernel().ordinary_user);
        arguments
    }

    fn is_patient(&self) -> bool {
        self.is_patient
    }

    fn run(&self, source: &str) -> Ended {
        let folder = cell::directory_with("empty", "");
        let ran = cell::run_in(self.warden, self.jail(folder.path(), source));
        let reason = match (ran.exit.cause, ran.exit.status) {
            (Cause::Timeout, _) => "timed_out".to_owned(),
            _ if ran.exit.out_of_memory => "out_of_memory".to_owned(),
            (_, Status::Exited(0)) => "succeeded".to_owned(),
            (_, Status::Exited(_)) => "failed".to_owned(),
            (_, Status::Signaled(number)) => format!("signal {number}"),
        };
        let stdout = format!("{}\n{}", ran.stdout, ran.stderr);
        Ended { stdout, reason }
    }

    fn run_beside(&self, source: &str, meanwhile: &mut dyn FnMut()) {
        let folder = cell::directory_with("empty", "");
        let jail = self.jail(folder.path(), source);
        let mut guest = Guest::prepare(self.warden, SlotId(1), jail);
        guest.start();
        guest.wait_for("\"planted\": true");
        meanwhile();
        self.warden.kill(SlotId(1)).unwrap();
        guest.finish();
    }
}

/// As a plain process of this host, held by nothing: what a program that
/// cannot fail would still be contained by.
pub struct Bare<'a> {
    pub canaries: &'a Canaries,
    folder: tempfile::TempDir,
}

impl<'a> Bare<'a> {
    pub fn new(canaries: &'a Canaries) -> Self {
        let folder = cell::directory_with("rows.csv", "a,b\n1,2\n");
        for name in ["tmp", "out", "shm"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { canaries, folder }
    }

    /// Mounts of its own are all that the host is spared by.
    fn command(&self, source: &str) -> Command {
        std::fs::write(self.folder.path().join("main.py"), source).unwrap();
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "/usr/bin/python3",
                "-I",
                "-S",
                "-B",
                "-c",
                source,
            ])
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }
}

impl Place for Bare<'_> {
    fn arguments(&self) -> Value {
        let mut arguments = arguments(self.canaries);
        let place = |name: &str| self.folder.path().join(name);
        arguments["places"] = json!({
            "tmp": place("tmp"), "out": place("out"), "shm": place("shm"),
            "function": self.folder.path(), "data": self.folder.path(),
        });
        arguments["control"] = json!(true);
        arguments
    }

    fn run(&self, source: &str) -> Ended {
        let output = self.command(source).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        Ended {
            stdout: format!("{stdout}\n{stderr}"),
            reason: output.status.to_string(),
        }
    }

    fn run_beside(&self, source: &str, meanwhile: &mut dyn FnMut()) {
        use std::io::{BufRead as _, BufReader};
        let mut command = self.command(source);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.contains("\"planted\": true")));
        meanwhile();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
