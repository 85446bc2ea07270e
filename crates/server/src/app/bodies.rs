//! Reading bodies: what they have, kept for the next who asks.
//!
//! A body is read on a thread that may wait, and few are at once. Somebody who
//! asks does not wait for ever: reading goes on without him, and what was
//! found is there when he asks again. Absent on purpose: who may ask, which
//! has been decided before anybody comes here.

use std::time::Duration;

use strongroom_core::{
    digest::Digest,
    statistics::{Profile, WHY_CHARS_MAX},
    structure::{Reading, Structure, StructureAsked},
    text::shown,
    tree::{Tree, TreePath},
};
use tokio_util::sync::CancellationToken;

use super::{App, AppError};
use crate::table::{self, Body, TableError};

/// How long somebody waits who only wants to see what a body has.
const GLANCE_MAX: Duration = Duration::from_secs(20);
const STILL_READING: &str = "not yet, it is still being read; ask again";

/// The body of a version, and how to read it.
#[derive(Debug, Clone)]
pub struct Found {
    pub path: TreePath,
    pub digest: Digest,
    pub reading: Reading,
}

impl Found {
    /// # Errors
    ///
    /// Says why the tree has no body.
    pub fn in_tree(tree: &Tree, asked: &StructureAsked) -> Result<Self, String> {
        let (path, reading) = asked.reading(tree).map_err(|error| error.to_string())?;
        let file = tree.get(&path).ok_or("there is no such file")?;
        Ok(Self {
            digest: file.digest,
            path,
            reading,
        })
    }
}

impl App {
    /// What a body has, however long it takes to read it.
    pub(super) async fn profile(&self, found: &Found) -> Result<Profile, AppError> {
        let (app, found) = (self.clone(), found.clone());
        // Whoever asks may go away; what was found is kept all the same.
        let read = tokio::spawn(async move { app.profile_kept(&found).await });
        read.await.map_err(AppError::internal("read a body"))?
    }

    /// What a body has, or that it is still being read.
    pub(super) async fn glance(&self, found: &Found) -> Result<Profile, AppError> {
        match tokio::time::timeout(GLANCE_MAX, self.profile(found)).await {
            Ok(profile) => profile,
            Err(_) => Ok(Profile::NoTable {
                why: STILL_READING.to_owned(),
            }),
        }
    }

    async fn profile_kept(&self, found: &Found) -> Result<Profile, AppError> {
        let (body, reading) = (found.digest, found.reading.digest());
        if let Some(profile) = self.store.profile_find(&body, &reading).await? {
            return Ok(profile);
        }
        let _place = self.reading.acquire().await;
        // Somebody else may have read it while we waited.
        if let Some(profile) = self.store.profile_find(&body, &reading).await? {
            return Ok(profile);
        }
        let opened = self.body(found, self.stop.clone()).await?;
        let read = tokio::task::spawn_blocking(move || table::profile(opened)).await;
        let profile = match read {
            Ok(Ok((structure, statistics))) => Profile::Table {
                structure,
                statistics,
            },
            Ok(Err(TableError::Body(why) | TableError::TooMuch(why))) => no_table(&why),
            Ok(Err(error)) => return Err(error.into()),
            Err(failed) if failed.is_panic() => no_table("its decoder gave up on it"),
            Err(failed) => return Err(AppError::internal("read a body")(failed)),
        };
        self.store.profile_keep(&body, &reading, &profile).await?;
        Ok(profile)
    }

    /// Opens a body for a reader that `stop` ends.
    pub(super) async fn body(
        &self,
        found: &Found,
        stop: CancellationToken,
    ) -> Result<Body, AppError> {
        let file = self.store.blobs().open(&found.digest).await?;
        Ok(Body {
            file: file.into_std().await,
            reading: found.reading.clone(),
            stop,
        })
    }

    /// The structure of a body that has rows.
    pub(super) async fn structured(&self, found: &Found) -> Result<(Structure, u64), AppError> {
        match self.profile(found).await? {
            Profile::Table {
                structure,
                statistics,
            } => Ok((structure, statistics.rows)),
            Profile::NoTable { why } => Err(no_rows(&why)),
        }
    }

    /// Does something long with bodies on a thread that may wait, for as long
    /// as somebody waits for it.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, AppError> {
        let _place = self.reading.acquire().await;
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => Ok(done?),
            Err(failed) => Err(AppError::internal("read a body")(failed)),
        }
    }
}

fn no_table(why: &str) -> Profile {
    Profile::NoTable {
        why: shown(why, WHY_CHARS_MAX),
    }
}

/// A version that has no rows to work on.
pub(super) fn no_rows(why: &str) -> AppError {
    AppError::Invalid {
        code: "no_rows",
        detail: format!("it has no rows that can be read: {why}"),
    }
}

impl From<TableError> for AppError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Body(why) => no_rows(&why),
            TableError::TooMuch(why) => Self::TooLarge(why),
            TableError::Asked(detail) => Self::Invalid {
                code: "bad_rows",
                detail,
            },
            other => Self::internal("read a body")(other),
        }
    }
}
