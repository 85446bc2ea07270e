//! The files of one guest, by Landlock, which is the only wall around them here.
//!
//! Named are the runtime's folders to read and execute, the run's own folders
//! and those of the sandbox's own files to read, two to write, and four devices. What is not named cannot be
//! opened, listed, made, renamed or removed. Not `/dev/zero`: shared mappings
//! of it are memory that no census finds. Not `/proc`: it shows others.

use std::path::Path;

use landlock::{ABI, AccessFs, RulesetCreated};

use super::folder::Folder;
use crate::cage::landlock::{allow, everything, writing};
use crate::jail::Spec;
use crate::kernel::LANDLOCK;
use crate::mutation::{Part, stands};
use crate::protocol::{OrRefuse as _, Refusal};

const DEVICES: [&str; 4] = ["/dev/null", "/dev/full", "/dev/random", "/dev/urandom"];

/// The rules, not yet in force.
pub(super) fn prepare(spec: &Spec, folder: &Folder, abi: u32) -> Result<RulesetCreated, Refusal> {
    let abi = ABI::from(i32::try_from(abi).unwrap_or(0));
    let mut rules = everything(abi).or_refuse(LANDLOCK, "handle every right")?;
    if !stands(Part::LandlockFiles) {
        return Ok(rules);
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for mount in &spec.mounts {
        let access = match mount.is_executable() {
            true => read | AccessFs::Execute,
            false => read,
        };
        rules = allow(rules, &folder.seen(&mount.guest), access)?;
    }
    for path in folder.of_files(spec) {
        rules = allow(rules, &path, read)?;
    }
    for path in folder.writable() {
        rules = allow(rules, &path, writing(abi))?;
    }
    for device in DEVICES {
        rules = allow(
            rules,
            Path::new(device),
            AccessFs::ReadFile | AccessFs::WriteFile,
        )?;
    }
    Ok(rules)
}
