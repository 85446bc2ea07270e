//! Landlock: a second wall around files, the network and signals.
//!
//! Every right that this kernel's version knows is handled, by hard
//! requirement, and a few are given back: reading everywhere in the private
//! root, executing in runtimes, writing plain files and directories where the
//! guest may write, and the port of a gateway where there is one. Never given:
//! executing what was written, links, devices, sockets, pipes with names, and
//! any other port.

use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};

use crate::jail::{GATEWAY, Spec};
use crate::kernel::LANDLOCK;
use crate::mutation::{Part, stands};
use crate::protocol::{OrRefuse as _, Refusal};

/// The directories where a guest may write.
const WRITABLE: [&str; 3] = ["/tmp", "/out", "/dev/shm"];

/// The rules of one guest, not yet in force. Needs the root in place.
pub(super) fn prepare(spec: &Spec, abi: u32) -> Result<RulesetCreated, Refusal> {
    let abi = ABI::from(i32::try_from(abi).unwrap_or(0));
    let rules = everything(abi).or_refuse(LANDLOCK, "handle every right")?;
    if !stands(Part::LandlockFiles) {
        return Ok(rules);
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = allow(rules, Path::new("/"), read)?;
    for mount in spec.mounts.iter().filter(|mount| mount.is_executable()) {
        rules = allow(rules, &mount.guest, read | AccessFs::Execute)?;
    }
    for path in WRITABLE {
        rules = allow(rules, Path::new(path), writing(abi))?;
    }
    // The five device nodes; the directory itself is on a read-only mount.
    let rules = allow(rules, Path::new("/dev"), read | AccessFs::WriteFile)?;
    match spec.gateway && !AccessNet::from_all(abi).is_empty() && stands(Part::LandlockNetwork) {
        true => rules
            .add_rule(NetPort::new(GATEWAY.port(), AccessNet::ConnectTcp))
            .or_refuse(LANDLOCK, "allow the gateway's port"),
        false => Ok(rules),
    }
}

/// The rules of a copy, which its zygote's keeper puts in force.
pub(super) fn rules(spec: &Spec, abi: u32) -> Result<OwnedFd, Refusal> {
    Option::<OwnedFd>::from(prepare(spec, abi)?)
        .ok_or("the kernel gave no ruleset")
        .or_refuse(LANDLOCK, "make the rules of a copy")
}

/// Puts the rules in force for this process and all it starts.
pub(crate) fn enforce(rules: RulesetCreated) -> Result<(), Refusal> {
    // The kernel takes no Landlock rules from those who may gain privileges.
    if !stands(Part::Landlock) || !stands(Part::NoNewPrivileges) {
        return Ok(());
    }
    let status = rules
        .restrict_self()
        .or_refuse(LANDLOCK, "restrict the worker")?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        other => Err(format!("{other:?}")).or_refuse(LANDLOCK, "enforce every right"),
    }
}

pub(crate) fn everything(abi: ABI) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if stands(Part::LandlockFiles) {
        rules = rules.handle_access(AccessFs::from_all(abi))?;
    }
    if !AccessNet::from_all(abi).is_empty() && stands(Part::LandlockNetwork) {
        rules = rules.handle_access(AccessNet::from_all(abi))?;
    }
    if !Scope::from_all(abi).is_empty() && stands(Part::LandlockScopes) {
        rules = rules.scope(Scope::from_all(abi))?;
    }
    rules.create()
}

pub(crate) fn writing(abi: ABI) -> BitFlags<AccessFs> {
    let wanted = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::RemoveDir
        | AccessFs::RemoveFile
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::Refer
        | AccessFs::Truncate;
    wanted & AccessFs::from_all(abi)
}

pub(crate) fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Refusal> {
    let place = PathFd::new(path).or_refuse(LANDLOCK, "open a directory for its rule")?;
    rules
        .add_rule(PathBeneath::new(place, access))
        .or_refuse(LANDLOCK, "add a rule")
}
