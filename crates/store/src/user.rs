//! Users, and which files each has brought.
//!
//! Whether somebody has a file is between him and the station: a file that
//! another user uploaded is missing for you until you upload it yourself,
//! although it is kept once only.

use std::collections::BTreeMap;

use serde_json::json;
use strongroom_core::{digest::Digest, name::Name};

use crate::{
    Connection, Fields, Store, Tx,
    error::StoreError,
    event::{Note, STATION},
    fields::as_number,
    page::{Page, Paged},
    question::query,
};

/// Somebody who may use the station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub name: Name,
    pub admin: bool,
    pub at_ms: i64,
}

const ADD: &str = "INSERT INTO station_user (name, admin, at_ms) VALUES ($1, $2, $3)";

const EXISTS: &str = "SELECT COUNT(*) AS number FROM station_user WHERE name = $1";

const LIST: &str = "
    SELECT name, admin, at_ms FROM station_user WHERE $1 < name ORDER BY name LIMIT $2";

const CLAIM: &str = "
    INSERT INTO blob_owner (owner, digest, size_bytes) VALUES ($1, $2, $3)
    ON CONFLICT (owner, digest) DO NOTHING";

/// As many digests as [`HELD_STEP`]; a shorter list repeats its last.
const HELD: &str = "
    SELECT digest, size_bytes FROM blob_owner WHERE owner = $1 AND digest IN (
        $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
        $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)";

const HELD_STEP: usize = 32;

impl Store {
    pub async fn user_add(
        &self,
        actor: &Name,
        name: &Name,
        admin: bool,
        now_ms: i64,
    ) -> Result<UserRow, StoreError> {
        let user = UserRow {
            name: name.clone(),
            admin,
            at_ms: now_ms,
        };
        let actor = actor.clone();
        self.change("add a user", move |tx| {
            Box::pin(async move {
                add(tx, &actor, &user).await?;
                Ok(user)
            })
        })
        .await
    }

    /// All users by name.
    pub async fn user_list(&self, page: Page) -> Result<Paged<UserRow>, StoreError> {
        let mut connection = self.read("list users").await?;
        let question = query(LIST).bind(page.cursor()).bind(page.fetch());
        let rows = connection.all(question).await?;
        let users = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(page.cut(users, |user: &UserRow| user.name.to_string()))
    }

    pub async fn user_exists(&self, name: &Name) -> Result<bool, StoreError> {
        let mut connection = self.read("look for a user").await?;
        exists(&mut connection, name).await
    }

    /// Remembers that `user` has brought the file. There is no audit event:
    /// the push that uses it is the event.
    pub async fn blob_claim(
        &self,
        user: &Name,
        digest: &Digest,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let question = query(CLAIM)
            .bind(user.to_string())
            .bind(digest.to_string())
            .bind(as_number(size_bytes));
        self.change("note whose file it is", move |tx| {
            Box::pin(async move { tx.execute(question).await.map(drop) })
        })
        .await
    }

    /// Those of `digests` that `user` has not brought, in the same order.
    pub async fn blobs_missing(
        &self,
        user: &Name,
        digests: &[Digest],
    ) -> Result<Vec<Digest>, StoreError> {
        let mut connection = self.read("look for files").await?;
        let held = held(&mut connection, user, digests).await?;
        let missing = digests.iter().filter(|digest| !held.contains_key(digest));
        Ok(missing.copied().collect())
    }
}

async fn add(tx: &mut Tx, actor: &Name, user: &UserRow) -> Result<(), StoreError> {
    if user.name.as_str() == STATION {
        let what = format!("the name {STATION} is the station's own");
        return Err(StoreError::conflict(what));
    }
    if exists(tx, &user.name).await? {
        let what = format!("there is a user {} already", user.name);
        return Err(StoreError::conflict(what));
    }
    let question = query(ADD)
        .bind(user.name.as_str())
        .bind(i64::from(user.admin))
        .bind(user.at_ms);
    tx.execute(question).await?;
    tx.note(Note {
        at_ms: user.at_ms,
        actor: actor.as_str(),
        action: "user.add",
        subject: user.name.to_string(),
        detail: json!({ "admin": user.admin }),
        parties: vec![&user.name],
    })
    .await
}

pub(crate) async fn exists(connection: &mut Connection, name: &Name) -> Result<bool, StoreError> {
    let question = query(EXISTS).bind(name.as_str());
    Ok(connection.count(question).await? != 0)
}

/// The sizes of those files that the user has brought.
pub(crate) async fn held(
    connection: &mut Connection,
    user: &Name,
    digests: &[Digest],
) -> Result<BTreeMap<Digest, u64>, StoreError> {
    let mut held = BTreeMap::new();
    for some in digests.chunks(HELD_STEP) {
        let last = some.last().expect("a chunk is never empty");
        let mut question = query(HELD).bind(user.as_str());
        for index in 0..HELD_STEP {
            question = question.bind(some.get(index).unwrap_or(last).to_string());
        }
        for row in connection.all(question).await? {
            held.insert(row.parsed("digest")?, row.count("size_bytes")?);
        }
    }
    Ok(held)
}

fn read(row: &Fields) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        name: row.parsed("name")?,
        admin: row.flag("admin")?,
        at_ms: row.number("at_ms")?,
    })
}
