//! Users' secrets, sealed: this is where they lie, not where they are read.
//!
//! What is kept here was sealed with a key that is not in the database, so a
//! copy of it tells names and times. A secret is replaced or removed, never
//! changed in part, and no event says more of one than its name.

use serde_json::json;
use strongroom_core::{name::Name, secret::SecretName};

use crate::{Fields, Store, Tx, error::StoreError, event::Note, question::query};

/// The most secrets of one user.
pub const SECRETS_OF_USER_MAX: i64 = 100;

/// A secret without what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    pub name: SecretName,
    /// When it was last set.
    pub at_ms: i64,
}

const PUT: &str = "
    INSERT INTO secret (owner, name, sealed, at_ms) VALUES ($1, $2, $3, $4)
    ON CONFLICT (owner, name) DO UPDATE SET sealed = excluded.sealed, at_ms = excluded.at_ms";

const COUNT_OTHERS: &str = "
    SELECT COUNT(*) AS number FROM secret WHERE owner = $1 AND name <> $2";

const GET: &str = "SELECT sealed FROM secret WHERE owner = $1 AND name = $2";

const LIST: &str = "SELECT name, at_ms FROM secret WHERE owner = $1 ORDER BY name";

const DELETE: &str = "DELETE FROM secret WHERE owner = $1 AND name = $2";

impl Store {
    /// Puts a sealed secret in place of the one of that name.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] past [`SECRETS_OF_USER_MAX`].
    pub async fn secret_put(
        &self,
        owner: &Name,
        name: &SecretName,
        sealed: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (owner, name, sealed) = (owner.clone(), name.clone(), sealed.to_owned());
        self.change("keep a secret", move |tx| {
            Box::pin(async move { put(tx, &owner, &name, &sealed, now_ms).await })
        })
        .await
    }

    /// A secret as it was sealed.
    pub async fn secret_get(
        &self,
        owner: &Name,
        name: &SecretName,
    ) -> Result<Option<String>, StoreError> {
        let mut connection = self.read("look for a secret").await?;
        let question = query(GET).bind(owner.as_str()).bind(name.as_str());
        let row = connection.one(question).await?;
        row.map(|row| row.text("sealed")).transpose()
    }

    /// The names of a user's secrets.
    pub async fn secret_list(&self, owner: &Name) -> Result<Vec<SecretRow>, StoreError> {
        let mut connection = self.read("list secrets").await?;
        let rows = connection.all(query(LIST).bind(owner.as_str())).await?;
        let read = |row: &Fields| {
            Ok(SecretRow {
                name: row.parsed("name")?,
                at_ms: row.number("at_ms")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none of that name.
    pub async fn secret_remove(
        &self,
        owner: &Name,
        name: &SecretName,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (owner, name) = (owner.clone(), name.clone());
        self.change("remove a secret", move |tx| {
            Box::pin(async move { remove(tx, &owner, &name, now_ms).await })
        })
        .await
    }
}

async fn put(
    tx: &mut Tx,
    owner: &Name,
    name: &SecretName,
    sealed: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let others = query(COUNT_OTHERS).bind(owner.as_str()).bind(name.as_str());
    if SECRETS_OF_USER_MAX <= tx.count(others).await? {
        return Err(StoreError::TooMany {
            what: "secrets",
            max: SECRETS_OF_USER_MAX,
        });
    }
    let question = query(PUT)
        .bind(owner.as_str())
        .bind(name.as_str())
        .bind(sealed)
        .bind(now_ms);
    tx.execute(question).await?;
    note(tx, owner, "secret.set", name, now_ms).await
}

async fn remove(
    tx: &mut Tx,
    owner: &Name,
    name: &SecretName,
    now_ms: i64,
) -> Result<(), StoreError> {
    let question = query(DELETE).bind(owner.as_str()).bind(name.as_str());
    match tx.execute(question).await? {
        0 => Err(StoreError::NotFound),
        _ => note(tx, owner, "secret.remove", name, now_ms).await,
    }
}

async fn note(
    tx: &mut Tx,
    owner: &Name,
    action: &'static str,
    name: &SecretName,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.note(Note {
        at_ms: now_ms,
        actor: owner.as_str(),
        action,
        subject: format!("{owner}/{name}"),
        detail: json!({}),
        parties: Vec::new(),
    })
    .await
}
