//! One runtime, complete: everything that a jail needs of it.
//!
//! What a runtime takes from its base is filled in here, so nobody else knows
//! of bases. Packages are shown from a folder that nobody changes, read-only
//! and executable, since compiled modules are mapped from it.

mod exported;
mod furnish;
mod host;
mod packages;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    Dependencies, Imaged, RuntimeError, beside,
    home::Home,
    interpreter,
    shipped::{self, Kit},
};
use crate::log::Events;
use serde_json::json;
use strongroom_core::{
    digest::Digest,
    json,
    plan::RuntimePin,
    runtime::{Answer, Definition, FunctionFiles, RuntimeName, Start, Way},
    tree::TreePath,
};

pub use packages::Brought;

/// Where the code lies for the guest.
pub(crate) const FUNCTION: &str = "/function";
/// Where a runtime's packages lie for the guest.
pub const PACKAGES: &str = "/packages";

/// Where the packages lie that a function brings.
pub const DEPENDENCIES: &str = "/deps";
/// Where Node looks for packages, above the function's folder, and what is there.
pub(crate) const NODE_MODULES: (&str, &str) = ("/node_modules", "deps/node_modules");
/// Where a function that is a program lies for the guest.
pub(crate) const PROGRAM: &str = "/program";
/// What holds a template's home at the top of a root.
const HOMES: &str = "home";
/// Where a program that is shipped beside ours lies for the guest.
const BESIDE: &str = "/runtime";

