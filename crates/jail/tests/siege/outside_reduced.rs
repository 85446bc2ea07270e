//! What the kernel says about living guests of the tier `reduced`.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use strongroom_jail::{SlotId, Warden, WardenConfig};

use super::outside::{asleep, found};
use super::{Kind, LIMITS};
use crate::cell::{Guest, python, status_field};
use crate::judge::Judged;

/// How long a guest may live on without its keeper.
const SOON_S: i64 = 10;

/// Everything that can be seen of two living guests.
pub fn looked_at(config: &WardenConfig) -> Vec<Judged> {
    let warden = Warden::start(config.clone()).unwrap();
    let (one, first) = asleep(&warden, 0, Kind::Reduced);
    let (other, second) = asleep(&warden, 1, Kind::Reduced);
    let mut judged = Vec::new();
    let (ours, theirs) = (status_field(one, "Uid"), status_field(other, "Uid"));
    let apart = ours != theirs && !ours.starts_with("0\t");
    let users = "each run has a user of its own";
    found(&mut judged, users, apart, format!("{ours}, {theirs}"));
    for (what, set) in [
        ("it holds no capability", "CapEff"),
        ("it is permitted no capability", "CapPrm"),
        ("it can gain no capability", "CapBnd"),
    ] {
        let held = status_field(one, set);
        found(&mut judged, what, held.trim_matches('0').is_empty(), held);
    }
    let fixed = status_field(one, "NoNewPrivs");
    found(
        &mut judged,
        "no program gives it privileges",
        fixed == "1",
        fixed,
    );
    let filters = status_field(one, "Seccomp_filters");
    found(
        &mut judged,
        "it lives under two filters",
        filters == "2",
        filters,
    );
    let processors = status_field(one, "Cpus_allowed_list");
    let narrow = LIMITS.cpu_milli == 1000 && processors.parse::<u32>().is_ok();
    found(&mut judged, "it has one processor", narrow, processors);
    let open = fs::read_dir(format!("/proc/{one}/fd")).unwrap().count();
    found(&mut judged, "it holds descriptors 0 to 3", open <= 4, open);
    signals(&mut judged, &warden, one);
    let third = before_its_start(&mut judged, &warden, one);
    orphaned(&mut judged, &warden, other);
    for guest in [first, second, third] {
        guest.forget();
    }
    judged
}

/// Whether a guest may signal another run's.
fn signals(judged: &mut Vec<Judged>, warden: &Warden, neighbour: i32) {
    let program = format!(
        "import os
try: os.kill({neighbour}, 0); print('allowed')
except OSError as error: print(error)"
    );
    let asks = Guest::prepare(warden, SlotId(3), python(LIMITS, &program));
    asks.start();
    let said = asks.finish();
    let held = !said.text().contains("allowed");
    found(judged, "it signals no other run", held, said.text());
}

/// What becomes the guest, inside of every wall and not executed yet: that act
/// takes away more.
fn before_its_start<'a>(judged: &mut Vec<Judged>, warden: &'a Warden, neighbour: i32) -> Guest<'a> {
    let guest = Guest::prepare(warden, SlotId(2), python(LIMITS, "pass"));
    let known: i32 = status_field(neighbour, "PPid").parse().unwrap();
    let above: i32 = status_field(known, "PPid").parse().unwrap();
    let newest = children(above).into_iter().max().unwrap();
    let worker = children(newest)[0];
    let held = status_field(worker, "CapEff") + &status_field(worker, "CapPrm");
    let empty = held.trim_matches('0').is_empty();
    found(
        judged,
        "it holds no capability before its start",
        empty,
        held,
    );
    let open = fs::read_dir(format!("/proc/{worker}/fd")).unwrap().count();
    // Those of the guest, and one to be told by.
    let few = "it holds its own descriptors and one before its start";
    found(judged, few, open <= 5, open);
    guest
}

fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let pids = text.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.collect()
}

/// Whether a guest ends when its keeper does, with nobody left who would end it.
fn orphaned(judged: &mut Vec<Judged>, warden: &Warden, guest: i32) {
    let end = pidfd_open(Pid::from_raw(guest).unwrap(), PidfdFlags::empty()).unwrap();
    let keeper = status_field(guest, "PPid").parse().unwrap();
    let keeper = Pid::from_raw(keeper).unwrap();
    let warden = Pid::from_raw(warden.process_id().cast_signed()).unwrap();
    kill_process(keeper, Signal::STOP).unwrap();
    kill_process(warden, Signal::KILL).unwrap();
    kill_process(keeper, Signal::KILL).unwrap();
    let mut ends = [rustix::event::PollFd::new(
        &end,
        rustix::event::PollFlags::IN,
    )];
    let soon = rustix::event::Timespec {
        tv_sec: SOON_S,
        tv_nsec: 0,
    };
    let ended = rustix::event::poll(&mut ends, Some(&soon)).unwrap() == 1;
    found(judged, "it ends with its keeper", ended, guest);
    if !ended {
        kill_process(Pid::from_raw(guest).unwrap(), Signal::KILL).unwrap();
    }
}
