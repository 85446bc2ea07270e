//! Bearer tokens: who a secret speaks for.
//!
//! Only the digest of a secret is kept, so the rows open no door. A token
//! that was revoked or ran out is found no more than one that never was.

use serde_json::json;
use strongroom_core::{digest::Digest, id::TokenId, name::Name};

use crate::{
    Fields, Store, Tx, error::StoreError, event::Note, fields::without_nul, question::query, user,
};

/// The most tokens of one user that still open the door.
const TOKENS_MAX: i64 = 1000;

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub id: TokenId,
    pub user: Name,
    pub label: String,
    pub secret_hash: Digest,
    pub until_ms: Option<i64>,
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: TokenId,
    pub user: Name,
    pub label: String,
    pub at_ms: i64,
    pub until_ms: Option<i64>,
    pub revoked: bool,
}

/// Who a secret speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub token: TokenId,
    pub user: Name,
    pub admin: bool,
    pub until_ms: Option<i64>,
}

const ADD: &str = "
    INSERT INTO token (id, owner, label, secret_hash, at_ms, until_ms, revoked)
    VALUES ($1, $2, $3, $4, $5, $6, 0)";

const COUNT: &str = "
    SELECT COUNT(*) AS number FROM token
     WHERE owner = $1 AND revoked = 0 AND (until_ms IS NULL OR $2 < until_ms)";

const FIND: &str = "
    SELECT t.id, t.owner, t.until_ms, u.admin FROM token t JOIN station_user u ON u.name = t.owner
     WHERE t.secret_hash = $1 AND t.revoked = 0 AND (t.until_ms IS NULL OR $2 < t.until_ms)";

const STANDS: &str = "
    SELECT COUNT(*) AS number FROM token
     WHERE id = $1 AND revoked = 0 AND (until_ms IS NULL OR $2 < until_ms)";

const LIST: &str = "
    SELECT id, owner, label, at_ms, until_ms, revoked FROM token WHERE owner = $1
     ORDER BY revoked, id DESC LIMIT $2";

const REVOKE: &str = "
    UPDATE token SET revoked = 1 WHERE id = $1";

const OWNER: &str = "SELECT owner FROM token WHERE id = $1 AND revoked = 0";

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is no such user.
    pub async fn token_add(
        &self,
        actor: &Name,
        new: NewToken,
        now_ms: i64,
    ) -> Result<TokenRow, StoreError> {
        let actor = actor.clone();
        self.change("make a token", move |tx| {
            Box::pin(async move { add(tx, &actor, new, now_ms).await })
        })
        .await
    }

    /// Who the secret with this digest speaks for now.
    pub async fn token_find(
        &self,
        secret_hash: &Digest,
        now_ms: i64,
    ) -> Result<Option<Session>, StoreError> {
        let mut connection = self.read("look for a token").await?;
        let question = query(FIND).bind(secret_hash.to_string()).bind(now_ms);
        let Some(row) = connection.one(question).await? else {
            return Ok(None);
        };
        Ok(Some(Session {
            token: row.parsed("id")?,
            user: row.parsed("owner")?,
            admin: row.flag("admin")?,
            until_ms: row.number_maybe("until_ms")?,
        }))
    }

    /// Whether a token that opened the door still would.
    pub async fn token_stands(&self, id: &TokenId, now_ms: i64) -> Result<bool, StoreError> {
        let mut connection = self.read("look for a token").await?;
        let question = query(STANDS).bind(id.as_str()).bind(now_ms);
        Ok(connection.count(question).await? != 0)
    }

    /// A user's tokens, newest first, the revoked ones last.
    pub async fn token_list(&self, user: &Name) -> Result<Vec<TokenRow>, StoreError> {
        let mut connection = self.read("list tokens").await?;
        let question = query(LIST).bind(user.as_str()).bind(TOKENS_MAX);
        let rows = connection.all(question).await?;
        rows.iter().map(read).collect()
    }

    /// Revokes a token: one of `owner`'s, or for an admin (`None`) anybody's.
    pub async fn token_revoke(
        &self,
        actor: &Name,
        owner: Option<&Name>,
        id: &TokenId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (actor, owner, id) = (actor.clone(), owner.cloned(), id.clone());
        self.change("revoke a token", move |tx| {
            Box::pin(async move { revoke(tx, &actor, owner.as_ref(), &id, now_ms).await })
        })
        .await
    }
}

async fn add(
    tx: &mut Tx,
    actor: &Name,
    new: NewToken,
    now_ms: i64,
) -> Result<TokenRow, StoreError> {
    if !user::exists(tx, &new.user).await? {
        return Err(StoreError::NotFound);
    }
    let count = query(COUNT).bind(new.user.as_str()).bind(now_ms);
    if TOKENS_MAX <= tx.count(count).await? {
        return Err(StoreError::TooMany {
            what: "tokens",
            max: TOKENS_MAX,
        });
    }
    let label = without_nul(&new.label).into_owned();
    let question = query(ADD)
        .bind(new.id.as_str())
        .bind(new.user.as_str())
        .bind(label.clone())
        .bind(new.secret_hash.to_string())
        .bind(now_ms)
        .bind(new.until_ms);
    tx.execute(question).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: actor.as_str(),
        action: "token.add",
        subject: new.id.to_string(),
        detail: json!({ "user": new.user, "until_ms": new.until_ms }),
        parties: vec![&new.user],
    })
    .await?;
    Ok(TokenRow {
        id: new.id,
        user: new.user,
        label,
        at_ms: now_ms,
        until_ms: new.until_ms,
        revoked: false,
    })
}

async fn revoke(
    tx: &mut Tx,
    actor: &Name,
    owner: Option<&Name>,
    id: &TokenId,
    now_ms: i64,
) -> Result<(), StoreError> {
    let found = tx.one(query(OWNER).bind(id.as_str())).await?;
    let of: Name = found.ok_or(StoreError::NotFound)?.parsed("owner")?;
    if owner.is_some_and(|owner| *owner != of) {
        return Err(StoreError::NotFound);
    }
    tx.execute(query(REVOKE).bind(id.as_str())).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: actor.as_str(),
        action: "token.revoke",
        subject: id.to_string(),
        detail: json!({ "user": of }),
        parties: vec![&of],
    })
    .await
}

fn read(row: &Fields) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: row.parsed("id")?,
        user: row.parsed("owner")?,
        label: row.text("label")?,
        at_ms: row.number("at_ms")?,
        until_ms: row.number_maybe("until_ms")?,
        revoked: row.flag("revoked")?,
    })
}