/// The files that say who a guest is.
pub(crate) const IDENTITY: [(&str, &str); 3] = [
    ("/etc/passwd", "guest:x:1000:1000:guest:/tmp:/bin/sh\n"),
    ("/etc/group", "guest:x:1000:\n"),
    (
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
];

/// What numeric libraries read to know how many threads to start. Where
/// modules are preloaded they start none, because threads do not survive a
/// copy of the process; and then not in a run without preloading either, so
/// that both compute the same.
const ONE_THREAD: [(&str, &str); 7] = [
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("NUMEXPR_NUM_THREADS", "1"),
    ("BLIS_NUM_THREADS", "1"),
    ("ARROW_NUM_THREADS", "1"),
    ("JE_ARROW_MALLOC_CONF", "background_thread:false"),
];

/// One runtime with everything that it brings.
#[derive(Debug)]
pub struct Furniture {
    name: RuntimeName,
    description: String,
    base: Option<RuntimeName>,
    way: Way,
    /// The program, when it is one that is shipped beside ours.
    beside: Option<&'static str>,
    main_program: String,
    kit: Kit,
    /// The host's folder with the packages.
    packages: Option<PathBuf>,
    /// What its functions are run with, by requirements and lock.
    brought: Option<Brought>,
    /// What a function brings besides.
    dependencies: Option<Dependencies>,
    preload: Vec<String>,
    environment: BTreeMap<String, String>,
    /// What is the guest's root, in place of the host's folders.
    image: Option<Imaged>,
    /// Where a template of OpenFaaS is at home.
    home: Option<Home>,
    /// What stands in the pin beside the interpreter.
    content: serde_json::Value,
    known: Mutex<Option<(interpreter::Stamp, RuntimePin)>>,
}

impl Furniture {
    pub(super) fn shipped(
        name: RuntimeName,
        text: &str,
        definition: Definition,
        main_program: Option<&str>,
        kit: Kit,
    ) -> Self {
        let Start::Own(way) = definition.start else {
            unreachable!("a shipped runtime has no base");
        };
        let main_program = main_program.unwrap_or_default();
        let content = json!({
            "runtime": name,
            "definition": Digest::of(text.as_bytes()),
            "main_program": Digest::of(main_program.as_bytes()),
            "kit": kit.iter().map(|(path, text)| (*path, Digest::of(text.as_bytes()))).collect::<BTreeMap<_, _>>(),
        });
        Self {
            name,
            description: definition.description,
            base: None,
            way,
            beside: None,
            main_program: main_program.to_owned(),
            kit,
            packages: None,
            brought: None,
            dependencies: None,
            preload: definition.preload,
            environment: definition.environment,
            image: None,
            home: None,
            content,
            known: Mutex::default(),
        }
    }

    /// The same, with a program that is shipped beside ours.
    pub(super) fn with_program_beside_ours(self, program: &'static str) -> Self {
        let beside = Some(program);
        Self { beside, ..self }
    }

    /// The same, on an image, which is then in the pin.
    pub(super) fn with_image(mut self, image: Option<Imaged>) -> Self {
        if let Some(image) = &image {
            self.content["image"] = json!(image.digest());
        }
        let image = match self.home {
            // A template has the place where images keep one for themselves.
            Some(_) => image.map(|image| image.without(HOMES)),
            None => image,
        };
        Self { image, ..self }
    }

    /// The runtime in a folder whose content is named by `digest`.
    pub(super) fn of_folder(
        name: RuntimeName,
        definition: Definition,
        (main_program, brought): (Option<String>, Option<Brought>),
        base: Option<&Self>,
        folder: &Path,
        digest: Digest,
    ) -> io::Result<Self> {
        let home = definition.handler_folder.as_ref();
        let home = home.map(|handler| Home::of(folder, handler)).transpose()?;
        let mut environment = base.map_or_else(BTreeMap::new, |base| base.environment.clone());
        if !definition.preload.is_empty() {
            let one = ONE_THREAD.map(|(name, value)| (name.to_owned(), value.to_owned()));
            environment.extend(one);
        }
        environment.extend(definition.environment);
        let way = match (definition.start, base) {
            (Start::Own(way), _) => way,
            (Start::Base(_), Some(base)) => base.way.clone(),
            (Start::Base(_), None) => unreachable!("the base was looked up before"),
        };
        let from_base = || base.map(|base| base.main_program.clone());
        let content = json!({
            "runtime": name,
            "folder": digest,
            "base": base.map(|base| &base.content),
            "environment": environment,
        });
        Ok(Self {
            name,
            description: definition.description,
            base: base.map(|base| base.name.clone()),
            way,
            beside: base.and_then(|base| base.beside),
            main_program: main_program.or_else(from_base).unwrap_or_default(),
            kit: base.map_or(&[], |base| base.kit),
            packages: definition.packages.map(|path| folder.join(path.as_str())),
            brought: brought.or_else(|| base.and_then(|base| base.brought.clone())),
            dependencies: None,
            preload: definition.preload,
            environment,
            image: None,
            home,
            content,
            known: Mutex::default(),
        })
    }

    /// The image that is the guest's root, if it is not the host.
    pub fn image(&self) -> Option<Digest> {
        self.image.as_ref().map(Imaged::digest)
    }

    pub fn name(&self) -> &RuntimeName {
        &self.name
    }

    pub fn description(&self) -> &str {
        &self.description
    }

    /// The shipped runtime that it adds to.
    pub fn base(&self) -> Option<&RuntimeName> {
        self.base.as_ref()
    }

    /// Modules that may be imported before there is a job.
    pub fn preload(&self) -> &[String] {
        &self.preload
    }

    /// Which files are functions for it.
    pub fn files(&self) -> &FunctionFiles {
        &self.way.files
    }

    /// The Debian package that brings the interpreter.
    pub fn debian_package(&self) -> Option<&str> {
        self.way.debian_package.as_deref()
    }

    /// Whether its guests tell of their steps, where they are asked to.
    pub(crate) fn events(&self) -> Events {
        match self.beside {
            Some(shipped::STAR) => Events::OnStderr,
            // The package `strongroom`, which has `step`.
            _ if !self.kit.is_empty() => Events::OnStderr,
            _ => Events::None,
        }
    }

    /// What a run has in its environment because of the runtime.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let each = self.environment.iter();
        each.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether functions on it are programs themselves.
    pub fn runs_programs(&self) -> bool {
        self.way.files.is_program
    }

    /// Where a function with this entry says what it returns.
    pub(crate) fn answer_of(&self, entry: &TreePath) -> Answer {
        self.way.files.answer_of(entry)
    }

    pub(super) fn pin(&self, root: &Path) -> Result<RuntimePin, RuntimeError> {
        if self.runs_programs() {
            return Ok(self.pin_of(&json!({ "runtime": self.content })));
        }
        if self.image.is_some() && self.beside.is_none() {
            // The program is one of the image's files, and those are named.
            self.interpreter(root)?;
            return Ok(self.pin_of(&self.content));
        }
        let path = match self.beside {
            Some(program) => self.folder_beside(program)?.join(program),
            None => interpreter::on_host(root, &self.interpreter(root)?),
        };
        let wrong = |source| RuntimeError::Read {
            runtime: self.name.clone(),
            path: path.clone(),
            source,
        };
        let stamp = interpreter::Stamp::of(&path).map_err(wrong)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, pin)) = &*known
            && *of == stamp
        {
            return Ok(pin.clone());
        }
        let interpreter = interpreter::digest(&path).map_err(wrong)?;
        let parts = json!({ "runtime": self.content, "interpreter": interpreter });
        let pin = self.pin_of(&parts);
        *known = Some((stamp, pin.clone()));
        Ok(pin)
    }

    fn pin_of(&self, parts: &serde_json::Value) -> RuntimePin {
        RuntimePin {
            name: self.name.clone(),
            digest: Digest::of(json::canonical(parts).as_bytes()),
        }
    }

    /// The command that runs `entry`.
    pub(crate) fn command(
        &self,
        root: &Path,
        entry: &TreePath,
    ) -> Result<Vec<String>, RuntimeError> {
        let program = match self.runs_programs() {
            true => format!("{PROGRAM}/{}", entry.file_name()),
            false => self.interpreter(root)?.display().to_string(),
        };
        Ok(self.way.command(&program, &self.main_program, entry))
    }

    /// The folder of a program that is shipped beside ours.
    fn folder_beside(&self, program: &str) -> Result<PathBuf, RuntimeError> {
        beside::folder(program).map_err(|path| RuntimeError::Missing {
            runtime: self.name.clone(),
            path,
        })
    }

    /// The interpreter's path for the guest, every link followed.
    pub(super) fn interpreter(&self, root: &Path) -> Result<PathBuf, RuntimeError> {
        let asked = Path::new(self.way.program());
        if let Some(program) = self.beside {
            return self.folder_beside(program).map(|_| asked.to_owned());
        }
        if let Some(image) = &self.image {
            return image.program(&self.name, asked);
        }
        interpreter::find(root, &self.way.folders, &self.name, asked)
    }
}
