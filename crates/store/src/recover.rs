//! What a station does first: put right what the one before was in the middle of.
//!
//! A run whose guest had not begun goes back into the queue. One whose guest
//! had begun is over, since a guest runs at most once.

use serde_json::json;
use strongroom_core::{
    id::RunId,
    run::{Reason, State},
};

use crate::{
    Store, Tx,
    error::StoreError,
    event::{Note, STATION},
    finish,
    question::query,
    run, stage,
};

/// What a station found when it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Their guests had not begun, and they are in the queue again.
    pub requeued: Vec<RunId>,
    /// Their guests were killed with the station before.
    pub interrupted: Vec<RunId>,
}

const REQUEUE: &str = "UPDATE run SET state = 'queued', boot = NULL WHERE id = $1";

const UNDER_WAY: &str = "
    SELECT id, request, state, cancel_by FROM run
     WHERE state IN ('starting', 'running') ORDER BY id";

impl Store {
    /// Puts right what a station before this one was in the middle of. To be
    /// called when no guest of it is left alive.
    pub async fn run_recover(&self, now_ms: i64) -> Result<Recovered, StoreError> {
        self.change("recover runs", move |tx| {
            Box::pin(async move { recover(tx, now_ms).await })
        })
        .await
    }
}

async fn recover(tx: &mut Tx, now_ms: i64) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered::default();
    for fields in tx.all(query(UNDER_WAY)).await? {
        let id: RunId = fields.parsed("id")?;
        if fields.parsed::<State>("state")? == State::Starting {
            tx.execute(query(REQUEUE).bind(id.as_str())).await?;
            recovered.requeued.push(id);
            continue;
        }
        let reason = match fields.parsed_maybe("cancel_by")? {
            Some(by) => Reason::Cancelled { by },
            None => Reason::HostError {
                what: "interrupted".to_owned(),
            },
        };
        finish::end(tx, &id, &reason, now_ms).await?;
        stage::interrupt(tx, &id, &reason, now_ms).await?;
        finish::note(tx, &id, STATION, ("run.finish", now_ms), &reason).await?;
        recovered.interrupted.push(id);
    }
    for id in &recovered.requeued {
        let parties = run::parties(tx, id).await?;
        tx.note(Note {
            at_ms: now_ms,
            actor: STATION,
            action: "run.requeue",
            subject: id.to_string(),
            detail: json!({}),
            parties: parties.iter().collect(),
        })
        .await?;
    }
    Ok(recovered)
}
