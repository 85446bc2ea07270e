//! What can be sealed and what cannot.
#![allow(clippy::unwrap_used)]

use rustix::fs::MemfdFlags;

use super::*;
use crate::Tier;
use crate::kernel;

const LIMITS: Limits = Limits {
    cpu_milli: 1000,
    memory_bytes: 64 << 20,
    wall_ms: 1000,
    processes: 8,
    out_bytes: 1 << 20,
    out_files: 8,
    tmp_bytes: 1 << 20,
};

fn kernel() -> Kernel {
    let walls = kernel::walls(&kernel::WALLS, &Ok(true), None, 7);
    Kernel {
        tier: Tier::Full,
        walls,
        landlock_abi: 7,
        cgroup: "v2".to_owned(),
        ordinary_user: false,
    }
}

fn jail() -> Jail<Open> {
    Jail::new(LIMITS)
        .runtime("/usr".into(), "/usr".into())
        .command(vec!["/usr/bin/true".to_owned()], "/".into())
}

#[track_caller]
fn refuses(jail: Jail<Open>, why: &str) {
    let error = jail
        .seal(&kernel())
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(error.contains(why), "{error:?} does not contain {why:?}");
}

#[test]
fn a_plain_jail_seals() {
    drop(jail().seal(&kernel()).unwrap());
}

#[test]
fn a_guest_path_cannot_leave_its_root() {
    for path in [
        "data",
        "/data/..",
        "/data/./x",
        "/data//x",
        "/data/",
        "/../x",
    ] {
        refuses(
            jail().read_only("/srv".into(), path.into()),
            "not absolute and normal",
        );
    }
    refuses(
        jail().read_only("srv".into(), "/data".into()),
        "not absolute and normal",
    );
}

#[test]
fn guest_paths_do_not_overlap_each_other_or_the_jails_own() {
    for path in [
        "/",
        "/usr",
        "/usr/lib",
        "/proc",
        "/dev/shm",
        "/out",
        "/tmp/x",
        "/.stage/0",
    ] {
        refuses(jail().read_only("/srv".into(), path.into()), "overlaps");
    }
    refuses(jail().file("/usr/x".into(), Vec::new()), "overlaps");
    refuses(jail().symlink("/tmp".into(), "usr".into()), "overlaps");
}

#[test]
fn the_program_is_named_by_its_full_path() {
    for program in ["true", "", "/usr/bin/../bin/true", "/usr/bin/tr\0ue"] {
        refuses(
            jail().command(vec![program.to_owned()], "/".into()),
            "absolute program",
        );
    }
    refuses(Jail::new(LIMITS), "absolute program");
}

#[test]
fn a_variable_needs_a_name() {
    for name in ["", "A=B", "A\0"] {
        refuses(jail().env(name.to_owned(), String::new()), "is not a name");
    }
}

#[test]
fn every_limit_has_bounds() {
    let mut limits = LIMITS;
    limits.out_files = 0;
    refuses(Jail::new(limits), "out_files is 0");
    limits = LIMITS;
    limits.memory_bytes = (8 << 20) - 1;
    refuses(Jail::new(limits), "memory_bytes");
    limits = LIMITS;
    limits.wall_ms = 0;
    refuses(Jail::new(limits), "wall_ms is 0");
}

#[test]
fn a_description_has_a_length() {
    refuses(
        jail().file("/etc/x".into(), vec![0; wire::FRAME_BYTES_MAX]),
        "at most",
    );
    let many = (0..=ENTRIES_MAX).fold(jail(), |jail, n| jail.env(format!("V{n}"), String::new()));
    refuses(many, &format!("at most {ENTRIES_MAX} variables"));
}

#[test]
fn a_missing_wall_is_named_with_its_fix() {
    let refusal = crate::protocol::Refusal {
        wall: "cgroup".into(),
        detail: "no memory".into(),
    };
    let kernel = Kernel {
        tier: Tier::Full,
        walls: kernel::walls(&kernel::WALLS, &Err(refusal), None, 7),
        ..kernel()
    };
    match jail().seal(&kernel) {
        Err(SealError::Wall { name, why, fix }) => {
            assert_eq!((name.as_str(), why.as_str()), ("cgroup", "no memory"));
            assert!(fix.unwrap().contains("Delegate=yes"));
        }
        _ => panic!("sealed without a wall"),
    }
}

#[test]
fn a_guest_without_proc_is_not_refused() {
    let kernel = Kernel {
        tier: Tier::Full,
        walls: kernel::walls(&kernel::WALLS, &Ok(false), None, 7),
        ..kernel()
    };
    assert!(
        kernel
            .walls
            .iter()
            .any(|wall| wall.name == "proc" && !wall.enforced)
    );
    drop(jail().seal(&kernel).unwrap());
}

#[test]
fn input_becomes_sealed_memory_open_for_reading_only() {
    use std::io::{Seek as _, Write as _};
    // A file of a tmpfs answers to seals but takes none.
    for place in ["/tmp", "/dev/shm"] {
        let mut file = tempfile::tempfile_in(place).unwrap();
        file.write_all(b"{}").unwrap();
        file.rewind().unwrap();
        input_is_sealed(file.into());
    }
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let memory = rustix::fs::memfd_create("x", flags).unwrap();
    rustix::io::write(&memory, b"{}").unwrap();
    input_is_sealed(memory);
}

#[track_caller]
fn input_is_sealed(file: OwnedFd) {
    use std::io::{Read as _, Write as _};
    let (_, stdin, _) = jail().stdin(file).seal(&kernel()).unwrap().into_parts();
    let mut stdin = std::fs::File::from(stdin);
    let mut text = String::new();
    stdin.read_to_string(&mut text).unwrap();
    assert_eq!(text, "{}");
    assert!(stdin.write_all(b"x").is_err());
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stdin));
    let mut again = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    assert!(
        again.write_all(b"x").is_err(),
        "the seal holds when opened anew"
    );
}
