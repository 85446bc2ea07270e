//! A runtime, or a function on one, as an image that other tools start.
//!
//! On top of the runtime's own image lies what the runtime brings, then the
//! packages, then the function: what changes least lies lowest, so that many
//! functions share what they have in common. Absent: walls. Whoever starts
//! such an image makes his own.

use std::path::Path;

use strongroom_core::{manifest::Files, runtime::Answer, tree::TreePath};

use super::{BESIDE, DEPENDENCIES, FUNCTION, Furniture, IDENTITY, NODE_MODULES, PACKAGES, PROGRAM};
use crate::{
    image::{Addition, Packed, Start},
    job::VARIABLES,
    runtime::{RuntimeError, shipped},
};

/// Who a guest is.
const USER: &str = "1000:1000";
/// Where the run-through finds the main program and what it is given besides.
const MAIN_PROGRAM: &str = "/kit/main_program.py";
const VARIABLES_FILE: &str = "/kit/variables.json";
const RUN_THROUGH: &str = "/usr/local/bin/run-through";
/// Where developers work.
const WORK: &str = "/work";
/// Where their shell finds programs, the run-through among them.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Executes what follows with the arguments in a file, as they are here, with
/// stdout as descriptor 3, so that nothing but the value comes there, and with
/// stderr for the log. An engine's `/dev/shm` can be written
/// also where the rest of a container cannot.
const IN_PYTHON: &str = "\
import os, sys
raw, file = sys.stdin.buffer.read() or b'{}', os.memfd_create('arguments')
while raw: raw = raw[os.write(file, raw):]
os.lseek(file, 0, 0)
os.dup2(file, 0)
os.dup2(1, 3)
os.dup2(2, 1)
os.execv(sys.argv[1], sys.argv[1:])
";
const IN_SHELL: &str = "\
for place in /tmp /dev/shm; do
    [ -w \"$place\" ] || continue
    cat > \"$place/arguments\" || exit
    [ -s \"$place/arguments\" ] || printf '{}' > \"$place/arguments\"
    exec \"$@\" 3>&1 1>&2 < \"$place/arguments\"
done
echo 'there is no place for the arguments: neither /tmp nor /dev/shm can be written' >&2
exit 1
";

impl Furniture {
    /// What an image of a function on this runtime has on top of the runtime's
    /// own. Other tools start it as a run here would be.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Missing`] when the image lacks the program, and
    /// [`RuntimeError::NoAnswer`] when nothing in it could say the value.
    pub fn layers_of(
        &self,
        root: &Path,
        files: &Files,
        entry: &TreePath,
    ) -> Result<Vec<Addition>, RuntimeError> {
        let mut function = Packed::default();
        for (path, bytes) in files {
            function.text(&format!("{FUNCTION}/{path}"), bytes.clone());
        }
        if let Some(bytes) = files.get(entry).filter(|_| self.runs_programs()) {
            function.program(&format!("{PROGRAM}/{}", entry.file_name()), bytes.clone());
        }
        ["tmp", "out"]
            .iter()
            .for_each(|path| function.scratch(path));
        // By its run a function knows that it is in one.
        let run = [
            ("STRONGROOM_STAGE", "transform"),
            ("STRONGROOM_RUN_ID", "elsewhere"),
        ];
        let variables = VARIABLES.into_iter().chain(run).chain(self.environment());
        let mut function = Addition::whole(function);
        function.start = Some(Start {
            user: Some(USER.to_owned()),
            env: Some(variables.map(assigned).collect()),
            entrypoint: Some(self.answering_on_stdout(root, entry)?),
            working_dir: Some(self.folder().display().to_string()),
            ..Start::default()
        });
        let mut layers = self.own_layers()?;
        layers.push(function);
        Ok(layers)
    }

    /// What an image for developers has on top of the runtime's own: the same
    /// main program, and `run-through`, which runs a function with it.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::NoRunThrough`] where the main program is not that of
    /// `python3`, the only one that it knows.
    pub fn layers_for_developers(&self, root: &Path) -> Result<Vec<Addition>, RuntimeError> {
        if !shipped::can_wait(&self.main_program) {
            return Err(RuntimeError::NoRunThrough(self.name.clone()));
        }
        let interpreter = self.interpreter(root)?;
        let (_, program) = shipped::RUN_THROUGH
            .split_once('\n')
            .expect("its first line says who runs it");
        let program = format!("#!{} -B\n{program}", interpreter.display());
        let variables = strongroom_core::json::canonical_of(&self.environment);
        let mut own = Packed::default();
        own.scratch("tmp");
        own.text(MAIN_PROGRAM, self.main_program.as_str());
        own.text(VARIABLES_FILE, variables);
        own.program("/kit/run_through.py", program);
        own.link(RUN_THROUGH, "/kit/run_through.py");
        for (path, text) in IDENTITY {
            own.text(path, text);
        }
        let mut own = Addition::whole(own);
        let variables = VARIABLES.into_iter().filter(|(name, _)| *name != "PATH");
        let variables = variables.chain([("PATH", PATH)]).chain(self.environment());
        own.start = Some(Start {
            user: Some(USER.to_owned()),
            env: Some(variables.map(assigned).collect()),
            cmd: Some(vec!["run-through".to_owned(), "--help".to_owned()]),
            working_dir: Some(WORK.to_owned()),
            ..Start::default()
        });
        let mut layers = self.own_layers()?;
        layers.push(own);
        Ok(layers)
    }

    /// The command, with stdout as where it says what it returns: other tools
    /// give it no descriptor of its own for that. A handler that answers there
    /// anyway needs nobody before it.
    fn answering_on_stdout(
        &self,
        root: &Path,
        entry: &TreePath,
    ) -> Result<Vec<String>, RuntimeError> {
        let command = self.command(root, entry)?;
        let found = |program: &str| {
            let image = self.image.as_ref()?;
            image.program(&self.name, Path::new(program)).ok()
        };
        let shell = found("/bin/sh").filter(|_| found("/bin/cat").is_some());
        let shell = shell.map(|path| path.display().to_string());
        if self.answer_of(entry) == Answer::Stdout {
            return Ok(command);
        }
        let before: Vec<&str> = match (&shell, command.first()) {
            (_, Some(python)) if shipped::can_wait(&self.main_program) => {
                vec![python, "-I", "-S", "-c", IN_PYTHON]
            }
            (Some(shell), _) => vec![shell, "-c", IN_SHELL, "sh"],
            (None, _) => return Err(RuntimeError::NoAnswer(self.name.clone())),
        };
        let words = before.into_iter().chain(command.iter().map(String::as_str));
        Ok(words.map(str::to_owned).collect())
    }

    /// What the runtime brings, and what the function does besides.
    fn own_layers(&self) -> Result<Vec<Addition>, RuntimeError> {
        let wrong = |source| RuntimeError::Image {
            runtime: self.name.clone(),
            source: Box::new(source),
        };
        let mut own = match &self.packages {
            Some(packages) => Packed::folder(packages, PACKAGES).map_err(wrong)?,
            None => Packed::default(),
        };
        for (path, text) in self.kit {
            own.text(path, *text);
        }
        if let Some(home) = &self.home {
            own = own.and(home.packed().map_err(wrong)?);
        }
        if let Some(program) = self.beside {
            let from = self.folder_beside(program)?.join(program);
            own.file(&format!("{BESIDE}/{program}"), from, true);
        }
        let mut layers = vec![Addition::whole(own)];
        if let Some(dependencies) = &self.dependencies {
            let mut brought = Packed::folder(&dependencies.folder, DEPENDENCIES).map_err(wrong)?;
            if dependencies.has_modules() {
                let (at, target) = NODE_MODULES;
                brought.link(at, target);
            }
            layers.push(Addition::whole(brought));
        }
        Ok(layers)
    }
}

fn assigned((name, value): (&str, &str)) -> String {
    format!("{name}={value}")
}
