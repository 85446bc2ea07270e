//! Whoever is killed, nothing of a guest lives one second later, and the next
//! warden clears away what was left.
//!
//! For each kind of guest and each process that it depends on: a supervisor of
//! its own is started, its guest lives and means to for an hour, and one gets
//! SIGKILL. The ends of all processes in the guest's control group are measured
//! from outside, by descriptors that were opened before.
#![allow(clippy::unwrap_used)]

mod cell;
#[path = "cell/lag.rs"]
mod lag;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cell::{
    Guest, LIMITS, PATIENCE, SLOT, config, groups_named, host_in, python, run_in, soon,
    status_field,
};
use lag::Lag;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use strongroom_jail::{Jail, Open, Waiting, Warden, WardenConfig};

/// The promise.
const PROMISED: Duration = Duration::from_secs(1);
/// Set for the inner half, which is the supervisor.
const INNER: &str = "STRONGROOM_TEST_KILLED";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    AtTheGate,
    Launched,
    Client,
    Copied,
    CopiedAhead,
}
use Kind::{AtTheGate, Client, Copied, CopiedAhead, Launched, Plain};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Supervisor,
    Warden,
    SupervisorAndWarden,
    Keeper,
    Init,
    Guest,
    ZygotesKeeper,
    ZygotesInit,
}
use Victim::{Init, Keeper, Supervisor, SupervisorAndWarden, ZygotesInit, ZygotesKeeper};

const OF_ALL: [Victim; 6] = [
    Supervisor,
    Victim::Warden,
    SupervisorAndWarden,
    Keeper,
    Init,
    Victim::Guest,
];
const OF_COPIES: [Victim; 2] = [ZygotesKeeper, ZygotesInit];

/// A tree of four that leave their sessions and would live for an hour.
const TREE: &str = "
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        break
print('up', flush=True)
time.sleep(3600)";
/// The same under the small limits of a guest that waits.
const ALONE: &str = "
import time
print('up', flush=True)
time.sleep(3600)";

fn jail(kind: Kind) -> Jail<Open> {
    let waiting = |how| {
        let argv = ["/usr/bin/python3", "-I", "-S", "-c", ALONE].map(str::to_owned);
        host_in(Jail::waiting(how)).command(argv.to_vec(), "/tmp".into())
    };
    let of = config().zygote_slot(0);
    match kind {
        Plain => python(LIMITS, TREE),
        Client => python(LIMITS, TREE).gateway(),
        AtTheGate => host_in(Jail::waiting(Waiting::AtTheGate)),
        Launched => waiting(Waiting::Launched),
        Copied => python(LIMITS, "").copy_of(of).stdin(cell::input(TREE)),
        CopiedAhead => waiting(Waiting::Launched).copy_of(of),
    }
}

/// Sleeps in each copy that is made ahead of its work.
const ZYGOTE_OF_SLEEPERS: &str = "
import os, time
os.write(4, b'!')
os.read(4, 1)
if os.fork():
    os._exit(1)
time.sleep(3600)";

fn named(name: &str) -> Warden {
    Warden::start(WardenConfig {
        cgroup_name: name.to_owned(),
        ..config()
    })
    .unwrap()
}

/// The inner half: keeps one guest until somebody ends it.
fn supervise(kind: Kind, name: &str) {
    let warden = named(name);
    if matches!(kind, Copied | CopiedAhead) {
        let zygote = match kind {
            Copied => cell::zygote(),
            _ => {
                let argv = ["/usr/bin/python3", "-I", "-S", "-c", ZYGOTE_OF_SLEEPERS];
                let argv = argv.map(str::to_owned).to_vec();
                cell::host(LIMITS).command(argv, "/tmp".into()).zygote()
            }
        };
        Guest::prepare(&warden, config().zygote_slot(0), zygote).forget();
    }
    let mut guest = Guest::prepare(&warden, SLOT, jail(kind));
    if matches!(kind, Plain | Client | Copied) {
        guest.start();
    }
    if !matches!(kind, AtTheGate | CopiedAhead) {
        guest.wait_for("up");
    }
    let mut out = std::io::stdout();
    writeln!(out, "\nwarden {}", warden.process_id()).unwrap();
    out.flush().unwrap();
    // What it does when its guest ends is another test; here it only stays.
    let mut word = String::new();
    std::io::stdin().read_line(&mut word).unwrap();
}

struct Supervised {
    child: Child,
    /// Held, or its next word would end it.
    _out: BufReader<ChildStdout>,
    warden: i32,
}

