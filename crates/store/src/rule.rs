//! Owners' standing rules, one document each.

use serde_json::json;
use strongroom_core::{digest::Digest, name::Name, rule::RuleSet};

use crate::{Connection, Store, Tx, error::StoreError, event::Note, question::query};

const PUT: &str = "
    INSERT INTO rule (owner, content, at_ms, put_seq)
    VALUES ($1, $2, $3, (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit))
    ON CONFLICT (owner) DO UPDATE SET content = excluded.content, at_ms = excluded.at_ms,
                                      put_seq = excluded.put_seq";

const GET: &str = "SELECT content FROM rule WHERE owner = $1";

const PUT_MS: &str = "SELECT at_ms FROM rule WHERE owner = $1";

const DELETE: &str = "DELETE FROM rule WHERE owner = $1";

impl Store {
    /// Puts an owner's rules in place of those before. The text has passed
    /// [`RuleSet::parse`]; one that has not makes every later request an error.
    pub async fn rule_put(&self, owner: &Name, text: &str, now_ms: i64) -> Result<(), StoreError> {
        let (owner, text) = (owner.clone(), text.to_owned());
        self.change("write rules", move |tx| {
            Box::pin(async move { put(tx, &owner, &text, now_ms).await })
        })
        .await
    }

    pub async fn rule_get(&self, owner: &Name) -> Result<Option<String>, StoreError> {
        let mut connection = self.read("read rules").await?;
        text(&mut connection, owner).await
    }

    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there are none.
    pub async fn rule_delete(&self, owner: &Name, now_ms: i64) -> Result<(), StoreError> {
        let owner = owner.clone();
        self.change("remove rules", move |tx| {
            Box::pin(async move { delete(tx, &owner, now_ms).await })
        })
        .await
    }
}

/// An owner's rules, ready to answer.
pub(crate) async fn load(
    connection: &mut Connection,
    owner: &Name,
) -> Result<Option<RuleSet>, StoreError> {
    let Some(text) = text(connection, owner).await? else {
        return Ok(None);
    };
    // Rules that can no longer be read might have forbidden it: no answer at all.
    RuleSet::parse(&text)
        .map(Some)
        .map_err(|error| StoreError::corrupt(format!("the rules of {owner}: {error}")))
}

/// When an owner's rules were put where they are.
pub(crate) async fn put_ms(
    connection: &mut Connection,
    owner: &Name,
) -> Result<Option<i64>, StoreError> {
    let row = connection.one(query(PUT_MS).bind(owner.as_str())).await?;
    row.map(|row| row.number("at_ms")).transpose()
}

async fn text(connection: &mut Connection, owner: &Name) -> Result<Option<String>, StoreError> {
    let question = query(GET).bind(owner.as_str());
    let row = connection.one(question).await?;
    row.map(|row| row.text("content")).transpose()
}

async fn put(tx: &mut Tx, owner: &Name, text: &str, now_ms: i64) -> Result<(), StoreError> {
    let question = query(PUT).bind(owner.as_str()).bind(text).bind(now_ms);
    tx.execute(question).await?;
    let detail = json!({ "digest": Digest::of(text.as_bytes()) });
    note(tx, owner, "rule.put", detail, now_ms).await
}

async fn delete(tx: &mut Tx, owner: &Name, now_ms: i64) -> Result<(), StoreError> {
    match tx.execute(query(DELETE).bind(owner.as_str())).await? {
        0 => Err(StoreError::NotFound),
        _ => note(tx, owner, "rule.delete", json!({}), now_ms).await,
    }
}

async fn note(
    tx: &mut Tx,
    owner: &Name,
    action: &'static str,
    detail: serde_json::Value,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.note(Note {
        at_ms: now_ms,
        actor: owner.as_str(),
        action,
        subject: owner.to_string(),
        detail,
        parties: Vec::new(),
    })
    .await
}
