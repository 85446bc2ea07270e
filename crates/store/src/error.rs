//! Why the store could not do what was asked.
//!
//! A variant exists where a caller can act on it; the rest is `Db` and `Io`.
//! After any of them nothing is half done and the next call works. What the
//! database said is in `source`, for the station's own log and for nobody else.

use std::{fs::File, io, path::PathBuf};

use strongroom_core::{digest::Digest, tree::TreePath};

use crate::blob::BlobError;

/// Why a question to the store has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no such thing here")]
    NotFound,
    /// What was asked does not fit what is there; the asker is at fault.
    #[error("{what}")]
    Conflict { what: String },
    /// The owners' answers do not let a run go on.
    #[error("{why}")]
    Refused { why: String },
    #[error("there are already {max} {what}")]
    TooMany { what: &'static str, max: i64 },
    #[error("the cursor is none that a list gave")]
    Cursor,
    #[error("file `{path}` ({digest}) was not uploaded in this size")]
    BlobMissing { path: TreePath, digest: Digest },
    /// The host is at fault, and may be mended while the store is open.
    #[error("could not {attempt}: {lack}")]
    Lacking { attempt: &'static str, lack: Lack },
    #[error("the store holds something that breaks its own laws: {what}")]
    Corrupt { what: String },
    #[error("the audit record is broken at event {seq}")]
    AuditBroken { seq: i64 },
    #[error(
        "the database has version {found}, which is newer than the {known} that this program knows"
    )]
    Newer { found: i64, known: i64 },
    #[error("{} is in use by another station", home.display())]
    InUse { home: PathBuf },
    #[error(
        "the database belongs to the station of another home than {}; \
         give each station a database of its own",
        home.display()
    )]
    OtherHome { home: PathBuf },
    #[error("could not {attempt}")]
    Db {
        attempt: &'static str,
        source: DatabaseError,
    },
    #[error("could not {attempt}")]
    Io {
        attempt: &'static str,
        source: io::Error,
    },
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl StoreError {
    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn db<E: Into<DatabaseError>>(attempt: &'static str) -> impl FnOnce(E) -> Self {
        move |source| {
            let source = source.into();
            match source.lack() {
                Some(lack) => Self::Lacking { attempt, lack },
                None => Self::Db { attempt, source },
            }
        }
    }

    /// The same trouble for another change of the same group.
    pub(crate) fn alike(&self, attempt: &'static str) -> Self {
        match self {
            Self::Lacking { lack, .. } => Self::Lacking {
                attempt,
                lack: *lack,
            },
            other => {
                let why = match std::error::Error::source(other) {
                    Some(source) => source.to_string(),
                    None => other.to_string(),
                };
                Self::db(attempt)(DatabaseError::Together(why))
            }
        }
    }

    pub(crate) fn io(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match Lack::of(&source) {
            Some(lack) => Self::Lacking { attempt, lack },
            None => Self::Io { attempt, source },
        }
    }
}

/// What a host may be without for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    #[error("the disk is full")]
    Disk,
    #[error("the disk can only be read")]
    Writing,
    #[error("no descriptors are left")]
    Descriptors,
}

impl Lack {
    /// What the host lacks, if that is why something failed.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        /// `ENFILE` and `EMFILE`, for which Rust has no kind.
        const DESCRIPTORS: [i32; 2] = [23, 24];
        match error.kind() {
            // The disk, or the share of it that we may use.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Disk),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::Writing),
            _ => match error.raw_os_error() {
                Some(code) => DESCRIPTORS.contains(&code).then_some(Self::Descriptors),
                // An error that was wrapped has lost its number, so we look ourselves.
                None => {
                    let code = File::open("/dev/null").err()?.raw_os_error()?;
                    DESCRIPTORS.contains(&code).then_some(Self::Descriptors)
                }
            },
        }
    }
}

/// What a database said.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
    /// A mistake of ours: the text names a value that nobody bound.
    #[error("a value is missing for: {0}")]
    Unbound(&'static str),
    /// Changes that are committed together fail together.
    #[error("a change that was to be committed with this one failed: {0}")]
    Together(String),
    #[error("the store is closed")]
    Closed,
}

/// SQLITE_FULL; SQLITE_IOERR_SHMSIZE and SQLITE_IOERR_WRITE, with which SQLite
/// reports a full disk under its shared memory and its log.
const DISK_FULL_SQLITE: [i32; 3] = [13, 4874, 778];
/// `disk_full` of PostgreSQL.
const DISK_FULL_POSTGRES: &str = "53100";

/// SQLITE_READONLY.
const READ_ONLY_SQLITE: i32 = 8;

impl DatabaseError {
    fn lack(&self) -> Option<Lack> {
        match self {
            Self::Sqlite(error) => match error.sqlite_error()?.extended_code {
                code if DISK_FULL_SQLITE.contains(&code) => Some(Lack::Disk),
                // The primary code is in the low byte.
                code if code & 0xff == READ_ONLY_SQLITE => Some(Lack::Writing),
                _ => None,
            },
            Self::Postgres(sqlx::Error::Io(error)) => Lack::of(error),
            Self::Postgres(error) => {
                let code = error.as_database_error().and_then(|error| error.code());
                (code? == DISK_FULL_POSTGRES).then_some(Lack::Disk)
            }
            _ => None,
        }
    }
}