impl Supervised {
    fn start(test: &str, kind: Kind, name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INNER, format!("{name} {kind:?}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Where groups lie is settled now, while we share ours as the child does:
        // the next warden has to look where its was.
        drop(config());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let warden = loop {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "{kind:?}: no guest");
            if let Some(pid) = line.trim_end().strip_prefix("warden ") {
                break pid.parse().unwrap();
            }
        };
        Self {
            child,
            _out: out,
            warden,
        }
    }
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn field(pid: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn comm(pid: i32) -> String {
    field(pid, "comm").trim_end().to_owned()
}

fn parent(pid: i32) -> i32 {
    let status = field(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.map_or(0, |pid| pid.trim().parse().unwrap())
}

fn below(top: i32) -> Vec<i32> {
    let mut found = vec![top];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let children = field(*pid, &format!("task/{pid}/children"));
        found.extend(
            children
                .split_whitespace()
                .map(|pid| pid.parse::<i32>().unwrap()),
        );
        next += 1;
    }
    found.split_off(1)
}

/// Everything that one guest is made of.
struct Processes {
    zygote: Option<i32>,
    keeper: i32,
    init: i32,
    guest: i32,
    /// In the guest's control group: its keeper, its init, itself and its tree.
    all: Vec<i32>,
}

impl Processes {
    /// As soon as all of it is there: nobody tells when a copy has been made.
    fn of(warden: i32, kind: Kind) -> Self {
        let begun = Instant::now();
        loop {
            match Self::seen(warden, kind) {
                Some(all) => return all,
                None => assert!(begun.elapsed() < PATIENCE, "{kind:?} is not whole"),
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn seen(warden: i32, kind: Kind) -> Option<Self> {
        let family = below(warden);
        let zygote = family
            .iter()
            .copied()
            .find(|pid| status_field(*pid, "TracerPid") != "0");
        let zygotes_group = zygote.map(|pid| field(pid, "cgroup"));
        let is_keeper = |pid: &&i32| {
            let group = field(**pid, "cgroup");
            let more = pids()
                .into_iter()
                .filter(|one| field(*one, "cgroup") == group);
            parent(**pid) == warden && Some(&group) != zygotes_group.as_ref() && 2 < more.count()
        };
        let keeper = *family.iter().find(is_keeper)?;
        let group = field(keeper, "cgroup");
        let all: Vec<i32> = pids()
            .into_iter()
            .filter(|pid| field(*pid, "cgroup") == group)
            .collect();
        let init = *all.iter().find(|pid| parent(**pid) == keeper)?;
        let above = match kind {
            Copied | CopiedAhead => parent(zygote?),
            _ => init,
        };
        let guest = *all.iter().find(|pid| parent(**pid) == above)?;
        (comm(init) == "strongroom-init").then_some(Self {
            zygote,
            keeper,
            init,
            guest,
            all,
        })
    }
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn ends(pids: &[i32]) -> Vec<OwnedFd> {
    pids.iter()
        .map(|pid| pidfd_open(Pid::from_raw(*pid).unwrap(), PidfdFlags::empty()).unwrap())
        .collect()
}

/// Waits until every one of these processes has ended.
fn wait_for(ends: &[OwnedFd], until: impl Fn() -> bool) -> bool {
    ends.iter().all(|end| {
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        loop {
            let mut one = [PollFd::new(end, PollFlags::IN)];
            if poll(&mut one, Some(&moment)).unwrap() == 1 {
                return true;
            }
            if !until() {
                return false;
            }
        }
    })
}

fn round(test: &str, kind: Kind, victim: Victim) {
    let name = format!("killed_{kind:?}_{victim:?}").to_lowercase();
    let mut supervised = Supervised::start(test, kind, &name);
    let processes = Processes::of(supervised.warden, kind);
    let supervisor = supervised.child.id().cast_signed();
    let lag = Lag::watch();
    let held = ends(&processes.all);
    let begun = Instant::now();
    match victim {
        Supervisor => kill(supervisor),
        Victim::Warden => kill(supervised.warden),
        SupervisorAndWarden => [supervised.warden, supervisor].into_iter().for_each(kill),
        Keeper => kill(processes.keeper),
        Init => kill(processes.init),
        Victim::Guest => kill(processes.guest),
        ZygotesInit => kill(parent(processes.zygote.unwrap())),
        ZygotesKeeper => kill(parent(parent(processes.zygote.unwrap()))),
    }
    let all_ended = wait_for(&held, || begun.elapsed() < lag.allowed(PROMISED));
    let took = begun.elapsed();
    assert!(
        all_ended,
        "{kind:?}, {victim:?}: not over after {took:?}; allowed are {:?}",
        lag.allowed(PROMISED)
    );
    supervised.child.kill().unwrap();
    supervised.child.wait().unwrap();
    soon("the warden's end", || {
        comm(supervised.warden).is_empty() || is_dead(supervised.warden)
    });
    let next = named(&name);
    assert_eq!(
        run_in(&next, python(LIMITS, "print('fine')")).text(),
        "fine"
    );
    drop(next);
    soon("the end of all groups", || groups_named(&name).is_empty());
}

/// Dead, and perhaps not reaped by the host's first process.
fn is_dead(pid: i32) -> bool {
    field(pid, "stat")
        .rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[track_caller]
fn nothing_lives_on(test: &str, kind: Kind, victims: &[Victim]) {
    if let Some(inner) = std::env::var_os(INNER) {
        let inner = inner.into_string().unwrap();
        return supervise(kind, inner.split_once(' ').unwrap().0);
    }
    for victim in victims {
        round(test, kind, *victim);
    }
}

macro_rules! kinds {
    ($( fn $test:ident($kind:ident); )*) => { $(
        #[test]
        fn $test() {
            let mut victims = OF_ALL.to_vec();
            if matches!($kind, Copied | CopiedAhead) {
                if cfg!(not(target_arch = "x86_64")) {
                    return;
                }
                victims.extend(OF_COPIES);
            }
            nothing_lives_on(stringify!($test), $kind, &victims);
        }
    )* };
}

kinds! {
    fn nothing_of_a_guest_lives_a_second_after_a_kill(Plain);
    fn nothing_of_a_guest_at_the_gate_lives_a_second_after_a_kill(AtTheGate);
    fn nothing_of_a_guest_that_waits_lives_a_second_after_a_kill(Launched);
    fn nothing_of_a_guest_with_a_gateway_lives_a_second_after_a_kill(Client);
    fn nothing_of_a_copy_lives_a_second_after_a_kill(Copied);
    fn nothing_of_a_copy_that_waits_lives_a_second_after_a_kill(CopiedAhead);
}
