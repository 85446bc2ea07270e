//! Giving up every privilege, in the one order that works.
//!
//! The bounding set goes first, while the right to drop it is still held;
//! afterwards the kernel would refuse, and a program that does not look would
//! not notice. So everything is read back at the end.

use std::io;

use rustix::process::{Pid, Resource, Rlimit};

use crate::limits::Limits;
use crate::mutation::{Part, stands};
use crate::protocol::{OrRefuse as _, Refusal};
use crate::{kernel, syscall};

const PR_CAPBSET_READ: i32 = 23;
pub(super) const PR_CAPBSET_DROP: i32 = 24;
pub(super) const PR_SET_SECUREBITS: i32 = 28;
const PR_SET_NO_NEW_PRIVS: i32 = 38;
const PR_GET_NO_NEW_PRIVS: i32 = 39;
const PR_CAP_AMBIENT: i32 = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: u64 = 4;
const PR_SET_SPECULATION_CTRL: i32 = 53;
const PR_SPEC_STORE_BYPASS: u64 = 0;
const PR_SPEC_INDIRECT_BRANCH: u64 = 1;
const PR_SPEC_FORCE_DISABLE: u64 = 8;
/// Capabilities ever numbered; the kernel answers EINVAL past its last.
const CAPABILITIES_MAX: u64 = 64;

/// KEEP_CAPS, for the moment in which init becomes its user.
const KEEP: u64 = 1 << 4;
/// NO_SETUID_FIXUP, for the moment in which root becomes another user.
const NO_FIXUP: u64 = 1 << 2;
/// NOROOT, NO_SETUID_FIXUP, no KEEP_CAPS, NO_CAP_AMBIENT_RAISE; all locked.
pub(super) const LOCKED: u64 = 0b1110_1111;

/// Becomes the one mapped user and group, keeping the namespace's capabilities.
pub(super) fn become_user(id: u32) -> io::Result<()> {
    syscall::prctl(PR_SET_SECUREBITS, KEEP, 0)?;
    syscall::set_ids(id, id)
}

/// Lets capabilities survive the change from root to another user, so that
/// they can be given up in order.
pub(crate) fn keep_through_change() -> io::Result<()> {
    syscall::prctl(PR_SET_SECUREBITS, NO_FIXUP, 0).map(drop)
}

/// For an ordinary user, who holds no capability and could drop none from the
/// bounding set: what it could gain, no program can give any more.
pub(crate) fn drop_held() -> Result<(), Refusal> {
    let wall = kernel::CAPABILITIES;
    syscall::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0)
        .or_refuse(wall, "clear the ambient set")?;
    syscall::drop_capabilities().or_refuse(wall, "give up capabilities")?;
    syscall::prctl(PR_SET_NO_NEW_PRIVS, 1, 0)
        .or_refuse(kernel::NO_NEW_PRIVILEGES, "forbid new privileges")?;
    match syscall::capabilities().or_refuse(wall, "look at capabilities")? {
        [0, 0, 0, 0, 0, 0] => Ok(()),
        _ => Err("some capability is left").or_refuse(wall, "see that all capabilities are gone"),
    }
}

/// No capability in any set, and no way back.
pub(crate) fn drop_all() -> Result<(), Refusal> {
    let wall = kernel::CAPABILITIES;
    for capability in 0..CAPABILITIES_MAX {
        if !stands(Part::CapabilityBounding) {
            break;
        }
        match syscall::prctl(PR_CAPBSET_DROP, capability, 0) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error).or_refuse(wall, "empty the bounding set"),
        }
    }
    syscall::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0)
        .or_refuse(wall, "clear the ambient set")?;
    syscall::prctl(PR_SET_SECUREBITS, LOCKED, 0).or_refuse(wall, "lock the secure bits")?;
    if stands(Part::CapabilitySets) {
        syscall::drop_capabilities().or_refuse(wall, "give up capabilities")?;
    }
    if stands(Part::NoNewPrivileges) {
        syscall::prctl(PR_SET_NO_NEW_PRIVS, 1, 0)
            .or_refuse(kernel::NO_NEW_PRIVILEGES, "forbid new privileges")?;
    }
    look_back().or_refuse(wall, "see that all capabilities are gone")
}

/// How many capabilities this kernel knows.
pub(super) fn capabilities_known() -> u64 {
    let known = |capability: &u64| syscall::prctl(PR_CAPBSET_READ, *capability, 0).is_ok();
    (0..CAPABILITIES_MAX).take_while(known).count() as u64
}

