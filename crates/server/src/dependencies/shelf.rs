//! Installed packages: a folder for each lock, named by the lock's digest.
//!
//! A folder is filled under another name, brought to the disk and then renamed,
//! so that one which has its name is whole. Nobody changes it from then on;
//! what no function names any more is removed.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strongroom_core::{digest::Digest, limits::Limits};
use strongroom_run::{CollectError, OutFolder, runtime::Dependencies};

/// The folder in a station's home.
const FOLDER: &str = "deps";
/// Below a lock's folder: what guests see, and what is known of it.
const TREE: &str = "tree";
const RECORD: &str = "record.json";
const LOCK: &str = "lock";
/// Longer than any build takes; another process may be at one.
const UNFINISHED_MAX: Duration = Duration::from_secs(3600);
/// How many locks are looked at to find one that is for the same.
const LOCKS_MAX: usize = 500;
/// Names that are not finished begin with this.
const UNFINISHED: &str = ".new-";
const TOOLS: &str = ".tools";
/// The certificates that this host trusts, where it has them in one file.
const HOST_TRUST: &str = "/etc/ssl/certs/ca-certificates.crt";
pub const TRUST_FILE: &str = "trust.pem";

/// What is known of one installation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub lock: Digest,
    pub at_ms: i64,
    pub file_count: u64,
    pub size_bytes: u64,
    /// Each step by name, with how long it took.
    pub steps: Vec<(String, u64)>,
    /// The end of what they said.
    pub log: Vec<String>,
    pub preload: Vec<String>,
    /// The runtime that it was installed with, and its interpreter; what is
    /// compiled is for that one. Empty where nothing is compiled.
    pub runtime: Digest,
    pub interpreter: String,
}

