//! A station's home folder: one station at a time, and one database.
//!
//! The folder holds files, the database what is known of them, so the two
//! belong together. A home has an identity in the file `identity`, the
//! database remembers the first one that opened it, and another is refused:
//! two homes on one database would each miss the other's files, and each
//! would end what the other runs.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{Tx, database::Connections, error::StoreError, question::query};

/// The file with a home's identity.
const FILE_NAME: &str = "identity";
/// The kernel draws a new one at every look; no other randomness is needed here.
const NEW: &str = "/proc/sys/kernel/random/uuid";

const FOUND: &str = "SELECT identity FROM home";

const RECORD: &str = "INSERT INTO home (identity) VALUES ($1)";

/// Makes the folder if it is not there; its path without links.
pub(crate) fn make(home: &Path) -> Result<PathBuf, StoreError> {
    let attempt = "open the home folder";
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o700);
    folders.create(home).map_err(StoreError::io(attempt))?;
    fs::canonicalize(home).map_err(StoreError::io(attempt))
}

/// Locks the folder for as long as the file is open.
pub(crate) fn lock(home: &Path) -> Result<File, StoreError> {
    let attempt = "lock the home folder";
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(home.join("lock"))
        .map_err(StoreError::io(attempt))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            home: home.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(StoreError::io(attempt)(source)),
    }
}

/// Makes a file that only this user reads, whoever may enter its folder.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Refuses a database that belongs to another home, and takes one that belongs to none.
pub(crate) async fn claim(home: &Path, connections: &Connections) -> Result<(), StoreError> {
    let own = identity(home).map_err(StoreError::io("read the home's identity"))?;
    let home = home.to_owned();
    let attempt = "note whose database it is";
    connections
        .change(attempt, move |tx| {
            Box::pin(async move { claim_as(tx, &home, &own).await })
        })
        .await
}

async fn claim_as(tx: &mut Tx, home: &Path, own: &str) -> Result<(), StoreError> {
    let Some(row) = tx.one(query(FOUND)).await? else {
        return tx.execute(query(RECORD).bind(own)).await.map(drop);
    };
    match row.text("identity")? == own {
        true => Ok(()),
        false => Err(StoreError::OtherHome {
            home: home.to_owned(),
        }),
    }
}

/// The home's identity, drawn at the first look.
fn identity(home: &Path) -> io::Result<String> {
    let path = home.join(FILE_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let new = fs::read_to_string(NEW)?;
    let mut file = tempfile::NamedTempFile::new_in(home)?;
    file.write_all(new.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    File::open(home)?.sync_all()?;
    Ok(new.trim().to_owned())
}
