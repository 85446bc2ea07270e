//! The connections to the database, and what a change is.
//!
//! Every change is a [`Tx`]: it is alone (SQLite has one writer connection,
//! PostgreSQL one advisory lock), and it ends by [`Tx::end`], whole or not at
//! all. A [`Tx`] that is dropped on the way closes its connection, since that
//! undoes it in every case, a failed rollback on a full disk included. Reading
//! goes through other connections and never waits for a change.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    time::Duration,
};

use sqlx::{
    Any, AnyPool, ConnectOptions as _, Executor as _,
    any::{AnyArguments, AnyConnectOptions, AnyPoolOptions},
    pool::PoolConnection,
    query::Query,
};

use crate::{error::StoreError, fields::Fields, home::make_private};

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a question waits for a free connection before it is an error.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the rows are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// In the file `strongroom.db` below the home.
    Sqlite,
    /// On a PostgreSQL server, by its URL.
    Postgres(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// The writer and the readers.
#[derive(Debug)]
pub(crate) struct Connections {
    dialect: Dialect,
    writer: AnyPool,
    readers: AnyPool,
}

/// A connection with the attempt that its errors are named for.
pub(crate) struct Connection {
    inner: PoolConnection<Any>,
    attempt: &'static str,
}

/// One change.
#[must_use]
pub(crate) struct Tx {
    connection: Connection,
    ended: bool,
}

pub(crate) type Question<'q> = Query<'q, Any, AnyArguments>;

const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";
const BEGIN: &str = "BEGIN";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
/// The number is the word "strongro" as bytes; it only has to be ours.
const LOCK_POSTGRES: &str = "SELECT pg_advisory_xact_lock(8319684158430114671)";

/// `FULL`: what was acknowledged is on the disk. The rest is safe defaults.
const PRAGMAS_SQLITE: [&str; 5] = [
    "PRAGMA busy_timeout = 30000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
];

impl Connections {
    pub async fn open(home: &Path, database: &Database) -> Result<Self, StoreError> {
        let attempt = "open the database";
        sqlx::any::install_default_drivers();
        let (dialect, url) = match database {
            Database::Sqlite => {
                let file = home.join("strongroom.db");
                // What SQLite puts beside it takes its mode.
                make_private(&file).map_err(StoreError::io(attempt))?;
                (Dialect::Sqlite, sqlite_url(&file))
            }
            Database::Postgres(url) => (Dialect::Postgres, url.clone()),
        };
        let options: AnyConnectOptions = url.parse().map_err(StoreError::db(attempt))?;
        let options = options.disable_statement_logging();
        let pool = |connections_max| pool_options(dialect).max_connections(connections_max);
        let writer = pool(1)
            .connect_with(options.clone())
            .await
            .map_err(StoreError::db(attempt))?;
        let readers = pool(READERS_MAX).connect_lazy_with(options);
        Ok(Self {
            dialect,
            writer,
            readers,
        })
    }

    /// Begins a change, as soon as no other is under way.
    pub async fn write(&self, attempt: &'static str) -> Result<Tx, StoreError> {
        let inner = self.writer.acquire().await;
        let connection = Connection {
            inner: inner.map_err(StoreError::db(attempt))?,
            attempt,
        };
        let mut tx = Tx {
            connection,
            ended: false,
        };
        match self.dialect {
            Dialect::Sqlite => tx.execute(sqlx::query(BEGIN_SQLITE)).await?,
            Dialect::Postgres => {
                tx.execute(sqlx::query(BEGIN)).await?;
                tx.execute(sqlx::query(LOCK_POSTGRES)).await?
            }
        };
        Ok(tx)
    }

    pub async fn read(&self, attempt: &'static str) -> Result<Connection, StoreError> {
        let inner = self.readers.acquire().await;
        Ok(Connection {
            inner: inner.map_err(StoreError::db(attempt))?,
            attempt,
        })
    }

    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool_options(dialect: Dialect) -> AnyPoolOptions {
    let options = AnyPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(dialect == Dialect::Postgres);
    if dialect == Dialect::Postgres {
        return options;
    }
    options.after_connect(|connection, _| {
        Box::pin(async move {
            for pragma in PRAGMAS_SQLITE {
                connection.execute(pragma).await?;
            }
            Ok(())
        })
    })
}

/// The URL of a file whatever its name, since `?`, `#` and `%` mean something in one.
fn sqlite_url(file: &Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut url = "sqlite://".to_owned();
    for byte in file.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => url.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            byte => {
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url.push_str("?mode=rwc");
    url
}

impl Connection {
    /// Runs a statement; how many rows it changed.
    pub async fn execute(&mut self, question: Question<'_>) -> Result<u64, StoreError> {
        let done = question.execute(&mut *self.inner).await;
        done.map(|done| done.rows_affected())
            .map_err(StoreError::db(self.attempt))
    }

    pub async fn one(&mut self, question: Question<'_>) -> Result<Option<Fields>, StoreError> {
        let row = question.fetch_optional(&mut *self.inner).await;
        row.map(|row| row.map(Fields::new))
            .map_err(StoreError::db(self.attempt))
    }

    pub async fn all(&mut self, question: Question<'_>) -> Result<Vec<Fields>, StoreError> {
        let rows = question.fetch_all(&mut *self.inner).await;
        rows.map(|rows| rows.into_iter().map(Fields::new).collect())
            .map_err(StoreError::db(self.attempt))
    }

    /// The number that a `SELECT COUNT(*) AS number` answers.
    pub async fn count(&mut self, question: Question<'_>) -> Result<i64, StoreError> {
        match self.one(question).await? {
            Some(row) => row.number("number"),
            None => Ok(0),
        }
    }
}

impl Tx {
    /// Makes the change lasting if `outcome` is good, and undoes it if not.
    pub async fn end<T>(mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        match outcome {
            Ok(done) => {
                self.execute(sqlx::query(COMMIT)).await?;
                self.ended = true;
                Ok(done)
            }
            Err(error) => {
                self.ended = self.execute(sqlx::query(ROLLBACK)).await.is_ok();
                Err(error)
            }
        }
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.inner.close_on_drop();
        }
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
