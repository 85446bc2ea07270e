//! Another name for a dataset, or none at all.
//!
//! A name goes only when nothing is on the way that was asked by that name.
//! Versions and files of a removed dataset stay as bytes that nobody finds;
//! what was derived from it keeps its labels.

use serde_json::json;
use strongroom_core::{
    id::{RequestId, RunId},
    name::{Name, ObjectName},
};

use super::{newest, origin};
use crate::{
    Connection, Store, Tx, error::StoreError, event::Note, question::query, revoke, runtime::InUse,
};

/// What a removal took along.
#[derive(Clone, Debug)]
pub struct Removed {
    pub requests: Vec<RequestId>,
    /// Their guests run, and have to be killed now.
    pub runs_to_kill: Vec<RunId>,
}

/// The same, by the names of the originals behind the inputs as well.
const NAMED: &str = "
    SELECT r.id FROM run u JOIN request r ON r.id = u.request
     WHERE u.state IN ('waiting', 'queued', 'starting', 'running')
       AND (r.inputs LIKE $1 OR r.labels LIKE $1)
     ORDER BY r.id";

/// Derived datasets that are named in a refusal.
const NAMED_MAX: usize = 10;

/// What was asked and has not ended, by the inputs' names.
const OPEN: &str = "
    SELECT r.id FROM run u JOIN request r ON r.id = u.request
     WHERE u.state IN ('waiting', 'queued', 'starting', 'running') AND r.inputs LIKE $1
     ORDER BY r.id";

const RENAME: &str = "
    UPDATE dataset_version SET name = $3 WHERE owner = $1 AND name = $2";

const REMOVE: &str = "DELETE FROM dataset_version WHERE owner = $1 AND name = $2";

impl Store {
    /// Gives a dataset of `actor`'s own another name.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it is not his or not there,
    /// [`StoreError::Conflict`] when the new name is taken, or when requests
    /// that name it are open.
    pub async fn dataset_rename(
        &self,
        actor: &Name,
        from: &ObjectName,
        to: &Name,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        if *actor != from.owner {
            return Err(StoreError::NotFound);
        }
        let (from, to) = (from.clone(), to.clone());
        self.change("rename a dataset", move |tx| {
            Box::pin(async move { rename(tx, &from, &to, now_ms).await })
        })
        .await
    }

    /// Removes a dataset of `actor`'s own.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it is not his or not there,
    /// [`StoreError::Conflict`] names what keeps it from going.
    pub async fn dataset_remove(
        &self,
        actor: &Name,
        name: &ObjectName,
        in_use: InUse,
        now_ms: i64,
    ) -> Result<Removed, StoreError> {
        if *actor != name.owner {
            return Err(StoreError::NotFound);
        }
        let name = name.clone();
        self.change("remove a dataset", move |tx| {
            Box::pin(async move { remove(tx, &name, in_use, now_ms).await })
        })
        .await
    }
}

async fn rename(tx: &mut Tx, from: &ObjectName, to: &Name, now_ms: i64) -> Result<(), StoreError> {
    newest(tx, from).await?.ok_or(StoreError::NotFound)?;
    let new = ObjectName {
        owner: from.owner.clone(),
        name: to.clone(),
    };
    if newest(tx, &new).await?.is_some() {
        return Err(StoreError::conflict(format!("there is {new} already")));
    }
    // Rules know data by its name: it stays what they were asked about.
    let open = asked(tx, NAMED, from).await?;
    if !open.is_empty() {
        let what = format!("{} name {from} and have not ended", requests(open.len()));
        return Err(StoreError::conflict(what));
    }
    let question = query(RENAME)
        .bind(from.owner.as_str())
        .bind(from.name.as_str())
        .bind(to.as_str());
    tx.execute(question).await?;
    origin::rename(tx, from, to).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: from.owner.as_str(),
        action: "dataset.rename",
        subject: from.to_string(),
        detail: json!({ "to": new }),
        parties: Vec::new(),
    })
    .await
}

async fn remove(
    tx: &mut Tx,
    name: &ObjectName,
    in_use: InUse,
    now_ms: i64,
) -> Result<Removed, StoreError> {
    let last = newest(tx, name).await?.ok_or(StoreError::NotFound)?;
    let (open, derived) = (
        asked(tx, OPEN, name).await?,
        origin::derived(tx, name).await?,
    );
    if in_use == InUse::Stays && !(open.is_empty() && derived.is_empty()) {
        return Err(StoreError::conflict(needed(name, open.len(), &derived)));
    }
    let mut runs_to_kill = Vec::new();
    for request in &open {
        runs_to_kill.extend(revoke::take_back(tx, &name.owner, request, now_ms).await?);
    }
    let question = query(REMOVE)
        .bind(name.owner.as_str())
        .bind(name.name.as_str());
    tx.execute(question).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: name.owner.as_str(),
        action: "dataset.remove",
        subject: name.to_string(),
        detail: json!({
            "newest": last.version,
            "versions": last.number,
            "requests": open,
            "derived": derived.len(),
            "forced": in_use != InUse::Stays,
        }),
        parties: Vec::new(),
    })
    .await?;
    Ok(Removed {
        requests: open,
        runs_to_kill,
    })
}

async fn asked(
    connection: &mut Connection,
    which: &'static str,
    name: &ObjectName,
) -> Result<Vec<RequestId>, StoreError> {
    // A name has neither of the two characters that mean something to LIKE.
    let question = query(which).bind(format!("%\"dataset\":\"{name}\"%"));
    let rows = connection.all(question).await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

fn requests(count: usize) -> String {
    match count {
        1 => "1 request".to_owned(),
        _ => format!("{count} requests"),
    }
}

/// What keeps a dataset from going. Names of others' datasets are theirs.
fn needed(name: &ObjectName, open: usize, derived: &[ObjectName]) -> String {
    let mut why = Vec::new();
    if open != 0 {
        why.push(format!("{} that have not ended", requests(open)));
    }
    let own: Vec<String> = derived
        .iter()
        .filter(|other| other.owner == name.owner)
        .map(|other| other.to_string())
        .collect();
    if !own.is_empty() {
        let named = own[..own.len().min(NAMED_MAX)].join(", ");
        let more = own.len().saturating_sub(NAMED_MAX);
        let rest = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        why.push(format!("{named}{rest}, derived from it"));
    }
    let others = derived.len() - own.len();
    if others != 0 {
        why.push(format!("{others} datasets of others, derived from it"));
    }
    format!("{name} is needed by {}", why.join("; "))
}
