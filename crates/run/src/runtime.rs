//! The runtimes: what the host has to run functions with.
//!
//! A runtime is the host's own `/usr`, read-only, and a command that runs the
//! entry. Its pin is the digest over the interpreter's file and our main
//! program, so that an upgraded interpreter makes another plan. The standard
//! library and the shared libraries beside the interpreter are the host's and
//! are not in the digest.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use strongroom_core::{digest::Digest, json, manifest::Runtime, plan::RuntimePin, tree::TreePath};
use strongroom_jail::{Jail, Open};

/// What runs a Python file inside the sandbox.
const MAIN_PROGRAM: &str = include_str!("main_program.py");
/// The folders of the root that hold programs and libraries; on most hosts
/// all but the first are links into it.
const ROOT_FOLDERS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib64", "lib32", "libx32"];
/// Where the code lies for the guest.
pub(crate) const FUNCTION: &str = "/function";

const PASSWD: &str = "guest:x:1000:1000:guest:/tmp:/bin/sh\n";
const GROUP: &str = "guest:x:1000:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files\n";

/// Why a runtime cannot be had on this host.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("there is no {path} for the runtime {}", .runtime.as_str())]
    Missing { runtime: Runtime, path: PathBuf },
    #[error("the interpreter {path} of the runtime {} is outside of what a guest sees", .runtime.as_str())]
    Outside { runtime: Runtime, path: PathBuf },
    #[error("could not read the interpreter {path} of the runtime {}", .runtime.as_str())]
    Read {
        runtime: Runtime,
        path: PathBuf,
        source: io::Error,
    },
}

/// The runtimes of one host.
#[derive(Debug)]
pub struct Runtimes {
    root: PathBuf,
    known: Mutex<BTreeMap<Runtime, Known>>,
}

/// An interpreter whose digest was taken.
#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    pin: RuntimePin,
}

/// What changes when a file is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    changed: (i64, i64),
}

impl Default for Runtimes {
    fn default() -> Self {
        Self::below(PathBuf::from("/"))
    }
}

impl Runtimes {
    /// The runtimes of the host whose root folder is `root`.
    pub fn below(root: PathBuf) -> Self {
        Self {
            root,
            known: Mutex::default(),
        }
    }

    /// The runtime as it is now. Reads the interpreter only when it changed.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Missing`] when the host lacks the interpreter.
    pub fn pin(&self, runtime: Runtime) -> Result<RuntimePin, RuntimeError> {
        let guest = self.interpreter(runtime)?;
        let path = self.on_host(&guest);
        let wrong = |source| RuntimeError::Read {
            runtime,
            path: path.clone(),
            source,
        };
        let stamp = Stamp::of(&path).map_err(wrong)?;
        if let Some(known) = self
            .lock()
            .get(&runtime)
            .filter(|known| known.stamp == stamp)
        {
            return Ok(known.pin.clone());
        }
        let interpreter = Digest::of(&std::fs::read(&path).map_err(wrong)?);
        let pin = RuntimePin {
            name: runtime,
            digest: digest(runtime, interpreter),
        };
        self.lock().insert(
            runtime,
            Known {
                stamp,
                pin: pin.clone(),
            },
        );
        Ok(pin)
    }

    /// Puts the runtime into `jail`, with the command that runs `entry`.
    pub(crate) fn furnish(
        &self,
        jail: Jail<Open>,
        runtime: Runtime,
        entry: &TreePath,
    ) -> Result<Jail<Open>, RuntimeError> {
        let interpreter = self.interpreter(runtime)?;
        let mut jail = ROOT_FOLDERS
            .iter()
            .fold(jail, |jail, name| self.root_folder(jail, name));
        let alternatives = self.root.join("etc/alternatives");
        if alternatives.is_dir() {
            jail = jail.read_only(alternatives, "/etc/alternatives".into());
        }
        for (path, content) in [
            ("/etc/passwd", PASSWD),
            ("/etc/group", GROUP),
            ("/etc/nsswitch.conf", NSSWITCH),
        ] {
            jail = jail.file(path.into(), content.as_bytes().to_vec());
        }
        Ok(jail.command(command(runtime, &interpreter, entry), FUNCTION.into()))
    }

    fn root_folder(&self, jail: Jail<Open>, name: &str) -> Jail<Open> {
        let host = self.root.join(name);
        let guest = Path::new("/").join(name);
        match std::fs::read_link(&host) {
            Ok(target) => jail.symlink(guest, target),
            Err(_) if host.is_dir() => jail.runtime(host, guest),
            Err(_) => jail,
        }
    }

    /// The interpreter's path for the guest, every link followed.
    fn interpreter(&self, runtime: Runtime) -> Result<PathBuf, RuntimeError> {
        let path = self.on_host(Path::new(asked(runtime)));
        let missing = || RuntimeError::Missing {
            runtime,
            path: PathBuf::from(asked(runtime)),
        };
        let root = self.root.canonicalize().map_err(|_| missing())?;
        let found = path.canonicalize().map_err(|_| missing())?;
        let is_program = found
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
        if !is_program {
            return Err(missing());
        }
        let inside = found.strip_prefix(&root).ok().filter(|inside| {
            inside
                .components()
                .next()
                .is_some_and(|first| ROOT_FOLDERS.iter().any(|name| first.as_os_str() == *name))
        });
        match inside {
            Some(inside) => Ok(Path::new("/").join(inside)),
            None => Err(RuntimeError::Outside {
                runtime,
                path: found,
            }),
        }
    }

    fn on_host(&self, guest: &Path) -> PathBuf {
        self.root.join(guest.strip_prefix("/").unwrap_or(guest))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Runtime, Known>> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = path.metadata()?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size_bytes: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// The path that a runtime's interpreter is looked up by.
fn asked(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Python3 => "/usr/bin/python3",
        Runtime::Sh => "/bin/sh",
    }
}

fn digest(runtime: Runtime, interpreter: Digest) -> Digest {
    let main_program = match runtime {
        Runtime::Python3 => MAIN_PROGRAM,
        Runtime::Sh => "",
    };
    let parts = serde_json::json!({
        "runtime": runtime,
        "main_program": Digest::of(main_program.as_bytes()),
        "interpreter": interpreter,
    });
    Digest::of(json::canonical(&parts).as_bytes())
}

fn command(runtime: Runtime, interpreter: &Path, entry: &TreePath) -> Vec<String> {
    let interpreter = interpreter.display().to_string();
    let words: &[&str] = match runtime {
        Runtime::Python3 => &[
            &interpreter,
            "-I",
            "-S",
            "-B",
            "-X",
            "utf8",
            "-c",
            MAIN_PROGRAM,
            entry.as_str(),
        ],
        Runtime::Sh => &[&interpreter, &format!("{FUNCTION}/{entry}")],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests;
