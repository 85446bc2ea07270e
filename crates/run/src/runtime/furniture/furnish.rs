//! A runtime put into a jail, for each way in which a guest begins.

use std::path::{Path, PathBuf};

use strongroom_core::{runtime::openfaas::HOME, tree::TreePath};
use strongroom_jail::{Jail, Limits, Open, Waiting};

use super::{BESIDE, DEPENDENCIES, FUNCTION, Furniture, NODE_MODULES, PACKAGES};
use crate::{
    job::VARIABLES,
    runtime::{RuntimeError, interpreter, shipped},
    terminal,
};

/// Says to a main program that it is a zygote, and what to load.
const PRELOAD: &str = "STRONGROOM_PRELOAD";
/// What a zygote may use. Its copies have their own limits.
const OF_ZYGOTES: Limits = Limits {
    cpu_milli: 1000,
    memory_bytes: 2 << 30,
    wall_ms: 3_600_000,
    processes: 16,
    out_bytes: 4096,
    out_files: 1,
    tmp_bytes: 16 << 20,
};

impl Furniture {
    /// Puts the runtime into `jail`, with the command that runs `entry`.
    pub(crate) fn furnish(
        &self,
        root: &Path,
        jail: Jail<Open>,
        entry: &TreePath,
    ) -> Result<Jail<Open>, RuntimeError> {
        let command = self.command(root, entry)?;
        Ok(self.show(root, jail).command(command, self.folder()))
    }

    /// Where a function begins.
    pub(crate) fn folder(&self) -> PathBuf {
        match &self.home {
            Some(_) => HOME.into(),
            None => FUNCTION.into(),
        }
    }

    /// Puts the runtime into `jail`, with a shell where a function would run.
    pub(crate) fn furnish_shell(
        &self,
        root: &Path,
        jail: Jail<Open>,
    ) -> Result<Jail<Open>, RuntimeError> {
        let command = self.shell(root)?;
        Ok(self.show(root, jail).command(command, FUNCTION.into()))
    }

    /// A jail whose guest waits for work on this runtime: with the interpreter
    /// running, if its main program knows how to wait, or else at the gate.
    pub(crate) fn furnish_ahead(&self, root: &Path) -> Result<Jail<Open>, RuntimeError> {
        if !shipped::can_wait(&self.main_program) {
            return Ok(self.show(root, Jail::waiting(Waiting::AtTheGate)));
        }
        let program = self.interpreter(root)?.display().to_string();
        let command = self.way.command_ahead(&program, &self.main_program);
        let jail = self.show(root, Jail::waiting(Waiting::Launched));
        let variables = VARIABLES.into_iter().chain(self.environment());
        let jail = variables.fold(jail, |jail, (name, value)| {
            jail.env(name.to_owned(), value.to_owned())
        });
        Ok(jail.command(command, "/".into()))
    }

    /// Whether its main program can stand still, to be copied.
    pub(crate) fn can_stand_still(&self) -> bool {
        shipped::can_wait(&self.main_program)
    }

    /// The jail of a zygote: the runtime, and nothing of anybody.
    pub(crate) fn furnish_zygote(&self, root: &Path) -> Result<Jail<Open>, RuntimeError> {
        let program = self.interpreter(root)?.display().to_string();
        let command = self.way.command_ahead(&program, &self.main_program);
        let jail = self.show(root, Jail::new(OF_ZYGOTES));
        let jail = jail.env(PRELOAD.to_owned(), self.preload.join(","));
        let variables = VARIABLES.into_iter().chain(self.environment());
        let jail = variables.fold(jail, |jail, (name, value)| {
            jail.env(name.to_owned(), value.to_owned())
        });
        Ok(jail.command(command, "/".into()).zygote())
    }

    pub(super) fn show(&self, root: &Path, jail: Jail<Open>) -> Jail<Open> {
        let mut jail = match &self.image {
            Some(image) => image.show(jail),
            None => self.show_host(root, jail),
        };
        if let Some(packages) = &self.packages {
            jail = jail.runtime(packages.clone(), PACKAGES.into());
        }
        if let Some(dependencies) = &self.dependencies {
            jail = jail.runtime(dependencies.folder.clone(), DEPENDENCIES.into());
            if dependencies.has_modules() {
                let (at, target) = NODE_MODULES;
                jail = jail.symlink(at.into(), target.into());
            }
        }
        if let Some(program) = self.beside
            && let Ok(folder) = self.folder_beside(program)
        {
            jail = jail.runtime(folder, BESIDE.into());
        }
        if let Some(home) = &self.home {
            jail = home.show(jail);
        }
        for (path, text) in self.kit {
            jail = jail.file(path.into(), text.as_bytes().to_vec());
        }
        jail
    }

    /// The command of a shell that the guest sees.
    fn shell(&self, root: &Path) -> Result<Vec<String>, RuntimeError> {
        let find = |path: &Path| match &self.image {
            Some(image) => image.program(&self.name, path),
            None => interpreter::find(root, &self.way.folders, &self.name, path),
        };
        let command = terminal::shell(|path| find(path).ok());
        command.ok_or_else(|| RuntimeError::NoShell(self.name.clone()))
    }
}
