//! Guests that are copies of a zygote: as confined as guests that were executed.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)]

mod cell;

use std::io::Write as _;

use cell::{Guest, LIMITS, Ran, config, python};
use strongroom_jail::{Jail, Open, SlotId, Status, Warden};

/// Loads nothing, stands still, and lets each copy run its standard input.
const ZYGOTE: &str = "
import os, sys, json
os.write(4, b'!')
os.read(4, 1)
if os.fork():
    os._exit(1)
exec(sys.stdin.read())
";

fn text(content: &str) -> std::os::fd::OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file.into()
}

fn zygote(warden: &Warden) -> (Guest<'_>, SlotId) {
    let slot = config().zygote_slot(0);
    let guest = Guest::prepare(warden, slot, python(LIMITS, ZYGOTE).zygote());
    (guest, slot)
}

fn copy(of: SlotId, program: &str) -> Jail<Open> {
    python(LIMITS, ZYGOTE).copy_of(of).stdin(text(program))
}

#[track_caller]
fn run(warden: &Warden, of: SlotId, program: &str) -> Ran {
    let guest = Guest::prepare(warden, SlotId(0), copy(of, program));
    guest.start();
    guest.finish()
}

#[test]
fn a_copy_runs_its_own_program_and_ends_with_its_own_code() {
    let warden = Warden::start(config()).unwrap();
    let (_zygote, slot) = zygote(&warden);
    let ran = run(&warden, slot, "print('hello', os.getpid(), os.getuid())");
    assert_eq!(ran.text(), "hello 2 1000");
    let ran = run(&warden, slot, "sys.exit(7)");
    assert_eq!(ran.exit.status, Status::Exited(7), "{ran:?}");
    let ran = run(&warden, slot, "os.kill(os.getpid(), 9)");
    assert_eq!(ran.exit.status, Status::Signaled(9), "{ran:?}");
}