/// The folders of one station.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The shelf in `home`. What was left unfinished long ago is removed.
    pub fn open(home: &Path) -> Self {
        let folder = home.join(FOLDER);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|meta| meta.modified());
            let age = age.ok().and_then(|since| since.elapsed().ok());
            let is_old = age.is_some_and(|age| UNFINISHED_MAX < age);
            if is_old && entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Self { folder }
    }

    /// What is installed for a lock.
    pub fn find(&self, lock: &Digest) -> Option<(Dependencies, Record)> {
        let folder = self.place(lock);
        let record = fs::read(folder.join(RECORD)).ok()?;
        let record: Record = serde_json::from_slice(&record).ok()?;
        let dependencies = Dependencies {
            lock: *lock,
            folder: folder.join(tree(&record)),
            preload: record.preload.clone(),
        };
        Some((dependencies, record))
    }

    /// Takes what a build left as what is installed for a lock. Blocking.
    pub fn fill(
        &self,
        out: OutFolder,
        limits: &Limits,
        record: Record,
        lock: &str,
    ) -> io::Result<()> {
        make_folder(&self.folder)?;
        let new = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.folder)?;
        let tree = new.path().join(tree(&record));
        make_folder(&tree)?;
        let files = out
            .collect(limits, |path, _, from| keep(&tree, path.as_str(), from))
            .map_err(|error| match error {
                CollectError::Keep { source, .. } | CollectError::Read { source, .. } => source,
                other => io::Error::other(other.to_string()),
            })?;
        let record = Record {
            file_count: files.len() as u64,
            size_bytes: files.iter().map(|file| file.size_bytes).sum(),
            ..record
        };
        fs::write(new.path().join(LOCK), lock)?;
        fs::write(new.path().join(RECORD), serde_json::to_vec(&record)?)?;
        rustix::fs::syncfs(File::open(new.path())?)?;
        let place = self.place(&record.lock);
        match fs::rename(new.path(), &place) {
            // Somebody installed the same meanwhile.
            Err(_) if place.join(RECORD).exists() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(&self.folder)?.sync_all(),
        }
    }

    /// The locks of what is installed.
    pub fn locks(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| fs::read_to_string(entry.path().join(LOCK)).ok());
        texts.take(LOCKS_MAX).collect()
    }

    /// What everything that is installed comes to.
    pub fn size_bytes(&self) -> u64 {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let records = entries.filter_map(|entry| fs::read(entry.path().join(RECORD)).ok());
        let records = records.filter_map(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        records.map(|record| record.size_bytes).sum()
    }

    /// Removes what is installed for no lock of `named`. Blocking.
    pub fn clear(&self, named: &BTreeSet<Digest>) -> u64 {
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let lock: Option<Digest> = format!("sha256:{}", name.to_string_lossy()).parse().ok();
            let Some(lock) = lock.filter(|lock| !named.contains(lock)) else {
                continue;
            };
            // Under another name first, so that half of it is never found.
            let gone = self.folder.join(format!("{UNFINISHED}{}", lock.short()));
            if fs::rename(entry.path(), &gone).is_ok() {
                let _ = fs::remove_dir_all(&gone);
                removed += 1;
            }
        }
        removed
    }

    /// A folder that holds nothing but this program, for a sandbox to see.
    pub fn tool(&self, program: &Path, name: &str) -> io::Result<PathBuf> {
        let meta = fs::metadata(program)?;
        let stamp = meta.modified()?.duration_since(std::time::UNIX_EPOCH);
        let stamp = stamp.unwrap_or_default().as_millis();
        let tools = self.folder.join(TOOLS);
        let folder = tools.join(format!("{name}-{}-{stamp}", meta.len()));
        if folder.join(name).exists() {
            return Ok(folder);
        }
        make_folder(&self.folder)?;
        make_folder(&tools)?;
        make_folder(&folder)?;
        let mut copy = tempfile::NamedTempFile::new_in(&tools)?;
        io::copy(&mut File::open(program)?, copy.as_file_mut())?;
        copy.as_file()
            .set_permissions(Permissions::from_mode(0o555))?;
        copy.persist(folder.join(name))?;
        Ok(folder)
    }

    /// A folder that holds nothing but certificates: those that this host
    /// trusts, and those in `own`.
    pub fn trust(&self, own: &Path) -> io::Result<PathBuf> {
        let mut all = fs::read(HOST_TRUST).unwrap_or_default();
        all.push(b'\n');
        all.extend(fs::read(own)?);
        let tools = self.folder.join(TOOLS);
        let folder = tools.join(format!("trust-{}", &Digest::of(&all).hex()[..16]));
        if folder.join(TRUST_FILE).exists() {
            return Ok(folder);
        }
        make_folder(&self.folder)?;
        make_folder(&tools)?;
        make_folder(&folder)?;
        let mut copy = tempfile::NamedTempFile::new_in(&tools)?;
        copy.write_all(&all)?;
        copy.as_file()
            .set_permissions(Permissions::from_mode(0o444))?;
        copy.persist(folder.join(TRUST_FILE))?;
        Ok(folder)
    }

    fn place(&self, lock: &Digest) -> PathBuf {
        self.folder.join(lock.hex())
    }
}

/// What guests see. Its name is one of its own, so that nobody who waits with
/// an earlier one is taken for somebody who has this.
fn tree(record: &Record) -> String {
    format!("{TREE}-{}", record.at_ms)
}

/// Makes a folder that guests may enter, whatever the umask says.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Writes one file of an installation, which a guest may read, and run if it
/// is a program.
fn keep(tree: &Path, path: &str, from: &mut dyn Read) -> io::Result<Digest> {
    for (end, _) in path.match_indices('/') {
        let folder = tree.join(&path[..end]);
        if !folder.is_dir() {
            make_folder(&folder)?;
        }
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(tree.join(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut mode = None;
    loop {
        let count = from.read(&mut buffer)?;
        let part = &buffer[..count];
        let runs = part.starts_with(b"\x7fELF") || part.starts_with(b"#!");
        mode = mode.or(Some(if runs { 0o555 } else { 0o444 }));
        if count == 0 {
            break;
        }
        hash.update(part);
        file.write_all(part)?;
    }
    file.set_permissions(Permissions::from_mode(mode.unwrap_or(0o444)))?;
    Ok(Digest::from_bytes(hash.finalize().into()))
}
