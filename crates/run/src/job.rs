//! A job: a plan together with where its parts lie on this host.
//!
//! A job without a permit for its plan goes nowhere. What the plan leaves
//! open (the paths) changes nothing about what the guest sees.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{MemfdFlags, SealFlags};
use strongroom_core::{
    json,
    limits::Limits,
    name::Name,
    permit::Permit,
    plan::{Inputs, Plan},
    stage,
    tree::TreePath,
};
use strongroom_jail::{Attachment, GATEWAY, Jail, Open, Program};

use crate::{
    log::Events,
    prepare::PrepareError,
    runtime::{Dependencies, FUNCTION, Furniture, PROGRAM, Runtimes},
    terminal::{ARGUMENTS, Terminal},
};

/// A plan, and where its parts lie on this host.
#[derive(Clone, Debug)]
pub struct Job {
    /// Who asked for the run. What is made ahead for one is not given to another
    /// where anything of it could tell.
    pub tenant: Name,
    pub plan: Plan,
    /// The function's file that is run.
    pub entry: TreePath,
    /// The function's files.
    pub function_dir: PathBuf,
    /// A folder of files for each of the plan's inputs; none for a stage that
    /// sees no data.
    pub inputs: Inputs<PathBuf>,
    /// A folder with the value of the stage before.
    pub stage_dir: Option<PathBuf>,
    /// A folder with the entry alone, where functions are programs; see
    /// [`lay_program`](crate::lay_program).
    pub program_dir: Option<PathBuf>,
    /// What it can reach beyond its sandbox.
    pub reach: Reach,
    /// A terminal at which a shell runs in place of the function.
    pub terminal: Option<Terminal>,
    /// Secrets by name, for this stage alone.
    pub secrets: BTreeMap<String, String>,
    /// The packages that the function brings, if it brings any.
    pub dependencies: Option<Dependencies>,
    /// Whether its start is written down, so that its time may run as soon as it
    /// has its files.
    pub begun: bool,
}

/// What a guest can reach beyond its sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    Nothing,
    /// A gateway, whose other end [`Prepared`](crate::Prepared) hands over. A
    /// job that has one shows no inputs.
    Gateway,
}

impl Job {
    /// The cage for this job, open still.
    pub(crate) fn jail(
        &self,
        permit: &Permit,
        runtime: &Furniture,
        root: &Path,
    ) -> Result<Jail<Open>, PrepareError> {
        let jail = Jail::new(jail_limits(&permit.limits()));
        let mut jail = match self.terminal {
            None => runtime.furnish(root, jail, &self.entry)?,
            Some(_) => runtime.furnish_shell(root, jail)?,
        };
        for (host, guest) in self.own_folders() {
            jail = jail.read_only(host, guest);
        }
        if let Some(program) = &self.program_dir {
            jail = jail.runtime(program.clone(), PROGRAM.into());
        }
        for (host, guest) in self.input_folders() {
            jail = jail.data(host, guest);
        }
        if self.reach == Reach::Gateway {
            jail = jail.gateway();
        }
        for (name, value) in self.environment(permit, runtime) {
            jail = jail.env(name, value);
        }
        match &self.terminal {
            None => Ok(jail.stdin(self.arguments()?)),
            Some(terminal) => self.at(terminal, jail),
        }
    }

    /// The jail with a person at its place.
    fn at(&self, terminal: &Terminal, jail: Jail<Open>) -> Result<Jail<Open>, PrepareError> {
        let arguments = json::canonical(&self.plan.args);
        let jail = jail.file(ARGUMENTS.into(), arguments.into());
        let side = terminal.side().map_err(PrepareError::Arguments)?;
        let variables = terminal.environment().into_iter();
        let jail = variables.fold(jail, |jail, (name, value)| {
            jail.env(name.to_owned(), value.to_owned())
        });
        Ok(jail.terminal(side))
    }

    /// What a guest that waits is given of the host, and its limits.
    pub(crate) fn attachment(&self, permit: &Permit) -> Attachment {
        let attachment = Attachment::new(jail_limits(&permit.limits()));
        self.own_folders()
            .chain(self.input_folders())
            .fold(attachment, |attachment, (host, guest)| {
                attachment.read_only(host, guest)
            })
    }

    /// What a main program that waits is told of its work.
    pub(crate) fn work(&self, permit: &Permit, runtime: &Furniture) -> Vec<u8> {
        let environment = self.environment(permit, runtime);
        let work = serde_json::json!({ "entry": self.entry, "environment": environment });
        json::canonical(&work).into()
    }

