//! On a host that hides parts of its own `/proc`, as containers do, the kernel
//! allows no new one. Guests then do without, and their record says so.
#![allow(clippy::unwrap_used)]

mod cell;

use std::process::Command;

use cell::{LIMITS, PRELUDE, python, run_in, shell, warden};
use strongroom_jail::Status;

/// Set for the inner half, which runs where `/proc` is masked.
const INNER: &str = "STRONGROOM_TEST_MASKED";

#[test]
fn without_a_proc_of_its_own_a_guest_sees_less_and_works() {
    let test = "without_a_proc_of_its_own_a_guest_sees_less_and_works";
    if std::env::var_os(INNER).is_none() {
        let mask = "mount --bind /dev/null /proc/uptime && exec \"$@\"";
        let output = Command::new("unshare")
            .args(["--mount", "/bin/sh", "-c", mask, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INNER, "1")
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
        return;
    }
    let warden = warden();
    let proc = warden
        .kernel()
        .walls
        .iter()
        .find(|wall| wall.name == "proc")
        .unwrap();
    assert!(
        !proc.enforced && proc.fix.as_ref().unwrap().contains("unmasked"),
        "{proc:?}"
    );
    assert_eq!(warden.kernel().missing(), None);
    let program = format!(
        "{PRELUDE}import json, subprocess, threading, tempfile, sqlite3
print(attempt(os.listdir, '/proc'), attempt(os.stat, '/dev/fd'), sorted(os.listdir('/dev')))
print(subprocess.run(['/bin/echo', 'works'], capture_output=True, text=True).stdout)"
    );
    let ran = run_in(&warden, python(LIMITS, &program));
    let expected = "ENOENT ENOENT ['full', 'null', 'random', 'shm', 'urandom', 'zero']\nworks";
    assert_eq!(ran.text(), expected);
    assert!(!ran.enforced.proc && !ran.enforced.walls.contains(&"proc".to_owned()));
    assert_eq!(ran.enforced.tier, "full");
    assert_eq!(
        run_in(&warden, shell(LIMITS, "exit 3")).exit.status,
        Status::Exited(3)
    );
}
