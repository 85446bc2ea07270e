//! Runs that make versions: which version is to follow which, and what came of it.
//!
//! That a run saves is written down with its request, so that it is not
//! forgotten when a station stops. What comes of it is written once, in the
//! change that adds the version, and only if the version that the run has read
//! is still the newest.

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    id::RunId,
    json::canonical_of,
    name::{Name, ObjectName},
    run::State,
    transform::{Mode, Outcome},
    tree::Tree,
    version::Says,
};

use super::{newest, push, withheld};
use crate::{
    Connection, Fields, Store, Tx, error::StoreError, event::Note, fields::without_nul,
    question::query, run,
};

/// The most runs of one look at what is left to do.
const ENDED_MAX: i64 = 100;

/// A version that a run is to make.
#[derive(Clone, Debug)]
pub struct NewTransform {
    pub dataset: ObjectName,
    /// The version that the run reads, and that the new one follows.
    pub parent: Option<Digest>,
    pub mode: Mode,
    pub title: String,
    pub message: String,
}

/// What is known of a version that a run is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformRow {
    pub run: RunId,
    pub caller: Name,
    pub function_version: Digest,
    pub dataset: ObjectName,
    pub parent: Option<Digest>,
    pub mode: Mode,
    pub title: String,
    pub message: String,
    /// Absent until something came of it.
    pub outcome: Option<Outcome>,
}

const ADD: &str = "
    INSERT INTO transform (run, owner, name, parent, mode, title, message, is_open, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 1, NULL)";

const FIND: &str = "
    SELECT t.run, q.caller, q.function_version, t.owner, t.name, t.parent, t.mode, t.title,
           t.message, t.outcome
      FROM transform t JOIN request q ON q.run = t.run WHERE t.run = $1";

const ENDED: &str = "
    SELECT t.run FROM transform t JOIN run r ON r.id = t.run
     WHERE t.is_open = 1 AND t.mode = 'save' AND r.state = 'ended' AND $1 < t.run
     ORDER BY t.run LIMIT $2";

const OPEN: &str = "
    SELECT t.run FROM transform t WHERE t.is_open = 1 AND t.mode = 'save' ORDER BY t.run";

const END: &str = "
    UPDATE transform SET is_open = 0, outcome = $2 WHERE run = $1 AND is_open = 1";

impl Store {
    pub async fn transform_find(&self, run: &RunId) -> Result<Option<TransformRow>, StoreError> {
        let mut connection = self.read("look for a transform").await?;
        find(&mut connection, run).await
    }

    /// Runs that are to save a version of which nothing has come yet.
    pub async fn transforms_open(&self) -> Result<Vec<RunId>, StoreError> {
        let mut connection = self.read("look for versions to be made").await?;
        let rows = connection.all(query(OPEN)).await?;
        rows.iter().map(|row| row.parsed("run")).collect()
    }

    /// Those of them that have ended, after `after`; not all at once.
    pub async fn transforms_ended(&self, after: Option<&RunId>) -> Result<Vec<RunId>, StoreError> {
        let mut connection = self.read("look for versions to be made").await?;
        let after = after.map(RunId::to_string).unwrap_or_default();
        let question = query(ENDED).bind(after).bind(ENDED_MAX);
        let rows = connection.all(question).await?;
        rows.iter().map(|row| row.parsed("run")).collect()
    }

    /// Adds the version that a run made, or says why not. The second time it
    /// changes nothing, and says what came of it the first. `keeps` is whether
    /// it has parts of the version before.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when the run is to make none,
    /// [`StoreError::BlobMissing`] for a file that is not there.
    pub async fn transform_save(
        &self,
        run: &RunId,
        (tree, says, keeps): (Tree, Says, bool),
        now_ms: i64,
    ) -> Result<Outcome, StoreError> {
        self.blobs().check(&tree).await?;
        let run = run.clone();
        self.change("save what a run made", move |tx| {
            Box::pin(async move { save(tx, &run, (tree, says, keeps), now_ms).await })
        })
        .await
    }

    /// Writes down that a run made no version.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it was not to make one.
    pub async fn transform_end(
        &self,
        run: &RunId,
        outcome: Outcome,
        now_ms: i64,
    ) -> Result<Outcome, StoreError> {
        let run = run.clone();
        self.change("say what came of a transform", move |tx| {
            Box::pin(async move {
                let row = find(tx, &run).await?.ok_or(StoreError::NotFound)?;
                end(tx, row, outcome, now_ms).await
            })
        })
        .await
    }
}

