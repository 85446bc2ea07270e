//! The same cage without root: an ordinary user with control groups of its own.
//!
//! The outer half of the test is root and prepares the groups; the inner half
//! is this very test, run again as the user `nobody`.
#![allow(clippy::unwrap_used)]

mod cell;

use cell::delegated::as_nobody;
use cell::{
    Guest, LIMITS, PRELUDE, SLOT, config, directory_with, event, host_in, python, run_in, shell,
};
use strongroom_jail::{
    Attachment, Event, Jail, Limits, Program, SealError, Status, Waiting, Warden, WardenConfig,
};

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
