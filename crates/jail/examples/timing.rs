//! Times a slot's life, 100 times for each program: from the order to ready,
//! from the start to the end, and both. Back to back and after a pause, since
//! an idle kernel answers more slowly than a busy one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use strongroom_jail::{Event, Jail, Limits, Sealed, SlotId, Status, Warden, WardenConfig, warden};

const RUNS: usize = 100;
const SLOT: SlotId = SlotId(0);
const LIMITS: Limits = Limits {
    cpu_milli: 1000,
    memory_bytes: 128 << 20,
    wall_ms: 10_000,
    processes: 8,
    out_bytes: 1 << 20,
    out_files: 10,
    tmp_bytes: 1 << 20,
};

fn main() {
    warden::main_if_asked();
    let begun = Instant::now();
    let warden = Warden::start(WardenConfig::default()).unwrap();
    println!("start of the warden: {:?}", begun.elapsed());
    for pause_ms in [0, 50] {
        time(&warden, &["/usr/bin/true"], pause_ms);
        time(
            &warden,
            &["/usr/bin/python3", "-I", "-S", "-c", "pass"],
            pause_ms,
        );
    }
}

fn time(warden: &Warden, argv: &[&str], pause_ms: u64) {
    let mut spans: [Vec<Duration>; 3] = Default::default();
    for _ in 0..RUNS {
        let jail = jail(warden, argv);
        let asked = Instant::now();
        let _pipes = warden.prepare(SLOT, jail).unwrap();
        assert!(matches!(event(warden), Event::Ready { .. }));
        let ready = Instant::now();
        warden.start_slot(SLOT).unwrap();
        match event(warden) {
            Event::Exited { exit, .. } => assert_eq!(exit.status, Status::Exited(0)),
            other => panic!("{other:?}"),
        }
        let ended = Instant::now();
        spans[0].push(ready - asked);
        spans[1].push(ended - ready);
        spans[2].push(ended - asked);
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
    let [prepare, run, both] = spans.map(|mut span| {
        span.sort();
        format!("{:?} (p99 {:?})", span[RUNS / 2], span[RUNS - 2])
    });
    println!("{argv:?}, {pause_ms} ms apart: prepare {prepare}, run {run}, both {both}");
}

fn jail(warden: &Warden, argv: &[&str]) -> Jail<Sealed> {
    let mut jail = Jail::new(LIMITS).runtime("/usr".into(), "/usr".into());
    for name in ["bin", "lib", "lib64"] {
        jail = jail.symlink(format!("/{name}").into(), format!("usr/{name}").into());
    }
    let argv = argv.iter().map(|one| (*one).to_owned()).collect();
    jail.command(argv, "/".into())
        .seal(warden.kernel())
        .unwrap()
}

fn event(warden: &Warden) -> Event {
    loop {
        if let Some(event) = warden.receive().unwrap() {
            return event;
        }
        poll(&mut [PollFd::new(warden, PollFlags::IN)], None).unwrap();
    }
}
