//! A job: a plan together with where its parts lie on this host.
//!
//! A job without a permit for its plan goes nowhere. What the plan leaves
//! open (the paths) changes nothing about what the guest sees.

use std::{collections::BTreeSet, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use rustix::fs::{MemfdFlags, SealFlags};
use strongroom_core::{
    json,
    limits::Limits,
    name::Name,
    permit::Permit,
    plan::{Inputs, Plan},
    tree::TreePath,
};
use strongroom_jail::{Jail, Open};

use crate::{
    prepare::PrepareError,
    runtime::{FUNCTION, Furniture, Runtimes},
};

/// A plan, and where its parts lie on this host.
#[derive(Debug)]
pub struct Job {
    pub plan: Plan,
    /// The function's file that is run.
    pub entry: TreePath,
    /// The function's files.
    pub function_dir: PathBuf,
    /// A folder of files for each of the plan's inputs.
    pub inputs: Inputs<PathBuf>,
}

impl Job {
    /// The cage for this job, open still.
    pub(crate) fn jail(
        &self,
        permit: &Permit,
        runtimes: &Runtimes,
    ) -> Result<Jail<Open>, PrepareError> {
        let runtime = self.checked(permit, runtimes)?;
        let jail = Jail::new(jail_limits(&permit.limits()));
        let mut jail = runtime.furnish(runtimes.root(), jail, &self.entry)?;
        jail = jail.read_only(self.function_dir.clone(), FUNCTION.into());
        for (name, host) in self.inputs.iter() {
            let guest = name.map_or("/data".into(), |name| {
                PathBuf::from(format!("/data/{name}"))
            });
            jail = jail.read_only(host.clone(), guest);
        }
        for (name, value) in self.environment(permit) {
            jail = jail.env(name.to_owned(), value);
        }
        for (name, value) in runtime.environment() {
            jail = jail.env(name.to_owned(), value.to_owned());
        }
        let args = json::canonical(&self.plan.args);
        Ok(jail.stdin(sealed(args.as_bytes()).map_err(PrepareError::Arguments)?))
    }

    /// The runtime of the plan, if this is what the permit is for.
    fn checked(
        &self,
        permit: &Permit,
        runtimes: &Runtimes,
    ) -> Result<Arc<Furniture>, PrepareError> {
        if permit.plan() != self.plan.digest() {
            return Err(PrepareError::NotPermitted);
        }
        let (pin, runtime) = runtimes.pinned(&self.plan.runtime.name)?;
        if pin != self.plan.runtime {
            return Err(PrepareError::RuntimeChanged);
        }
        match places(&self.inputs) == places(&self.plan.inputs) {
            true => Ok(runtime),
            false => Err(PrepareError::Inputs),
        }
    }

    fn environment(&self, permit: &Permit) -> [(&'static str, String); 6] {
        let stage = self.plan.stages.first().map_or("", |stage| stage.as_str());
        [
            ("STRONGROOM_RUN_ID", permit.run().to_string()),
            ("STRONGROOM_STAGE", stage.to_owned()),
            ("TZ", "UTC".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("HOME", "/tmp".to_owned()),
        ]
    }
}

/// The names of the places that inputs take; `None` is `/data` itself.
fn places<T>(inputs: &Inputs<T>) -> BTreeSet<Option<&Name>> {
    inputs.iter().map(|(name, _)| name).collect()
}

fn jail_limits(limits: &Limits) -> strongroom_jail::Limits {
    strongroom_jail::Limits {
        cpu_milli: limits.cpu_milli,
        memory_bytes: limits.memory_bytes,
        wall_ms: limits.time_ms,
        processes: limits.processes,
        out_bytes: limits.out_bytes,
        out_files: u64::from(limits.out_files),
        tmp_bytes: limits.tmp_bytes,
    }
}

/// A file in memory that nobody can change any more, read from its start.
fn sealed(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(
        "arguments",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL,
    )
    .or_else(|_| {
        // Kernels before 6.3 do not know the last flag.
        rustix::fs::memfd_create("arguments", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
    })?;
    let mut written = 0;
    while written < bytes.len() {
        written += rustix::io::pwrite(&file, &bytes[written..], written as u64)?;
    }
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file)
}
