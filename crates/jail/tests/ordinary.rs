//! The same cage without root: an ordinary user with control groups of its own.
//!
//! The outer half of the test is root and prepares the groups; the inner half
//! is this very test, run again as the user `nobody`.
#![allow(clippy::unwrap_used)]

mod cell;

use std::path::{Path, PathBuf};
use std::process::Command;

use cell::{
    Guest, LIMITS, PRELUDE, SLOT, config, directory_with, event, group_beside, host_in, own_group,
    python, run_in, shell,
};
use strongroom_jail::{
    Attachment, Event, Jail, Limits, Program, SealError, Status, Waiting, Warden, WardenConfig,
};

const NOBODY: u32 = 65_534;
/// Set for the inner half: the groups, separated by colons.
const GROUPS: &str = "STRONGROOM_TEST_GROUPS";

/// Runs `inner` as an ordinary user who may write the control groups given to it.
fn as_nobody(test: &str, with_groups: bool, inner: impl FnOnce(Vec<PathBuf>)) {
    if let Ok(groups) = std::env::var(GROUPS) {
        let groups = groups.split(':').filter(|path| !path.is_empty());
        return inner(groups.map(PathBuf::from).collect());
    }
    assert!(
        rustix::process::geteuid().is_root(),
        "this suite needs root to become someone else"
    );
    let groups = if with_groups {
        groups_for_nobody(test)
    } else {
        Vec::new()
    };
    // Version 2 wants the user's own processes inside what it may write, as
    // systemd arranges it; version 1 is named in the configuration.
    let (inside, named) = match groups.as_slice() {
        [one] => (
            one.join("cgroup.procs").display().to_string(),
            String::new(),
        ),
        many => {
            let paths: Vec<&str> = many.iter().filter_map(|path| path.to_str()).collect();
            ("/dev/null".to_owned(), paths.join(":"))
        }
    };
    let program = "echo $$ > $0; exec setpriv --reuid 65534 --regid 65534 --clear-groups -- \"$@\"";
    let output = Command::new("/bin/sh")
        .args(["-c", program, &inside])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(GROUPS, named)
        .output()
        .unwrap();
    groups.iter().for_each(|group| remove_tree(group));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn remove_tree(group: &Path) {
    for entry in std::fs::read_dir(group).unwrap().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path());
        }
    }
    std::fs::remove_dir(group).unwrap();
}

/// One directory per hierarchy, owned by the user.
fn groups_for_nobody(test: &str) -> Vec<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let name = format!("ordinary_{test}_{}", std::process::id());
    let root = Path::new("/sys/fs/cgroup");
    if let Some(own) = own_group() {
        return vec![give(group_beside(&own, &name).unwrap())];
    }
    let mut made = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap(), parts.next().unwrap());
        if let "memory" | "pids" | "cpu" | "cpuacct" | "cpu,cpuacct" = controllers {
            let group = root.join(controllers).join(&path[1..]).join(&name);
            std::fs::create_dir(&group).unwrap();
            made.push(give(group));
        }
    }
    made
}

