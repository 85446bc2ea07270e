//! Owners' standing rules, one document each.
//!
//! Rules answer what is asked from now on, and what runs now: a run that they
//! do not let go on is ended in the change that puts them there.

use serde_json::json;
use strongroom_core::{digest::Digest, id::RunId, name::Name, rule::RuleSet};

use crate::{Connection, Store, Tx, error::StoreError, event::Note, finish, question::query, run};

const PUT: &str = "
    INSERT INTO rule (owner, content, at_ms, put_seq)
    VALUES ($1, $2, $3, (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit))
    ON CONFLICT (owner) DO UPDATE SET content = excluded.content, at_ms = excluded.at_ms,
                                      put_seq = excluded.put_seq";

const GET: &str = "SELECT content FROM rule WHERE owner = $1";

/// The runs whose guests are at work on something that an owner has a say in.
const RUNNING: &str = "
    SELECT r.id FROM run r JOIN verdict v ON v.request = r.request
     WHERE r.state = 'running' AND v.owner = $1 ORDER BY r.id";

const DELETE: &str = "DELETE FROM rule WHERE owner = $1";

impl Store {
    /// Puts an owner's rules in place of those before. The text has passed
    /// [`RuleSet::parse`]; one that has not makes every later request an error.
    /// Returns the runs that these rules end, whose guests have to be killed.
    pub async fn rule_put(
        &self,
        owner: &Name,
        text: &str,
        now_ms: i64,
    ) -> Result<Vec<RunId>, StoreError> {
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

    /// Returns the runs that rested on them, whose guests have to be killed.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there are none.
    pub async fn rule_delete(&self, owner: &Name, now_ms: i64) -> Result<Vec<RunId>, StoreError> {
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

async fn text(connection: &mut Connection, owner: &Name) -> Result<Option<String>, StoreError> {
    let question = query(GET).bind(owner.as_str());
    let row = connection.one(question).await?;
    row.map(|row| row.text("content")).transpose()
}

async fn put(tx: &mut Tx, owner: &Name, text: &str, now_ms: i64) -> Result<Vec<RunId>, StoreError> {
    let question = query(PUT).bind(owner.as_str()).bind(text).bind(now_ms);
    tx.execute(question).await?;
    let killed = end_running(tx, owner, now_ms).await?;
    let detail = json!({ "digest": Digest::of(text.as_bytes()), "killed": killed });
    note(tx, owner, "rule.put", detail, now_ms).await?;
    Ok(killed)
}

async fn delete(tx: &mut Tx, owner: &Name, now_ms: i64) -> Result<Vec<RunId>, StoreError> {
    if tx.execute(query(DELETE).bind(owner.as_str())).await? == 0 {
        return Err(StoreError::NotFound);
    }
    let killed = end_running(tx, owner, now_ms).await?;
    note(
        tx,
        owner,
        "rule.delete",
        json!({ "killed": killed }),
        now_ms,
    )
    .await?;
    Ok(killed)
}

/// Ends what runs and is let run no longer, as a yes that is taken back does.
/// There are no more of them than places to run in.
async fn end_running(tx: &mut Tx, owner: &Name, now_ms: i64) -> Result<Vec<RunId>, StoreError> {
    let mut killed = Vec::new();
    for fields in tx.all(query(RUNNING).bind(owner.as_str())).await? {
        let id: RunId = fields.parsed("id")?;
        match run::stands::check(tx, &id, now_ms).await {
            Ok(()) => {}
            Err(StoreError::Refused { .. }) => {
                finish::request_cancel(tx, &id, owner).await?;
                killed.push(id);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(killed)
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
