//! Whether the box is what was ordered, found by trying from inside.
//!
//! Each look is for one wall that the engine was asked to build. What cannot
//! be looked at counts as missing.

use std::fs;
use std::io;
use std::path::Path;

use super::measure::Group;
use super::words::Order;
use crate::kernel::{BOUNDED_TMPFS, NO_NEW_PRIVILEGES};
use crate::limits::Limits;
use crate::protocol::{OrRefuse as _, Refusal};

pub(super) const FIRST_PROCESS: &str = "first_process";
pub(super) const OWN_USER: &str = "own_user";
pub(super) const CONTROL_GROUP: &str = "control_group";
pub(super) const NO_NETWORK: &str = "no_network";
pub(super) const READ_ONLY_ROOT: &str = "read_only_root";
pub(super) const ENGINE_SECCOMP: &str = "engine_seccomp";

/// Where the guest may write, and nowhere else.
pub(super) const WRITABLE: [&str; 3] = ["/tmp", "/dev/shm", "/out"];
/// What the first process itself takes of the processes.
pub const PROCESSES_OWN: u32 = 1;
const TMPFS: i64 = 0x0102_1994;
const MIB: u64 = 1 << 20;

/// Looks at everything, and names the first wall that is missing.
pub(super) fn around(order: &Order, group: &Group) -> Result<(), Refusal> {
    user()?;
    status()?;
    control_group(&order.limits, group)?;
    network()?;
    root()?;
    for (path, bytes) in [
        ("/tmp", order.limits.tmp_bytes),
        ("/dev/shm", order.limits.tmp_bytes),
        ("/out", order.limits.out_bytes),
    ] {
        tmpfs(path, bytes)?;
    }
    Ok(())
}

fn user() -> Result<(), Refusal> {
    let ids = [
        rustix::process::getuid().as_raw(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getgid().as_raw(),
        rustix::process::getegid().as_raw(),
    ];
    match ids.contains(&0) {
        false => Ok(()),
        true => Err("it is root").or_refuse(OWN_USER, "be an unprivileged user"),
    }
}

/// What the kernel says of this process.
fn status() -> Result<(), Refusal> {
    let status = fs::read_to_string("/proc/self/status");
    let status = status.or_refuse(ENGINE_SECCOMP, "read its own status")?;
    let says = |key: &str, value: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.is_some_and(|found| found.trim() == value)
    };
    if !says("NoNewPrivs:", "1") {
        return Err("it was not asked for").or_refuse(NO_NEW_PRIVILEGES, "see it stand");
    }
    match says("Seccomp:", "2") {
        true => Ok(()),
        false => Err("there is none").or_refuse(ENGINE_SECCOMP, "see the engine's filter"),
    }
}

fn control_group(limits: &Limits, group: &Group) -> Result<(), Refusal> {
    let bounds = [
        ("memory", group.memory_bytes_max(), limits.memory_bytes),
        (
            "processes",
            group.processes_max(),
            u64::from(limits.processes + PROCESSES_OWN),
        ),
    ];
    for (what, found, asked) in bounds {
        match found {
            Some(found) if found <= asked => {}
            Some(found) => {
                return Err(format!(
                    "{what}: {asked} was asked for and {found} is there"
                ))
                .or_refuse(CONTROL_GROUP, "see its bounds");
            }
            None => {
                return Err(format!("{what} has no bound"))
                    .or_refuse(CONTROL_GROUP, "see its bounds");
            }
        }
    }
    // The kernel keeps whole microseconds of each period.
    match group.cpu_milli_max() {
        Some(found) if found <= u64::from(limits.cpu_milli) + 1 => Ok(()),
        other => Err(format!(
            "processor time: {} was asked for and {other:?} is there",
            limits.cpu_milli
        ))
        .or_refuse(CONTROL_GROUP, "see its bounds"),
    }
}

fn network() -> Result<(), Refusal> {
    let listed = fs::read_to_string("/proc/self/net/dev");
    let listed = listed.or_refuse(NO_NETWORK, "list the interfaces")?;
    let names = listed.lines().filter_map(|line| line.split_once(':'));
    let other = names
        .map(|(name, _)| name.trim())
        .find(|name| *name != "lo");
    match other {
        None => Ok(()),
        Some(other) => {
            Err(format!("there is the interface {other}")).or_refuse(NO_NETWORK, "see no interface")
        }
    }
}

fn root() -> Result<(), Refusal> {
    match fs::File::create_new("/.strongroom-look") {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        Err(error) => Err(error).or_refuse(READ_ONLY_ROOT, "see a read-only root"),
        Ok(_) => Err("it can be written").or_refuse(READ_ONLY_ROOT, "see a read-only root"),
    }
}

/// One page more than asked tells a full place from one over its bound.
fn tmpfs(path: &str, bytes: u64) -> Result<(), Refusal> {
    let place = Path::new(path);
    let found = rustix::fs::statfs(place).or_refuse(BOUNDED_TMPFS, path)?;
    #[allow(clippy::unnecessary_cast)]
    if found.f_type as i64 != TMPFS {
        return Err(format!("{path} is no memory of its own")).or_refuse(BOUNDED_TMPFS, "see it");
    }
    let size = found.f_blocks.saturating_mul(found.f_bsize.unsigned_abs());
    match 0 < size && size <= bytes + MIB && 0 < found.f_files {
        true => Ok(()),
        false => Err(format!(
            "{path} holds {size} bytes, and {bytes} were asked for"
        ))
        .or_refuse(BOUNDED_TMPFS, "see its bound"),
    }
}

/// Whether a bounded place went over its limit: what lies beyond it is taken.
pub(super) fn is_full(path: &str) -> bool {
    rustix::fs::statfs(Path::new(path)).is_ok_and(|found| found.f_bfree == 0 || found.f_ffree == 0)
}
