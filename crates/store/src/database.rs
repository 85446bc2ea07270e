//! The databases: how each is opened, read and written.
//!
//! There is one [`writer`](crate::writer), on a thread of its own for SQLite,
//! whose commits wait for the disk, and as a task for PostgreSQL, where an
//! advisory lock keeps strangers out. Reading goes through
//! [other connections](crate::readers) and never waits for a change.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use sqlx::{ConnectOptions as _, PgPool, postgres::PgConnectOptions, postgres::PgPoolOptions};
use tokio::sync::{mpsc, oneshot};

use crate::{
    connection::{Connection, Link},
    error::{DatabaseError, StoreError},
    home::make_private,
    question::query,
    readers::{READERS_MAX, Reader, Readers},
    writer::{Asked, Change, Tx, WAITING_MAX, Work, write},
};

/// How long a question waits for a free connection before it is an error.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long SQLite waits for a stranger who holds its file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Statements that stay prepared: more than there are.
const PREPARED_MAX: usize = 256;

/// Where the rows are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// In the file `strongroom.db` below the home.
    Sqlite,
    /// On a PostgreSQL server, by its URL.
    Postgres(String),
}

/// The writer and the readers.
#[derive(Debug)]
pub(crate) struct Connections {
    writer: Mutex<Option<mpsc::Sender<Box<dyn Change>>>>,
    /// SQLite's writer.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Ends when the writer has.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    readers: Readers,
}

/// Where the writer's connection comes from.
pub(crate) enum Source {
    Sqlite {
        file: PathBuf,
        idle: Option<rusqlite::Connection>,
    },
    Postgres(PgPool),
}

const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";
const BEGIN: &str = "BEGIN";
/// The number is the word "strongro" as bytes; it only has to be ours.
const LOCK_POSTGRES: &str = "SELECT pg_advisory_xact_lock(8319684158430114671)";

/// `FULL`: what was acknowledged is on the disk. Nothing of the database is
/// put anywhere else. The rest is safe defaults.
const PRAGMAS_SQLITE: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA temp_store = MEMORY;";

impl Connections {
    pub async fn open(home: &Path, database: &Database) -> Result<Self, StoreError> {
        let attempt = "open the database";
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let (end, ended) = oneshot::channel();
        let (readers, thread) = match database {
            Database::Sqlite => {
                let file = home.join("strongroom.db");
                // What SQLite puts beside it takes its mode.
                make_private(&file).map_err(StoreError::io(attempt))?;
                let idle = Some(open_sqlite(&file).map_err(StoreError::db(attempt))?);
                let readers = Readers::sqlite(&file).map_err(StoreError::db(attempt))?;
                let source = Source::Sqlite { file, idle };
                let thread = std::thread::Builder::new().name("store".to_owned());
                let thread = thread.spawn(move || {
                    futures::executor::block_on(write(source, waiting));
                    drop(end);
                });
                (readers, Some(thread.map_err(StoreError::io(attempt))?))
            }
            Database::Postgres(url) => {
                let options: PgConnectOptions = url.parse().map_err(StoreError::db(attempt))?;
                let options = options.disable_statement_logging();
                let writer = postgres(1).connect_with(options.clone()).await;
                let source = Source::Postgres(writer.map_err(StoreError::db(attempt))?);
                tokio::spawn(async move {
                    write(source, waiting).await;
                    drop(end);
                });
                let readers = postgres(READERS_MAX).connect_lazy_with(options);
                (Readers::Postgres(readers), None)
            }
        };
        Ok(Self {
            writer: Mutex::new(Some(sender)),
            thread: Mutex::new(thread),
            ended: Mutex::new(Some(ended)),
            readers,
        })
    }

    /// Makes a change, as soon as those before it are made.
    pub async fn change<T, F>(&self, attempt: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> Work<'t, T> + Send + 'static,
    {
        let closed = || StoreError::db(attempt)(DatabaseError::Closed);
        let (reply, answer) = oneshot::channel();
        let change = Asked {
            attempt,
            work: Some(work),
            outcome: None,
            reply,
        };
        let writer = lock(&self.writer).clone().ok_or_else(closed)?;
        writer.send(Box::new(change)).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub async fn read(&self, attempt: &'static str) -> Result<Reader, StoreError> {
        self.readers.take(attempt).await
    }

    /// Takes no more questions, and waits until every change that was asked
    /// for is made.
    pub async fn close(&self) {
        drop(lock(&self.writer).take());
        let ended = lock(&self.ended).take();
        if let Some(ended) = ended {
            // It never sends, it only ends.
            let _ = ended.await;
        }
        self.readers.close().await;
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        drop(lock(&self.writer).take());
        if let Some(thread) = lock(&self.thread).take() {
            // What was asked for is made before the home is let go.
            let _ = thread.join();
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn postgres(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
}

pub(crate) fn open_sqlite(file: &Path) -> Result<rusqlite::Connection, rusqlite::Error> {
    use rusqlite::{OpenFlags, config::DbConfig};
    // Without the flag for URIs: the file's name is a name, whatever is in it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = rusqlite::Connection::open_with_flags(file, flags)?;
    sqlite.busy_timeout(BUSY_TIMEOUT)?;
    sqlite.set_prepared_statement_cache_capacity(PREPARED_MAX);
    sqlite.execute_batch(PRAGMAS_SQLITE)?;
    // Without this a statement is planned again whenever other values are bound.
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(sqlite)
}

impl Source {
    /// Begins a group of changes.
    pub async fn begin(&mut self, attempt: &'static str) -> Result<Tx, StoreError> {
        let db = StoreError::db;
        let (link, begin) = match self {
            Self::Sqlite { file, idle } => {
                let sqlite = match idle.take() {
                    Some(sqlite) => sqlite,
                    None => open_sqlite(file).map_err(db(attempt))?,
                };
                (Link::Sqlite(sqlite), BEGIN_SQLITE)
            }
            Self::Postgres(pool) => {
                let link = pool.acquire().await.map_err(StoreError::db(attempt))?;
                (Link::Postgres(link), BEGIN)
            }
        };
        let mut tx = Tx {
            connection: Connection { link, attempt },
        };
        let begun = match tx.execute(query(begin)).await {
            Ok(_) if matches!(tx.connection.link, Link::Postgres(_)) => {
                tx.execute(query(LOCK_POSTGRES)).await.map(drop)
            }
            other => other.map(drop),
        };
        match begun {
            Ok(()) => Ok(tx),
            Err(error) => {
                self.discard(tx);
                Err(error)
            }
        }
    }

    /// Takes a connection back whose group has ended.
    pub fn keep(&mut self, tx: Tx) {
        if let (Self::Sqlite { idle, .. }, Link::Sqlite(sqlite)) = (self, tx.connection.link) {
            *idle = Some(sqlite);
        }
    }

    /// Closes a connection in the middle of a group, which undoes it in every
    /// case, a failed rollback on a full disk included.
    pub fn discard(&mut self, tx: Tx) {
        if let Link::Postgres(mut postgres) = tx.connection.link {
            postgres.close_on_drop();
        }
    }
}
