//! The functions of a test build, in which walls can be missing.

use std::process::Command;

use super::Part;

/// The environment variable whose lines name the walls to leave out.
pub const VARIABLE: &str = "STRONGROOM_REMOVED";
/// What a bound is multiplied with when it is left out.
const FAR: u64 = 256;
/// How the name of a filter's rule begins; its reason follows.
const RULE: &str = "Filter: ";

const PARTS: [Part; 47] = [
    Part::CgroupMemory,
    Part::CgroupProcesses,
    Part::CgroupProcessor,
    Part::UserNamespace,
    Part::OldRootDetached,
    Part::PidNamespace,
    Part::NetworkNamespace,
    Part::NetworkCounters,
    Part::IpcNamespace,
    Part::HostNameNamespace,
    Part::CgroupNamespace,
    Part::ReadOnlyOverlay,
    Part::ReadOnly,
    Part::NoSetuid,
    Part::NoDevices,
    Part::NoExecute,
    Part::NoLinks,
    Part::TmpfsBytes,
    Part::TmpfsFiles,
    Part::OwnDeviceNodes,
    Part::ProcOthersHidden,
    Part::ProcOnlyProcesses,
    Part::ResourceLimits,
    Part::CapabilityBounding,
    Part::CapabilitySets,
    Part::NoNewPrivileges,
    Part::Landlock,
    Part::LandlockFiles,
    Part::LandlockNetwork,
    Part::LandlockScopes,
    Part::DescriptorsClosed,
    Part::Seccomp,
    Part::NotDumpable,
    Part::OwnSession,
    Part::DeathSignal,
    Part::KillAtTheEnd,
    Part::SpeculationOff,
    Part::UserPerSlot,
    Part::TimeLimit,
    Part::DataApart,
    Part::CopyGroup,
    Part::CopyEnd,
    Part::ReducedFilter,
    Part::WatchMemory,
    Part::WatchProcesses,
    Part::WatchFiles,
    Part::Processors,
];

/// The name of everything that can be left out.
pub fn names() -> Vec<String> {
    let parts = PARTS.iter().map(|part| format!("{part:?}"));
    let rules = crate::seccomp::refusing_reasons();
    parts
        .chain(rules.map(|reason| format!("{RULE}{reason}")))
        .collect()
}

pub(crate) fn stands(part: Part) -> bool {
    is_standing(&format!("{part:?}"))
}

pub(crate) fn rule_stands(reason: &str) -> bool {
    is_standing(&format!("{RULE}{reason}"))
}

pub(crate) fn bound(part: Part, value: u64) -> u64 {
    if stands(part) {
        value
    } else {
        value.saturating_mul(FAR)
    }
}

/// The warden starts with an empty environment, and this.
pub(crate) fn hand_on(warden: &mut Command) {
    if let Ok(names) = std::env::var(VARIABLE) {
        warden.env(VARIABLE, names);
    }
}

fn is_standing(name: &str) -> bool {
    std::env::var(VARIABLE).map_or(true, |names| names.lines().all(|line| line != name))
}