fn look_back() -> io::Result<()> {
    if stands(Part::CapabilitySets) && syscall::capabilities()? != [0; 6] {
        return Err(io::Error::other("some capability is left"));
    }
    for capability in 0..CAPABILITIES_MAX {
        match syscall::prctl(PR_CAPBSET_READ, capability, 0) {
            Ok(0) => {}
            Ok(_) if stands(Part::CapabilityBounding) => {
                return Err(io::Error::other("the bounding set is not empty"));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    match syscall::prctl(PR_GET_NO_NEW_PRIVS, 0, 0)? {
        1 => Ok(()),
        _ if !stands(Part::NoNewPrivileges) => Ok(()),
        _ => Err(io::Error::other("new privileges are possible")),
    }
}

/// Hides this process's memory from others of its user, until an exec.
pub(crate) fn hide_memory() -> Result<(), Refusal> {
    if !stands(Part::NotDumpable) {
        return Ok(());
    }
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .or_refuse(kernel::CAPABILITIES, "hide the memory")
}

/// Turns speculation off where this processor and kernel let a process do so;
/// where they do not, it is off for all or cannot be switched.
pub(crate) fn stop_speculation() {
    if !stands(Part::SpeculationOff) {
        return;
    }
    for feature in [PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH] {
        let _ = syscall::prctl(PR_SET_SPECULATION_CTRL, feature, PR_SPEC_FORCE_DISABLE);
    }
}

const MIB: u64 = 1 << 20;

/// The resource limits of each process, a second fence behind the group's.
pub(super) fn limit_resources(limits: &Limits) -> Result<(), Refusal> {
    set_limits(&resource_rows(limits, processes_of_user(limits)))
}

/// Those of a guest that waits. What depends on the limits of its work can
/// still be set higher, by the kernel's rule only up to a maximum given here.
pub(super) fn limit_resources_for_now(limits: &Limits) -> Result<(), Refusal> {
    set_limits(&of_every_guest())?;
    of_limits(limits, processes_of_user(limits))
        .into_iter()
        .try_for_each(|(resource, value)| set(resource, bounded(resource, value, u64::MAX)))
}

/// Those that depend on the limits of its work, for a guest that waited.
pub(super) fn limit_resources_of(worker: Pid, limits: &Limits) -> Result<(), Refusal> {
    for (resource, value) in of_limits(limits, processes_of_user(limits)) {
        if stands(Part::ResourceLimits) {
            rustix::process::prlimit(Some(worker), resource, bounded(resource, value, value))
                .or_refuse(kernel::RESOURCE_LIMITS, "set a limit of the worker")?;
        }
    }
    Ok(())
}

/// Every one of a copy, or of the zygote that is copied: whatever a library
/// did to its own while it loaded.
pub(super) fn limit_resources_of_copy(
    process: i32,
    limits: &Limits,
    waits: bool,
) -> io::Result<()> {
    let process = Pid::from_raw(process).ok_or(io::ErrorKind::NotFound)?;
    let maximum = |value| if waits { u64::MAX } else { value };
    let every = of_every_guest().map(|(resource, value)| (resource, value, value));
    let own = of_limits(limits, processes_of_user(limits))
        .map(|(resource, value)| (resource, value, maximum(value)));
    for (resource, current, maximum) in every.into_iter().chain(own) {
        if stands(Part::ResourceLimits) {
            let limit = bounded(resource, current, maximum);
            rustix::process::prlimit(Some(process), resource, limit)?;
        }
    }
    Ok(())
}

/// Above the group's limit, which is the one that counts refusals.
fn processes_of_user(limits: &Limits) -> u64 {
    u64::from(limits.processes) + 64
}

/// What each process may use; `processes` counts all of its user's.
pub(crate) fn resource_rows(limits: &Limits, processes: u64) -> Vec<(Resource, u64)> {
    let every = of_every_guest().into_iter();
    every.chain(of_limits(limits, processes)).collect()
}

/// Sets each limit, for good.
pub(crate) fn set_limits(rows: &[(Resource, u64)]) -> Result<(), Refusal> {
    rows.iter()
        .try_for_each(|(resource, value)| set(*resource, bounded(*resource, *value, *value)))
}

fn set(resource: Resource, limit: Rlimit) -> Result<(), Refusal> {
    if !stands(Part::ResourceLimits) {
        return Ok(());
    }
    rustix::process::setrlimit(resource, limit)
        .or_refuse(kernel::RESOURCE_LIMITS, "set a resource limit")
}

/// Ours may be lower already, and only root could raise it.
fn bounded(resource: Resource, current: u64, maximum: u64) -> Rlimit {
    let ours = rustix::process::getrlimit(resource)
        .maximum
        .unwrap_or(u64::MAX);
    let or_none = |value: u64| Some(value.min(ours)).filter(|value| *value != u64::MAX);
    Rlimit {
        current: or_none(current),
        maximum: or_none(maximum),
    }
}

fn of_every_guest() -> [(Resource, u64); 8] {
    [
        // 1 and not 0: the kernel pipes to a core handler even at 0, never at 1.
        (Resource::Core, 1),
        (Resource::Nofile, 256),
        (Resource::Memlock, 64 * 1024),
        (Resource::Msgqueue, 0),
        (Resource::Rtprio, 0),
        (Resource::Nice, 0),
        (Resource::Sigpending, 256),
        (Resource::Stack, 16 * MIB),
    ]
}

fn of_limits(limits: &Limits, processes: u64) -> [(Resource, u64); 3] {
    // Above every bound that answers "no space": this one kills by signal.
    let largest_file = limits
        .out_bytes
        .max(limits.tmp_bytes)
        .max(limits.memory_bytes)
        + MIB;
    // Processor seconds of one process: all processors, the whole time, and some.
    let cpu_s = (limits.wall_ms / 1000 + 1) * u64::from(limits.cpu_milli / 1000 + 1) + 5;
    [
        (Resource::Fsize, largest_file),
        (Resource::Cpu, cpu_s),
        (Resource::Nproc, processes),
    ]
}
