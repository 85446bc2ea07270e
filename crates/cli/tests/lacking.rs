//! A station on a host in a bad state, staged in a mount namespace of its own:
//! what is lacking is named, by the answer or by the run, and once it is mended
//! the next run works.
#![allow(clippy::unwrap_used)]

mod lives;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use lives::{Door, Life};
use serde_json::{Value, json};

/// What `mount` is told before the station starts; `$1` is a folder of ours.
/// The home lies on a small disk, and `/usr` can be changed for this station.
const STAGE: &str = "
mount -t tmpfs -o mode=0755,size=24m home $1/home
mkdir $1/home/station
cp $1/config.toml $1/home/station
mount -t tmpfs upper $1/upper
mkdir $1/upper/files $1/upper/work
mount -t overlay -o lowerdir=/usr,upperdir=$1/upper/files,workdir=$1/upper/work usr /usr
shift
exec \"$@\"";

struct Staged {
    life: Life,
    folder: tempfile::TempDir,
    door: Door,
}

impl Staged {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "upper"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let uid_base = 1_700_000_000 + std::process::id() % 10_000 * 4096;
        let config = format!("workers = 2\n[jail]\nuid_base = {uid_base}\n");
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "/bin/sh", "-ec", STAGE, "sh"])
            .arg(folder.path())
            .arg(env!("CARGO_BIN_EXE_strongroom"))
            .args(["serve", "--listen", "127.0.0.1:0", "--home"])
            .arg(folder.path().join("home/station"));
        let life = Life::start_by(&mut command);
        let token = seen(&life, &folder.path().join("home/station/admin.token"));
        let token = fs::read_to_string(token).unwrap();
        let door = life.door(token.trim());
        Self { life, folder, door }
    }

    /// Where the station's own view has a path.
    fn seen(&self, path: &str) -> PathBuf {
        seen(&self.life, Path::new(path))
    }

    /// What becomes of a script: its reason's code, or the code of the refusal.
    fn ends(&self) -> (String, Value) {
        let body = json!({ "client": "next", "code": "print('fine')" });
        let (status, script) = self.door.post("/run-json", &body).unwrap();
        if !(200..300).contains(&status) {
            return (code(&script), script);
        }
        let id = script["id"].as_str().unwrap();
        for _ in 0..4 {
            let (_, run) = self.door.get(&format!("/v1/runs/{id}?wait=30s")).unwrap();
            if run["state"] == "ended" {
                return (code(&run["reason"]), run["reason"].clone());
            }
        }
        panic!("{id} never ended");
    }

    #[track_caller]
    fn works(&self) {
        let (code, whole) = self.ends();
        assert_eq!(code, "succeeded", "{whole}");
    }

    #[track_caller]
    fn names(&self, lacks: &[&str], word: &str) {
        let (code, whole) = self.ends();
        assert!(lacks.contains(&code.as_str()), "{whole}");
        assert!(whole.to_string().contains(word), "{word}: {whole}");
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = self.life.child.kill();
        let _ = self.life.child.wait();
    }
}

fn seen(life: &Life, path: &Path) -> PathBuf {
    Path::new(&format!("/proc/{}/root", life.child.id())).join(path.strip_prefix("/").unwrap())
}

fn code(of: &Value) -> String {
    of["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_interpreter_that_is_gone_or_crashes_is_named_and_the_next_run_works() {
    let staged = Staged::start();
    staged.works();
    let real = fs::canonicalize("/usr/bin/python3").unwrap();
    let program = staged.seen(real.to_str().unwrap());
    let away = program.with_extension("away");
    fs::rename(&program, &away).unwrap();
    staged.names(&["no_runtime"], "python3");
    fs::write(&program, "#!/bin/sh\nkill -SEGV $$\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    staged.names(&["failed", "refused", "host_error"], "");
    fs::remove_file(&program).unwrap();
    fs::rename(&away, &program).unwrap();
    staged.works();
}

#[test]
fn a_full_disk_under_a_station_is_named_and_the_next_run_works() {
    let staged = Staged::start();
    staged.works();
    let home = staged.folder.path().join("home");
    let ballast = seen(&staged.life, &home.join("ballast"));
    let filled = fs::write(&ballast, vec![0; 64 << 20]);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let large = json!({ "files": { "main.py": format!("# {}", "x".repeat(1 << 20)) } });
    let (status, refused) = staged
        .door
        .post("/v1/functions/admin/large/versions", &large)
        .unwrap();
    assert_eq!(
        (status, code(&refused).as_str()),
        (507, "disk_full"),
        "{refused}"
    );
    staged.names(&["disk_full", "host_error"], "disk");
    fs::remove_file(&ballast).unwrap();
    staged.works();
}

/// Control groups of version 1 only, where a group of one controller can be had;
/// `crates/jail/tests/trouble.rs` does the same to a warden under both versions.
#[test]
fn a_station_whose_warden_can_make_no_process_names_it_and_the_next_run_works() {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap();
    let Some(line) = text
        .lines()
        .find(|line| line.split(':').nth(1) == Some("pids"))
    else {
        return;
    };
    let below = line.splitn(3, ':').nth(2).unwrap();
    let group = Path::new("/sys/fs/cgroup/pids").join(&below[1..]);
    let group = group.join(format!("lacking_{}", std::process::id()));
    fs::create_dir(&group).unwrap();
    let staged = Staged::start();
    staged.works();
    let station = staged.life.child.id();
    let threads = fs::read_dir(format!("/proc/{station}/task")).unwrap();
    let children = threads.map(|thread| thread.unwrap().path().join("children"));
    let warden: String = children.flat_map(fs::read_to_string).collect();
    fs::write(group.join("cgroup.procs"), warden.trim()).unwrap();
    fs::write(group.join("pids.max"), "1").unwrap();
    // Those who wait already serve some; when they are used up, it is said.
    let mut named = None;
    for _ in 0..20 {
        let (code, whole) = staged.ends();
        match code.as_str() {
            "succeeded" => {}
            "refused" | "host_error" => {
                named = Some(whole);
                break;
            }
            _ => panic!("{whole}"),
        }
    }
    let named = named.expect("nobody was refused").to_string();
    assert!(named.contains("temporarily unavailable"), "{named}");
    fs::write(group.join("pids.max"), "max").unwrap();
    staged.works();
    drop(staged);
    lives::wait_until(
        "the group's end",
        std::time::Duration::from_secs(60),
        || fs::remove_dir(&group).is_ok(),
    );
}
