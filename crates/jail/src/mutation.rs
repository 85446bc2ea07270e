//! Walls that a test build can leave out, one at a time, to see who misses them.
//!
//! Only the cargo feature `mutation` gives these functions any effect, and it
//! refuses to exist in a release build; otherwise every wall stands, as a
//! constant that compiles away. The names of the walls to leave out are the
//! lines of one environment variable, read by the supervisor and handed to its
//! warden. Deliberately absent: leaving out the mount namespace, without which
//! building a sandbox would change the host.

use rustix::mount::MountAttrFlags;

#[cfg(all(feature = "mutation", not(debug_assertions)))]
compile_error!("the feature `mutation` takes walls away and is for debug builds only");

/// What can be left out, apart from single rules of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    CgroupMemory,
    CgroupProcesses,
    CgroupProcessor,
    UserNamespace,
    OldRootDetached,
    PidNamespace,
    NetworkNamespace,
    NetworkCounters,
    IpcNamespace,
    HostNameNamespace,
    CgroupNamespace,
    ReadOnlyOverlay,
    ReadOnly,
    NoSetuid,
    NoDevices,
    NoExecute,
    NoLinks,
    TmpfsBytes,
    TmpfsFiles,
    OwnDeviceNodes,
    ProcOthersHidden,
    ProcOnlyProcesses,
    ResourceLimits,
    CapabilityBounding,
    CapabilitySets,
    NoNewPrivileges,
    Landlock,
    LandlockFiles,
    LandlockNetwork,
    LandlockScopes,
    DescriptorsClosed,
    Seccomp,
    NotDumpable,
    OwnSession,
    DeathSignal,
    KillAtTheEnd,
    SpeculationOff,
    UserPerSlot,
    TimeLimit,
    DataApart,
    CopyGroup,
    CopyEnd,
    ReducedFilter,
    WatchMemory,
    WatchProcesses,
    WatchFiles,
    Processors,
}

/// The flags of a mount, without those that are left out.
pub(crate) fn mount_flags(wanted: MountAttrFlags) -> MountAttrFlags {
    [
        (Part::ReadOnly, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (Part::NoSetuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (Part::NoDevices, MountAttrFlags::MOUNT_ATTR_NODEV),
        (Part::NoExecute, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (Part::NoLinks, MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
    ]
    .into_iter()
    .filter(|(part, _)| !stands(*part))
    .fold(wanted, |flags, (_, flag)| flags.difference(flag))
}

#[cfg(not(feature = "mutation"))]
mod standing {
    use super::Part;

    pub(crate) const fn stands(_part: Part) -> bool {
        true
    }

    pub(crate) const fn rule_stands(_reason: &str) -> bool {
        true
    }

    pub(crate) const fn bound(_part: Part, value: u64) -> u64 {
        value
    }

    pub(crate) const fn hand_on(_warden: &mut std::process::Command) {}
}

#[cfg(feature = "mutation")]
mod removed;

#[cfg(feature = "mutation")]
pub use removed::{VARIABLE, names};
#[cfg(feature = "mutation")]
pub(crate) use removed::{bound, hand_on, rule_stands, stands};
#[cfg(not(feature = "mutation"))]
pub(crate) use standing::{bound, hand_on, rule_stands, stands};
