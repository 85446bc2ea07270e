//! Work of the station's own, in the jail: on what somebody wrote, and not of it.
//!
//! To install a function's packages, files of strangers are fetched, unpacked
//! and looked at. That is done by programs of ours behind the same walls as a
//! run, since whoever reads a stranger's file may be talked into things. A
//! build needs no permit: it sees no data, no secret and no function's run, and
//! what it leaves is collected as the outputs of a run are. Deliberately
//! absent: a place among the runs, and anything that is made ahead.

use std::path::PathBuf;

use strongroom_core::{limits::Limits, runtime::RuntimeName};
use strongroom_jail::{GATEWAY, Jail, Open};

use crate::{
    job::{PROXIES, Reach, VARIABLES, jail_limits, sealed},
    local::Local,
    prepare::{PrepareError, live, of_seal, ready},
    prepared::{Beginning, Prepared, Readers},
    runtime::Runtimes,
};

/// What the station does to somebody's files.
#[derive(Clone, Debug)]
pub struct Build {
    /// Whose interpreter runs the program.
    pub runtime: RuntimeName,
    /// What follows the interpreter in the command.
    pub words: Vec<String>,
    /// Folders of the host whose programs may run, and where they are seen.
    pub tools: Vec<(PathBuf, PathBuf)>,
    /// Folders of the host from which nothing runs, and where they are seen.
    pub folders: Vec<(PathBuf, PathBuf)>,
    /// Small files, by where they are seen.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    pub environment: Vec<(String, String)>,
    /// What the program reads from its standard input.
    pub input: Vec<u8>,
    pub limits: Limits,
    pub reach: Reach,
}

impl Build {
    /// The cage for it, open still.
    pub(crate) fn jail(self, runtimes: &Runtimes) -> Result<Jail<Open>, PrepareError> {
        let build = self;
        let (_, runtime) = runtimes.pinned(&build.runtime)?;
        let jail = Jail::new(jail_limits(&build.limits));
        let mut jail = runtime.furnish_build(runtimes.root(), jail, &build.words)?;
        for (host, guest) in build.tools {
            jail = jail.runtime(host, guest);
        }
        for (host, guest) in build.folders {
            jail = jail.read_only(host, guest);
        }
        for (guest, content) in build.files {
            jail = jail.file(guest, content);
        }
        let own = VARIABLES.into_iter();
        let mut variables: Vec<(String, String)> = own
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if build.reach == Reach::Gateway {
            jail = jail.gateway();
            let proxy = format!("http://{GATEWAY}");
            variables.extend(PROXIES.map(|name| (name.to_owned(), proxy.clone())));
        }
        for (name, value) in variables.into_iter().chain(build.environment) {
            jail = jail.env(name, value);
        }
        Ok(jail.stdin(sealed(&build.input).map_err(PrepareError::Arguments)?))
    }
}

impl Local {
    /// Builds the sandbox for `build`, up to the moment before it begins.
    ///
    /// # Errors
    ///
    /// [`PrepareError`]; nothing has run and nothing is left of it.
    pub async fn prepare_build(&self, build: Build) -> Result<Prepared, PrepareError> {
        let limits = build.limits;
        let place = self.place().await?;
        let jail = build.jail(&self.shared.runtimes)?;
        let live = live(&self.shared).await?;
        let jail = jail.seal(live.warden.kernel()).map_err(of_seal)?;
        live.dispatch();
        let mut slot = live.take(place).ok_or(PrepareError::WardenDied)?;
        let (pipes, enforced, gateway) = ready(&mut slot, jail).await?;
        let pipes = Readers::new(pipes).map_err(PrepareError::Pipes)?;
        let prepared = Prepared::new(slot, pipes, enforced, limits, Beginning::Plain);
        Ok(prepared.with_gateway(gateway))
    }
}
