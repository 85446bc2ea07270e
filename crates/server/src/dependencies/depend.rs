//! From what a function says that it needs to the packages that it is run with.
//!
//! The lock becomes one of the function's files, so that it is under the
//! digest that owners approve and in the diff that they read. It is made anew
//! when the requirements changed or somebody asks for it, and never else:
//! what was pushed yesterday is today what it was.

use std::path::PathBuf;

use strongroom_core::{
    dependency::{
        Asked, Dependencies, DependencyError, LOCK_FILE, Lock, LockError, NODE_LOCK_FILE, Origin,
        Requirements, Wishes, imports::distribution_of, normal,
    },
    digest::Digest,
    manifest::{Files, Manifest},
    name::Name,
    tree::TreePath,
};
use strongroom_run::runtime::Brought;

use super::{InstallError, Installer, Record, Told};

/// Whether a lock that fits is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relock {
    No,
    Yes,
}

/// A function that is to be given its packages.
pub struct Function<'a> {
    /// Who wants it.
    pub by: &'a Name,
    pub files: &'a mut Files,
    pub manifest: &'a mut Manifest,
    pub wishes: Wishes,
    /// What its runtime brings.
    pub brought: Option<&'a Brought>,
}

/// Why a function is not given packages.
#[derive(Debug, thiserror::Error)]
pub enum DependError {
    #[error(transparent)]
    Asked(#[from] DependencyError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// A lock, as it is written and as it was read.
pub type Written = (String, Lock);

/// Locks that there are already.
#[derive(Default)]
pub struct Locks {
    /// Of the version before, whose versions are kept where they still fit.
    pub last: Option<Written>,
    /// Others that may be for the same requirements.
    pub others: Vec<Written>,
}

/// Where a function says what it needs, by digest, with its lock.
struct Chosen {
    from: Origin,
    requirements: Digest,
    lock: Written,
    told: Told,
}

impl Installer {
    /// Adds to a function the lock of what it needs, and installs that.
    /// `view` shows files to a sandbox.
    ///
    /// # Errors
    ///
    /// [`DependError`] says which line of the requirements, or what the index
    /// had to say to them.
    pub async fn depend<E: From<DependError>>(
        &self,
        function: Function<'_>,
        locks: Locks,
        relock: Relock,
        view: impl AsyncFnOnce(&Files) -> Result<PathBuf, E>,
    ) -> Result<Option<Record>, E> {
        let Function {
            by,
            files,
            manifest,
            wishes,
            brought,
        } = function;
        let asked = Asked::of_files(files, manifest, wishes).map_err(DependError::from)?;
        let asked = match asked {
            Asked::Nothing => None,
            Asked::Python(requirements) | Asked::Node(requirements) => Some(requirements),
            Asked::Imports if !self.can_resolve() => None,
            Asked::Imports => {
                let folder = view(&*files).await?;
                self.imported(by, (files, manifest), brought, folder)
                    .await?
            }
        };
        let chosen = self.choose(by, (files, manifest), (asked, brought), locks, relock);
        let Some(chosen) = chosen.await? else {
            return Ok(None);
        };
        let installed = self.install(by, &manifest.runtime, &chosen.lock, chosen.told);
        let (_, record) = installed.await.map_err(DependError::from)?;
        let (text, lock) = chosen.lock;
        manifest.dependencies = Some(Dependencies {
            from: chosen.from,
            requirements: chosen.requirements,
            lock: lock.digest(),
        });
        files.insert(lock_path(chosen.from), text.into_bytes());
        Ok(Some(record))
    }

    /// Which lock a function is run with: one that is there, or a new one.
    async fn choose(
        &self,
        by: &Name,
        (files, manifest): (&Files, &Manifest),
        (asked, brought): (Option<Requirements>, Option<&Brought>),
        locks: Locks,
        relock: Relock,
    ) -> Result<Option<Chosen>, DependError> {
        let asked = match (asked, brought) {
            (None, None) => return Ok(None),
            (None, Some(brought)) => {
                return Ok(Some(Chosen {
                    from: Origin::Runtime,
                    requirements: Digest::of(brought.requirements.as_bytes()),
                    lock: lock_of(brought)?,
                    told: Told::default(),
                }));
            }
            (Some(asked), None) => asked,
            (Some(asked), Some(brought)) => asked.with(&brought.requirements),
        };
        let wanted = asked.digest();
        let pushed = match files.get(&lock_path(asked.from)) {
            Some(bytes) => Some(written(asked.from, bytes)?),
            None => None,
        };
        let brought = brought.map(lock_of).transpose()?;
        let kept: Vec<&Written> = [&pushed, &locks.last, &brought]
            .into_iter()
            .flatten()
            .filter(|(_, lock)| lock.is_node() == asked.is_node())
            .collect();
        let mut fitting = kept.iter().copied().chain(&locks.others);
        let found = fitting.find(|(_, lock)| lock.requirements == Some(wanted));
        let (lock, told) = match (found, relock) {
            (Some(found), Relock::No) => (found.clone(), Told::default()),
            _ => {
                let before = kept.first().filter(|_| relock == Relock::No);
                let before = before.map(|(text, _)| text.as_str());
                self.lock(by, &manifest.runtime, &asked, before).await?
            }
        };
        Ok(Some(Chosen {
            from: asked.from,
            requirements: wanted,
            lock,
            told,
        }))
    }

    /// What the code imports and has to bring.
    async fn imported(
        &self,
        by: &Name,
        (files, manifest): (&Files, &Manifest),
        brought: Option<&Brought>,
        folder: PathBuf,
    ) -> Result<Option<Requirements>, DependError> {
        let paths = files.keys().map(ToString::to_string);
        let paths: Vec<String> = paths.filter(|path| path.ends_with(".py")).collect();
        let runtime = &manifest.runtime;
        let modules = self.imports(by, runtime, folder, &paths).await?;
        let there = match brought {
            Some(brought) => lock_of(brought)?.1.packages,
            None => Vec::new(),
        };
        let is_there = |module: &&str| {
            let name = normal(&distribution_of(module));
            there.iter().any(|package| package.name == name)
        };
        let names = modules.iter().map(String::as_str);
        let names: Vec<&str> = names.filter(|module| !is_there(module)).collect();
        Ok((!names.is_empty()).then(|| Requirements::of_imports(names)))
    }
}

/// The lock that a runtime brings.
pub fn lock_of(brought: &Brought) -> Result<Written, LockError> {
    Ok((brought.lock.clone(), Lock::python(&brought.lock)?))
}

/// Reads the lock of a function that says there what it needs.
pub fn written(from: Origin, bytes: &[u8]) -> Result<Written, LockError> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lock = match from {
        Origin::PackageJson => Lock::node(&text)?,
        _ => Lock::python(&text)?,
    };
    Ok((text, lock))
}

/// Where a function has its lock that says there what it needs.
pub fn lock_path(from: Origin) -> TreePath {
    let name = match from {
        Origin::PackageJson => NODE_LOCK_FILE,
        _ => LOCK_FILE,
    };
    name.parse().expect("a constant, plain name")
}
