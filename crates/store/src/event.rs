//! Writing the audit record: the other half of every change.
//!
//! An event is chained to the one before it in the same transaction as its
//! change. Details are ids, digests and states only: no argument, no purpose
//! and nothing that a guest wrote, because an event is read by everybody whom
//! it concerns.

use std::collections::BTreeSet;

use serde_json::Value;
use strongroom_core::{digest::Digest, event::Event, json, name::Name};

use crate::{Tx, error::StoreError, question::query};

/// Who acts when no user does.
pub(crate) const STATION: &str = "station";

/// What a change says of itself.
pub(crate) struct Note<'a> {
    pub at_ms: i64,
    pub actor: &'a str,
    pub action: &'static str,
    pub subject: String,
    pub detail: Value,
    /// The users who may read it; the actor is one anyway.
    pub parties: Vec<&'a Name>,
}

const LAST: &str = "SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1";

const ADD: &str = "
    INSERT INTO audit (seq, at_ms, actor, action, subject, detail, chain)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const ADD_PARTY: &str = "INSERT INTO audit_party (party, seq) VALUES ($1, $2)";

impl Tx {
    /// Adds an event to the record.
    pub async fn note(&mut self, note: Note<'_>) -> Result<(), StoreError> {
        let last = self.one(query(LAST)).await?;
        let (seq, before) = match &last {
            None => (1, None),
            Some(row) => (row.number("seq")? + 1, Some(row.parsed::<Digest>("chain")?)),
        };
        let event = Event {
            seq,
            at_ms: note.at_ms,
            actor: note.actor.to_owned(),
            action: note.action.to_owned(),
            subject: note.subject,
            detail: note.detail,
        };
        let added = query(ADD)
            .bind(seq)
            .bind(event.at_ms)
            .bind(note.actor)
            .bind(note.action)
            .bind(event.subject.clone())
            .bind(json::canonical(&event.detail))
            .bind(event.chained(before).to_string());
        self.execute(added).await?;
        let mut parties: BTreeSet<&str> = note.parties.iter().map(|name| name.as_str()).collect();
        parties.insert(note.actor);
        for party in parties {
            self.execute(query(ADD_PARTY).bind(party).bind(seq)).await?;
        }
        Ok(())
    }
}
