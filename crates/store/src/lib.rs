//! What Strongroom remembers: all SQL and all blobs.
//!
//! Every change is one transaction together with its entry in the audit
//! record, so a change that nobody can account for does not exist. The two
//! exceptions say so: a file that was uploaded ([`Store::blob_claim`]) and a
//! line that a guest wrote ([`Store::log_append`]), which come in their
//! thousands and are accounted for by the push and by the run.
//!
//! The same SQL text runs on SQLite and on PostgreSQL. Files are kept by the
//! digest of their content and never change. Judging a request happens here,
//! inside the transaction that writes the answer, because only there can no
//! approval be spent twice.
//!
//! Absent on purpose: who may ask (that is the caller's to know, except where
//! a method takes a viewer), clocks and randomness (they are arguments), and
//! any deletion of what was once acknowledged: a dataset that is removed is no
//! longer found, and its files stay.

mod answer;
mod approval;
mod audit;
mod blob;
mod claim;
mod connection;
mod content;
mod database;
mod dataset;
mod error;
mod event;
mod fields;
mod finish;
mod function;
mod history;
mod home;
mod judge;
mod labels;
mod log;
mod page;
mod plan;
mod profile;
mod question;
mod readers;
mod recent;
mod recover;
mod request;
mod request_made;
mod revoke;
mod rule;
mod run;
mod runtime;
mod schema;
mod secret;
mod stage;
mod submit;
mod token;
mod tree;
mod user;
mod verdict;
mod view;
mod writer;

use std::{fs::File, path::Path, sync::Arc};

use strongroom_core::digest::Digest;

pub use crate::{
    answer::NewApproval,
    audit::AuditRow,
    blob::{BlobError, BlobPut, Blobs},
    claim::ClaimedRun,
    content::FunctionContent,
    database::Database,
    dataset::{DatasetRow, DatasetVersionRow, NewTransform, NewVersion, Removed, TransformRow},
    error::{DatabaseError, Lack, StoreError},
    finish::{CancelEffect, Finish, VALUE_BYTES_MAX},
    function::{FunctionRow, FunctionVersionRow},
    labels::Labels,
    log::{LOG_PAGE_MAX, LogLine},
    page::{Page, Paged},
    recover::Recovered,
    request::{RequestRow, Role},
    request_made::REQUESTS_PAGE_MAX,
    revoke::Revoked,
    run::{Kind, RunRow, Standing},
    runtime::{InUse, Present, RuntimeRow},
    secret::{SECRETS_OF_USER_MAX, SecretRow},
    stage::{StageBegin, StageEnd, StageRow, ValueRow},
    submit::{NewRun, RUNS_OPEN_MAX, Submitted},
    token::{NewToken, Session, TokenRow},
    user::UserRow,
};
use crate::{
    claim::Turns,
    connection::Connection,
    database::Connections,
    fields::Fields,
    readers::Reader,
    recent::Recent,
    writer::{Tx, Work},
};

/// A station's memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Connections,
    blobs: Blobs,
    turns: Turns,
    /// What functions are, by their versions.
    contents: Recent<Digest, Arc<FunctionContent>>,
    /// Locked for as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store below `home`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when another station has it open,
    /// [`StoreError::OtherHome`] when the database belongs to another home,
    /// [`StoreError::Newer`] when a newer program wrote it.
    pub async fn open(home: &Path, database: Database) -> Result<Self, StoreError> {
        let home = home::make(home)?;
        let lock = home::lock(&home)?;
        let blobs = Blobs::open_home(&home)?;
        let connections = Connections::open(&home, &database).await?;
        schema::migrate(&connections).await?;
        home::claim(&home, &connections).await?;
        let inner = Arc::new(Inner {
            connections,
            blobs,
            turns: Turns::default(),
            contents: Recent::new(content::RECENT_MAX),
            _lock: lock,
        });
        Ok(Self { inner })
    }

    /// The files.
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// Closes every connection. Whatever was acknowledged is on the disk without it.
    pub async fn close(&self) {
        self.inner.connections.close().await;
    }

    fn turns(&self) -> Turns {
        self.inner.turns.clone()
    }

    async fn change<T, F>(&self, attempt: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> Work<'t, T> + Send + 'static,
    {
        self.inner.connections.change(attempt, work).await
    }

    async fn read(&self, attempt: &'static str) -> Result<Reader, StoreError> {
        self.inner.connections.read(attempt).await
    }
}