    /// What a guest at the gate becomes.
    pub(crate) fn program(
        &self,
        permit: &Permit,
        runtime: &Furniture,
        root: &Path,
    ) -> Result<Program, PrepareError> {
        Ok(Program {
            argv: runtime.command(root, &self.entry)?,
            cwd: runtime.folder(),
            env: self.environment(permit, runtime),
        })
    }

    /// The arguments, as a file in memory.
    pub(crate) fn arguments(&self) -> Result<OwnedFd, PrepareError> {
        let args = json::canonical(&self.plan.args);
        sealed(args.as_bytes()).map_err(PrepareError::Arguments)
    }

    /// The function, and the value of the stage before.
    fn own_folders(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        let function = (self.function_dir.clone(), FUNCTION.into());
        let stage = self.stage_dir.clone();
        let stage = stage.map(|host| (host, stage::FOLDER.into()));
        std::iter::once(function).chain(stage)
    }

    /// Each folder of data, and where the guest sees it.
    fn input_folders(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        self.inputs.iter().map(|(name, host)| {
            let guest = match name {
                Some(name) => PathBuf::from(format!("/data/{name}")),
                None => PathBuf::from("/data"),
            };
            (host.clone(), guest)
        })
    }

    /// The runtime of the plan, if this is what the permit is for.
    pub(crate) fn checked(
        &self,
        permit: &Permit,
        runtimes: &Runtimes,
    ) -> Result<Arc<Furniture>, PrepareError> {
        if permit.plan() != self.plan.digest() {
            return Err(PrepareError::NotPermitted);
        }
        let (pin, _) = runtimes.pinned(&self.plan.runtime.name)?;
        if pin != self.plan.runtime {
            return Err(PrepareError::RuntimeChanged);
        }
        let (_, runtime) = runtimes.furnished(&pin.name, self.dependencies.as_ref())?;
        if self.program_dir.is_some() != runtime.runs_programs() {
            return Err(PrepareError::Program);
        }
        let shown = match permit.stage().sees_data() {
            true => places(&self.plan.inputs),
            false => BTreeSet::new(),
        };
        let sees_data = permit.stage().sees_data() || self.inputs != Inputs::None;
        match self.reach {
            Reach::Gateway if sees_data => Err(PrepareError::DataAndNetwork),
            _ if places(&self.inputs) == shown => Ok(runtime),
            _ => Err(PrepareError::Inputs),
        }
    }

    fn environment(&self, permit: &Permit, runtime: &Furniture) -> Vec<(String, String)> {
        let run = permit.run().to_string();
        let memory_bytes = permit.limits().memory_bytes.to_string();
        let own = [
            ("STRONGROOM_MEMORY_BYTES", memory_bytes.as_str()),
            ("STRONGROOM_RUN_ID", run.as_str()),
            ("STRONGROOM_STAGE", permit.stage().as_str()),
        ];
        let proxy = format!("http://{GATEWAY}");
        let proxies = match self.reach {
            Reach::Gateway => &PROXIES[..],
            Reach::Nothing => &[],
        };
        let proxies = proxies.iter().map(|name| (*name, proxy.as_str()));
        let secrets = json::canonical_of(&self.secrets);
        let secrets = match self.secrets.is_empty() {
            true => None,
            false => Some(("STRONGROOM_SECRETS", secrets.as_str())),
        };
        let config = json::canonical_of(&self.plan.config);
        let config = match self.plan.config.is_empty() {
            true => None,
            false => Some(("STRONGROOM_CONFIG", config.as_str())),
        };
        let events = match runtime.events() {
            Events::OnStderr => Some(("STRONGROOM_EVENTS", "stderr")),
            Events::None => None,
        };
        let all = own
            .into_iter()
            .chain(VARIABLES)
            .chain(runtime.environment())
            .chain(proxies)
            .chain(secrets)
            .chain(config)
            .chain(events);
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

/// What clients look for to find a proxy; some know the one spelling alone.
pub(crate) const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];

/// What every run has in its environment.
pub(crate) const VARIABLES: [(&str, &str); 4] = [
    ("TZ", "UTC"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/bin:/bin"),
    ("HOME", "/tmp"),
];

/// The names of the places that inputs take; `None` is `/data` itself.
fn places<T>(inputs: &Inputs<T>) -> BTreeSet<Option<&Name>> {
    inputs.iter().map(|(name, _)| name).collect()
}

pub(crate) fn jail_limits(limits: &Limits) -> strongroom_jail::Limits {
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
pub(crate) fn sealed(bytes: &[u8]) -> std::io::Result<OwnedFd> {
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
