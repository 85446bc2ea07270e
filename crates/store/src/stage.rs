//! The stages of a run, as rows: how far it came, and what was handed on.
//!
//! A run of one stage has none. Of a value that one stage hands to the next
//! its digest is kept; of what `expose` says also the bytes, to the last,
//! before anything with a network begins.

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    id::RunId,
    json::canonical_of,
    name::Name,
    run::{Reason, Usage},
    stage::Stage,
};

use crate::{
    Connection, Fields, Store, Tx,
    error::StoreError,
    event::{Note, STATION},
    question::query,
    run,
};

/// One stage of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StageRow {
    pub stage: Stage,
    pub started_ms: i64,
    /// The log lines before its first.
    pub log_before: i64,
    pub ended_ms: Option<i64>,
    pub reason: Option<Reason>,
    pub usage: Option<Usage>,
    /// What it handed to the next stage.
    pub value: Option<ValueRow>,
}

/// What is known of a value that was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRow {
    pub digest: Digest,
    pub size_bytes: u64,
}

/// How a stage ended.
#[derive(Clone, Debug)]
pub struct StageEnd {
    pub stage: Stage,
    pub reason: Reason,
    pub usage: Option<Usage>,
    /// What it hands to the next stage, as the next stage will read it.
    pub value: Option<String>,
}

/// A stage that begins.
#[derive(Clone, Copy, Debug)]
pub struct StageBegin {
    pub stage: Stage,
    /// The log lines that were written before.
    pub log_before: i64,
}

const BEGIN: &str = "
    INSERT INTO run_stage (run, stage, number, started_ms, log_before) VALUES ($1, $2, $3, $4, $5)";

const END: &str = "
    UPDATE run_stage SET ended_ms = $3, reason = $4, usage = $5, value_digest = $6,
                         value_bytes = $7, value = $8
     WHERE run = $1 AND stage = $2 AND ended_ms IS NULL";

const INTERRUPT: &str = "
    UPDATE run_stage SET ended_ms = $2, reason = $3 WHERE run = $1 AND ended_ms IS NULL";

const OF: &str = "
    SELECT stage, started_ms, log_before, ended_ms, reason, usage, value_digest, value_bytes
      FROM run_stage WHERE run = $1 ORDER BY number";

const EXPOSED: &str = "
    SELECT value FROM run_stage WHERE run = $1 AND stage = 'expose' AND value IS NOT NULL";

impl Store {
    /// Writes down that one stage of a run ended and that the next begins.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] when the owners' answers, or who wants the run to
    /// end, do not let it go on; nothing is written down then.
    pub async fn run_stage(
        &self,
        run: &RunId,
        ended: Option<StageEnd>,
        begins: StageBegin,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let run = run.clone();
        self.change("write down a stage", move |tx| {
            Box::pin(async move {
                if let Some(ended) = ended
                    && !end(tx, &run, ended, now_ms).await?
                {
                    return Err(StoreError::conflict("the stage did not run"));
                }
                run::stands::check(tx, &run, now_ms).await?;
                begin(tx, &run, begins, now_ms).await
            })
        })
        .await
    }

    /// What a run exposed, to the byte, unless `viewer` may not see it.
    pub async fn run_exposed(
        &self,
        viewer: &Name,
        id: &RunId,
    ) -> Result<Option<String>, StoreError> {
        let mut connection = self.read("read what was exposed").await?;
        let Some(row) = run::seen(&mut connection, viewer, id).await? else {
            return Ok(None);
        };
        if row.is_withheld {
            return Ok(None);
        }
        let row = connection.one(query(EXPOSED).bind(id.as_str())).await?;
        row.map(|row| row.text("value")).transpose()
    }
}

async fn begin(
    tx: &mut Tx,
    run: &RunId,
    begins: StageBegin,
    now_ms: i64,
) -> Result<(), StoreError> {
    let question = query(BEGIN)
        .bind(run.as_str())
        .bind(begins.stage.as_str())
        .bind(begins.stage as i64)
        .bind(now_ms)
        .bind(begins.log_before);
    tx.execute(question).await?;
    let stage = begins.stage;
    let detail = json!({ "stage": stage });
    let parties = run::parties(tx, run).await?;
    note(tx, run, ("run.stage", now_ms), detail, &parties).await
}

/// Writes how a stage ended; whether it was running.
pub(crate) async fn end(
    tx: &mut Tx,
    run: &RunId,
    ended: StageEnd,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let value = ended.value.as_ref().map(|value| ValueRow {
        digest: Digest::of(value.as_bytes()),
        size_bytes: value.len() as u64,
    });
    let exposed = ended.value.filter(|_| ended.stage == Stage::Expose);
    let question = query(END)
        .bind(run.as_str())
        .bind(ended.stage.as_str())
        .bind(now_ms)
        .bind(canonical_of(&ended.reason))
        .bind(ended.usage.as_ref().map(canonical_of))
        .bind(value.map(|value| value.digest.to_string()))
        .bind(value.map(|value| value.size_bytes as i64))
        .bind(exposed.clone());
    if tx.execute(question).await? == 0 {
        return Ok(false);
    }
    if let (Some(_), Some(value)) = (exposed, value) {
        let detail = json!({ "digest": value.digest, "size_bytes": value.size_bytes });
        // A digest tells who can guess, and the caller's leave may end.
        let owners = run::owners(tx, run).await?;
        note(tx, run, ("run.expose", now_ms), detail, &owners).await?;
    }
    Ok(true)
}

/// Ends the stage that a station before this one was in the middle of.
pub(crate) async fn interrupt(
    tx: &mut Tx,
    run: &RunId,
    reason: &Reason,
    now_ms: i64,
) -> Result<(), StoreError> {
    let question = query(INTERRUPT)
        .bind(run.as_str())
        .bind(now_ms)
        .bind(canonical_of(reason));
    tx.execute(question).await.map(drop)
}

/// The stages of a run, in their order.
pub(crate) async fn of(
    connection: &mut Connection,
    run: &RunId,
) -> Result<Vec<StageRow>, StoreError> {
    let rows = connection.all(query(OF).bind(run.as_str())).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Fields) -> Result<StageRow, StoreError> {
    let value = match row.parsed_maybe("value_digest")? {
        None => None,
        Some(digest) => Some(ValueRow {
            digest,
            size_bytes: row.count("value_bytes")?,
        }),
    };
    Ok(StageRow {
        stage: row.parsed("stage")?,
        started_ms: row.number("started_ms")?,
        log_before: row.number("log_before")?,
        ended_ms: row.number_maybe("ended_ms")?,
        reason: row.json_maybe("reason")?,
        usage: row.json_maybe("usage")?,
        value,
    })
}

async fn note(
    tx: &mut Tx,
    run: &RunId,
    (action, at_ms): (&'static str, i64),
    detail: serde_json::Value,
    parties: &[Name],
) -> Result<(), StoreError> {
    tx.note(Note {
        at_ms,
        actor: STATION,
        action,
        subject: run.to_string(),
        detail,
        parties: parties.iter().collect(),
    })
    .await
}
