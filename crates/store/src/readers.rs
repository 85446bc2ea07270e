//! The connections that read.
//!
//! There are few, and each is one question's at a time. They cannot write, and
//! they see what is committed only.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Mutex},
};

use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    connection::{Connection, Link},
    database::{lock, open_sqlite},
    error::{DatabaseError, StoreError},
};

/// Connections that read.
pub(crate) const READERS_MAX: u32 = 4;

const PRAGMA_READER: &str = "PRAGMA query_only = ON;";

#[derive(Clone, Debug)]
pub(crate) enum Readers {
    Sqlite(Arc<SqliteReaders>),
    Postgres(PgPool),
}

#[derive(Debug)]
pub(crate) struct SqliteReaders {
    places: Arc<Semaphore>,
    idle: Mutex<Vec<rusqlite::Connection>>,
}

/// A connection that reads. Dropping it lets the next question have it.
pub(crate) struct Reader {
    /// Taken when it is dropped only.
    connection: Option<Connection>,
    home: Option<(Arc<SqliteReaders>, OwnedSemaphorePermit)>,
}

impl Readers {
    /// All of them, opened at once: later there may be no descriptors left.
    pub fn sqlite(file: &Path) -> Result<Self, rusqlite::Error> {
        let open = |_| -> Result<_, rusqlite::Error> {
            let sqlite = open_sqlite(file)?;
            sqlite.execute_batch(PRAGMA_READER)?;
            Ok(sqlite)
        };
        let idle = (0..READERS_MAX).map(open).collect::<Result<_, _>>()?;
        Ok(Self::Sqlite(Arc::new(SqliteReaders {
            places: Arc::new(Semaphore::new(READERS_MAX as usize)),
            idle: Mutex::new(idle),
        })))
    }

    /// A connection for one question.
    pub async fn take(&self, attempt: &'static str) -> Result<Reader, StoreError> {
        match self {
            Self::Sqlite(readers) => SqliteReaders::take(readers, attempt).await,
            Self::Postgres(pool) => {
                let link = pool.acquire().await.map_err(StoreError::db(attempt))?;
                let link = Link::Postgres(link);
                Ok(Reader {
                    connection: Some(Connection { link, attempt }),
                    home: None,
                })
            }
        }
    }

    /// Takes no more questions.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(readers) => {
                readers.places.close();
                lock(&readers.idle).clear();
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl SqliteReaders {
    async fn take(readers: &Arc<Self>, attempt: &'static str) -> Result<Reader, StoreError> {
        let places = Arc::clone(&readers.places);
        let place = places.acquire_owned().await;
        let place = place.map_err(|_| StoreError::db(attempt)(DatabaseError::Closed))?;
        let sqlite = lock(&readers.idle).pop();
        let sqlite = sqlite.ok_or_else(|| StoreError::db(attempt)(DatabaseError::Closed))?;
        let link = Link::Sqlite(sqlite);
        Ok(Reader {
            connection: Some(Connection { link, attempt }),
            home: Some((Arc::clone(readers), place)),
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Link::Sqlite(sqlite) = connection.link
            && let Some((readers, _place)) = self.home.take()
        {
            lock(&readers.idle).push(sqlite);
        }
    }
}

const THERE: &str = "a reader has its connection until it is dropped";

impl Deref for Reader {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect(THERE)
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect(THERE)
    }
}