pub(crate) async fn add(tx: &mut Tx, run: &RunId, new: &NewTransform) -> Result<(), StoreError> {
    let question = query(ADD)
        .bind(run.as_str())
        .bind(new.dataset.owner.as_str())
        .bind(new.dataset.name.as_str())
        .bind(new.parent.map(|parent| parent.to_string()))
        .bind(new.mode.as_str())
        .bind(without_nul(&new.title).into_owned())
        .bind(without_nul(&new.message).into_owned());
    tx.execute(question).await.map(drop)
}

async fn find(
    connection: &mut Connection,
    run: &RunId,
) -> Result<Option<TransformRow>, StoreError> {
    let found = connection.one(query(FIND).bind(run.as_str())).await?;
    found.as_ref().map(read).transpose()
}

async fn save(
    tx: &mut Tx,
    id: &RunId,
    (tree, says, keeps): (Tree, Says, bool),
    now_ms: i64,
) -> Result<Outcome, StoreError> {
    let row = find(tx, id).await?.ok_or(StoreError::NotFound)?;
    if let Some(outcome) = row.outcome {
        return Ok(outcome);
    }
    let run = run::load(tx, id).await?.ok_or(StoreError::NotFound)?;
    let succeeded = run.reason.as_ref().is_some_and(|r| r.is_success());
    if run.state != State::Ended || !succeeded || row.mode != Mode::Save {
        return Err(StoreError::conflict("the run made nothing to be saved"));
    }
    if run.is_withheld {
        let why = "an owner of the data took his yes back, so nothing of it is saved";
        return end(tx, row, not_saved("withheld", why), now_ms).await;
    }
    let before = newest(tx, &row.dataset).await?;
    if before.as_ref().map(|before| before.version) != row.parent {
        let why = format!(
            "{} is no longer as it was when this began: another version came first; do it again",
            row.dataset
        );
        return end(tx, row, not_saved("conflict", &why), now_ms).await;
    }
    if let Some(before) = &before
        && withheld::is_withheld(tx, before).await?
    {
        let why = "the version before is withheld, so nothing is saved after it";
        return end(tx, row, not_saved("withheld", why), now_ms).await;
    }
    if let Some(before) = &before
        && before.tree == tree.digest()
        && push::said_before(tx, before).await?.tells_the_same(&says)
    {
        return end(tx, row, Outcome::Unchanged, now_ms).await;
    }
    let says = Says {
        title: row.title.clone(),
        ..says
    };
    let new = push::NewVersion {
        tree,
        says,
        message: row.message.clone(),
        after: row.parent,
        takes_from: row.parent.filter(|_| keeps),
    };
    let name = row.dataset.clone();
    let added = match push::append(tx, before, name, new, ("dataset.save", now_ms)).await {
        Err(StoreError::Conflict { what: why }) => {
            return end(tx, row, not_saved("conflict", &why), now_ms).await;
        }
        added => added?,
    };
    let outcome = Outcome::Saved {
        version: added.version,
    };
    close(tx, id, &outcome).await?;
    Ok(outcome)
}

fn not_saved(code: &str, why: &str) -> Outcome {
    Outcome::NotSaved {
        code: code.to_owned(),
        detail: why.to_owned(),
    }
}

/// Ends a transform without a version, unless it has ended.
async fn end(
    tx: &mut Tx,
    row: TransformRow,
    outcome: Outcome,
    now_ms: i64,
) -> Result<Outcome, StoreError> {
    if let Some(outcome) = row.outcome {
        return Ok(outcome);
    }
    close(tx, &row.run, &outcome).await?;
    // The text of a fault may be a guest's.
    let what = match &outcome {
        Outcome::NotSaved { code, .. } => code.as_str(),
        _ => "unchanged",
    };
    tx.note(Note {
        at_ms: now_ms,
        actor: row.caller.as_str(),
        action: "dataset.not_saved",
        subject: row.dataset.to_string(),
        detail: json!({ "run": row.run, "why": what }),
        parties: Vec::new(),
    })
    .await?;
    Ok(outcome)
}

async fn close(tx: &mut Tx, run: &RunId, outcome: &Outcome) -> Result<(), StoreError> {
    let question = query(END).bind(run.as_str()).bind(canonical_of(outcome));
    match tx.execute(question).await? {
        1 => Ok(()),
        _ => Err(StoreError::conflict("something came of it already")),
    }
}

fn read(row: &Fields) -> Result<TransformRow, StoreError> {
    Ok(TransformRow {
        run: row.parsed("run")?,
        caller: row.parsed("caller")?,
        function_version: row.parsed("function_version")?,
        dataset: ObjectName {
            owner: row.parsed("owner")?,
            name: row.parsed("name")?,
        },
        parent: row.parsed_maybe("parent")?,
        mode: row.parsed("mode")?,
        title: row.text("title")?,
        message: row.text("message")?,
        outcome: row.json_maybe("outcome")?,
    })
}
