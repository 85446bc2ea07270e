//! Times the parts of a slot's life: prepare to ready, start to end, both.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
use rustix::event::{PollFd, PollFlags, poll};
use std::time::{Duration, Instant};
use strongroom_jail::*;
fn event(w: &Warden) -> Event {
    loop {
        if let Some(e) = w.receive().unwrap() {
            return e;
        }
        let mut p = [PollFd::new(w, PollFlags::IN)];
        poll(&mut p, None).unwrap();
    }
}
fn main() {
    warden::main_if_asked();
    let t = Instant::now();
    let w = Warden::start(WardenConfig::default()).unwrap();
    println!("warden start {:?}", t.elapsed());
    if let Some(x) = w.kernel().missing() {
        println!("{x:?}");
        return;
    }
    for (argv, gap) in [
        (vec!["/usr/bin/true"], 0),
        (vec!["/usr/bin/true"], 50),
        (vec!["/usr/bin/python3", "-I", "-S", "-c", "pass"], 0),
        (vec!["/usr/bin/python3", "-I", "-S", "-c", "pass"], 50),
    ] {
        let mut all = vec![vec![], vec![], vec![]];
        for _ in 0..100 {
            let mut j = Jail::new(Limits {
                cpu_milli: 1000,
                memory_bytes: 128 << 20,
                wall_ms: 10000,
                processes: 8,
                out_bytes: 1 << 20,
                out_files: 10,
                tmp_bytes: 1 << 20,
            })
            .runtime("/usr".into(), "/usr".into());
            for n in ["bin", "lib", "lib64"] {
                j = j.symlink(format!("/{n}").into(), format!("usr/{n}").into());
            }
            let j = j
                .command(argv.iter().map(|s| s.to_string()).collect(), "/".into())
                .seal(w.kernel())
                .unwrap();
            let a = Instant::now();
            let _p = w.prepare(SlotId(0), j).unwrap();
            match event(&w) {
                Event::Ready { .. } => {}
                o => panic!("{o:?}"),
            }
            let b = Instant::now();
            w.start_slot(SlotId(0)).unwrap();
            match event(&w) {
                Event::Exited { exit, .. } => assert_eq!(exit.status, Status::Exited(0)),
                o => panic!("{o:?}"),
            }
            let c = Instant::now();
            all[0].push(b - a);
            all[1].push(c - b);
            all[2].push(c - a);
            std::thread::sleep(Duration::from_millis(gap));
        }
        for v in &mut all {
            v.sort();
        }
        println!(
            "{argv:?} gap {gap}: ready {:?} run {:?} both {:?} p99 {:?}",
            all[0][50], all[1][50], all[2][50], all[2][98]
        );
    }
}
