//! Reading the audit record, and checking that nobody has edited it.
//!
//! A changed, added or removed event breaks the chain at its place. What the
//! chain alone cannot show is that its end was cut off; whoever needs that
//! keeps a copy of the newest digest somewhere else.

use strongroom_core::{digest::Digest, event::Event, name::Name};

use crate::{Fields, Store, error::StoreError, page::Page, question::query};

/// An event with the digest that chains it to the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub event: Event,
    pub chain: Digest,
}

const PAGE: &str = "
    SELECT seq, at_ms, actor, action, subject, detail, chain
      FROM audit WHERE $1 < seq ORDER BY seq LIMIT $2";

const PAGE_OF: &str = "
    SELECT a.seq, a.at_ms, a.actor, a.action, a.subject, a.detail, a.chain
      FROM audit_party p JOIN audit a ON a.seq = p.seq
     WHERE p.party = $3 AND $1 < p.seq ORDER BY p.seq LIMIT $2";

/// How many events the check holds in memory.
const VERIFY_STEP: i64 = 500;

impl Store {
    /// Events after `after_seq`, oldest first: those that concern `viewer`, or all.
    pub async fn audit_page(
        &self,
        viewer: Option<&Name>,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut connection = self.read("read the audit record").await?;
        let limit = i64::from(limit.clamp(1, Page::LIMIT_MAX));
        let question = match viewer {
            None => query(PAGE).bind(after_seq).bind(limit),
            Some(viewer) => query(PAGE_OF)
                .bind(after_seq)
                .bind(limit)
                .bind(viewer.as_str()),
        };
        let rows = connection.all(question).await?;
        rows.iter().map(read).collect()
    }

    /// Checks the whole chain; how many events it has.
    ///
    /// # Errors
    ///
    /// [`StoreError::AuditBroken`] with the first event that does not fit.
    pub async fn audit_verify(&self) -> Result<u64, StoreError> {
        let mut connection = self.read("check the audit record").await?;
        let (mut seq, mut before) = (0i64, None);
        loop {
            let question = query(PAGE).bind(seq).bind(VERIFY_STEP);
            let rows = connection.all(question).await?;
            if rows.is_empty() {
                return Ok(seq.unsigned_abs());
            }
            for row in &rows {
                seq += 1;
                // A row that cannot even be read was not written by us either.
                let found = read(row).map_err(|_| StoreError::AuditBroken { seq })?;
                if found.event.seq != seq || found.event.chained(before) != found.chain {
                    return Err(StoreError::AuditBroken { seq });
                }
                before = Some(found.chain);
            }
        }
    }
}

fn read(row: &Fields) -> Result<AuditRow, StoreError> {
    let event = Event {
        seq: row.number("seq")?,
        at_ms: row.number("at_ms")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        subject: row.text("subject")?,
        detail: row.json("detail")?,
    };
    Ok(AuditRow {
        event,
        chain: row.parsed("chain")?,
    })
}