fn give(group: PathBuf) -> PathBuf {
    let files = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
    let files = files
        .map(|file| group.join(file))
        .into_iter()
        .filter(|path| path.exists());
    for path in files.chain([group.clone()]) {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    group
}

#[test]
fn an_ordinary_user_gets_every_wall() {
    as_nobody("an_ordinary_user_gets_every_wall", true, |cgroup_dirs| {
        let warden = Warden::start(WardenConfig {
            cgroup_dirs,
            ..config()
        })
        .unwrap();
        assert!(warden.kernel().ordinary_user);
        assert_eq!(warden.kernel().missing(), None, "{:?}", warden.kernel());
        let data = directory_with("rows", "1\n");
        let program = format!(
            "{PRELUDE}
print(os.getresuid(), open('/data/rows').read().strip(), attempt(open, '/data/rows', 'a'))
print([line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapBnd', 'Seccomp:', 'NoNewPrivs'))])
print(call(41, 2, 1, 0), attempt(open, '/etc/shadow'), call(272, 0x10000000))
print(open('/proc/self/uid_map').read().split())
open('/out/kept', 'w').write('yes')"
        );
        let jail = python(LIMITS, &program).read_only(data.path().into(), "/data".into());
        let ran = run_in(&warden, jail);
        assert_eq!(
            ran.text(),
            "(1000, 1000, 1000) 1 EROFS\n\
             ['0000000000000000', '0000000000000000', '1', '2']\n\
             EAFNOSUPPORT ENOENT EPERM\n\
             ['1000', '65534', '1']"
        );
        assert_eq!(ran.file("kept"), "yes");
        let small = Limits {
            memory_bytes: 32 << 20,
            processes: 4,
            wall_ms: 2_000,
            ..LIMITS
        };
        let bomb = run_in(&warden, python(small, "x = bytearray(1 << 30)"));
        assert!(bomb.exit.out_of_memory, "{bomb:?}");
        let storm = run_in(&warden, shell(small, "b() { b | b & }; b; sleep 60"));
        assert!(storm.exit.processes_refused, "{storm:?}");
        let own = shell(LIMITS, "exit 7");
        assert_eq!(run_in(&warden, own).exit.status, Status::Exited(7));
    });
}

#[test]
fn a_guest_of_an_ordinary_user_waits_for_its_work_like_any_other() {
    as_nobody(
        "a_guest_of_an_ordinary_user_waits_for_its_work_like_any_other",
        true,
        |cgroup_dirs| {
            let warden = Warden::start(WardenConfig {
                cgroup_dirs,
                ..config()
            })
            .unwrap();
            let data = directory_with("rows", "1\n");
            let jail = host_in(Jail::waiting(Waiting::AtTheGate));
            let guest = Guest::prepare(&warden, SLOT, jail);
            let attachment = Attachment::new(LIMITS);
            let attachment = attachment.read_only(data.path().into(), "/data".into());
            warden.attach(SLOT, attachment).unwrap();
            assert!(matches!(event(&warden), Event::Attached { .. }));
            let look = format!(
                "{PRELUDE}
print(open('/data/rows').read().strip(), attempt(open, '/data/rows', 'a'), attempt(os.mkdir, '/data/x'))"
            );
            let argv = ["/usr/bin/python3", "-I", "-S", "-c", &look].map(str::to_owned);
            let program = Program {
                argv: argv.to_vec(),
                ..Program::default()
            };
            warden.start_program(SLOT, program, None).unwrap();
            assert_eq!(guest.finish().text(), "1 EROFS EROFS");
        },
    );
}

#[test]
fn an_ordinary_user_cannot_write_what_it_owns_on_the_host() {
    as_nobody(
        "an_ordinary_user_cannot_write_what_it_owns_on_the_host",
        true,
        |cgroup_dirs| {
            let warden = Warden::start(WardenConfig {
                cgroup_dirs,
                ..config()
            })
            .unwrap();
            // The guest has the user's own id outside, so the directory is its own.
            let data = directory_with("rows", "1\n");
            let program = format!(
            "{PRELUDE}
print({{attempt(open, '/data/rows', 'a'), attempt(os.unlink, '/data/rows'), attempt(os.mkdir, '/data/x')}})
print({{attempt(os.chmod, '/data/rows', 0o777), attempt(os.utime, '/data/rows')}})
print({{attempt(os.open, f'/proc/self/fd/{{n}}', os.O_RDWR) for n in (0,)}} - {{'EPERM', 'EACCES'}})"
        );
            let jail = python(LIMITS, &program).read_only(data.path().into(), "/data".into());
            let ran = run_in(&warden, jail);
            let text = ran.text();
            assert!(
                !text.lines().take(2).any(|line| line.contains("allowed")),
                "{text}"
            );
            assert_eq!(
                std::fs::read_to_string(data.path().join("rows")).unwrap(),
                "1\n"
            );
            drop(warden);
        },
    );
}

#[test]
fn without_control_groups_an_ordinary_user_is_refused_by_name() {
    as_nobody(
        "without_control_groups_an_ordinary_user_is_refused_by_name",
        false,
        |_| {
            let warden = Warden::start(config()).unwrap();
            let missing = warden.kernel().missing().cloned().unwrap();
            assert_eq!(missing.name, "cgroup");
            assert!(missing.fix.unwrap().contains("Delegate=yes"));
            let others = warden
                .kernel()
                .walls
                .iter()
                .filter(|wall| wall.name != "cgroup");
            assert!(
                others.into_iter().all(|wall| wall.enforced),
                "{:?}",
                warden.kernel()
            );
            match shell(LIMITS, "true").seal(warden.kernel()) {
                Err(SealError::Wall { name, .. }) => assert_eq!(name, "cgroup"),
                _ => panic!("sealed without control groups"),
            }
            // Even a jail that was sealed elsewhere is refused.
            let elsewhere = strongroom_jail::Kernel {
                tier: strongroom_jail::Tier::Full,
                walls: Vec::new(),
                landlock_abi: 1,
                cgroup: "v2".to_owned(),
                ordinary_user: true,
            };
            warden
                .prepare(SLOT, shell(LIMITS, "true").seal(&elsewhere).unwrap())
                .unwrap();
            match cell::event(&warden) {
                strongroom_jail::Event::Refused { wall, .. } => assert_eq!(wall, "cgroup"),
                other => panic!("{other:?}"),
            }
        },
    );
}
