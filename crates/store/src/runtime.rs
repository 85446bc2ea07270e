//! Runtimes that somebody added: a name, and the tree of a folder.
//!
//! What a runtime's files mean is not known here. A runtime that is replaced
//! or removed keeps its files, as everything does; what ran on it still says
//! by its digest what that was.

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    manifest::Manifest,
    name::{Name, ObjectName},
    runtime::RuntimeName,
    tree::Tree,
};

use crate::{Connection, Fields, Store, Tx, error::StoreError, event::Note, question::query, tree};

/// A runtime as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeRow {
    pub name: RuntimeName,
    pub tree: Digest,
    pub author: Name,
    pub at_ms: i64,
    /// Adding it changed nothing, and this is what was there.
    pub unchanged: bool,
}

/// What happens to a runtime of the same name that has other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// It stays, and adding is refused.
    Stays,
    Replaced,
}

/// What happens to functions that use a runtime which is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// The runtime stays, and removing it is refused.
    Stays,
    /// It goes, and they run no more.
    Removed,
}

/// How many functions a refusal names.
const USERS_NAMED_MAX: usize = 5;

const ALL: &str = "SELECT name, tree, author, at_ms FROM runtime ORDER BY name";

const FIND: &str = "SELECT name, tree, author, at_ms FROM runtime WHERE name = $1";

const ADD: &str = "INSERT INTO runtime (name, tree, author, at_ms) VALUES ($1, $2, $3, $4)";

const REMOVE: &str = "DELETE FROM runtime WHERE name = $1";

/// Canonical JSON has no spaces, and in a text of it the quotes are escaped,
/// so this finds every user, and seldom more.
const USERS: &str = "
    SELECT DISTINCT v.owner, v.name, c.manifest
      FROM function_version v JOIN function_content c ON c.version = v.version
     WHERE c.manifest LIKE $1 ORDER BY v.owner, v.name";

impl Store {
    /// Adds a runtime, in the name of `actor`, who has to be an admin.
    ///
    /// # Errors
    ///
    /// [`StoreError::BlobMissing`] for a file that `actor` has not uploaded,
    /// [`StoreError::Conflict`] when another one of this name stays.
    pub async fn runtime_add(
        &self,
        actor: &Name,
        name: &RuntimeName,
        files: &Tree,
        present: Present,
        now_ms: i64,
    ) -> Result<RuntimeRow, StoreError> {
        // Before the change begins: what somebody has brought stays brought.
        self.tree_check(actor, files).await?;
        let row = RuntimeRow {
            name: name.clone(),
            tree: files.digest(),
            author: actor.clone(),
            at_ms: now_ms,
            unchanged: false,
        };
        let files = files.clone();
        self.change("add a runtime", move |tx| {
            Box::pin(async move { add(tx, row, &files, present).await })
        })
        .await
    }

    /// All runtimes that were added, by name. The door bounds how many there are.
    pub async fn runtime_list(&self) -> Result<Vec<RuntimeRow>, StoreError> {
        let mut connection = self.read("list the runtimes").await?;
        let rows = connection.all(query(ALL)).await?;
        rows.iter().map(read).collect()
    }

    /// A runtime that was added, with its files.
    pub async fn runtime_find(
        &self,
        name: &RuntimeName,
    ) -> Result<Option<(RuntimeRow, Tree)>, StoreError> {
        let mut connection = self.read("look for a runtime").await?;
        let Some(row) = find(&mut connection, name).await? else {
            return Ok(None);
        };
        let files = tree::find(&mut connection, &row.tree).await?;
        let files =
            files.ok_or_else(|| StoreError::corrupt(format!("there is no tree {}", row.tree)))?;
        Ok(Some((row, files)))
    }

    /// Removes a runtime, in the name of `actor`, who has to be an admin.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none of this name,
    /// [`StoreError::Conflict`] names functions that keep it from going.
    pub async fn runtime_remove(
        &self,
        actor: &Name,
        name: &RuntimeName,
        in_use: InUse,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (actor, name) = (actor.clone(), name.clone());
        self.change("remove a runtime", move |tx| {
            Box::pin(async move { remove(tx, &actor, &name, in_use, now_ms).await })
        })
        .await
    }
}

async fn find(
    connection: &mut Connection,
    name: &RuntimeName,
) -> Result<Option<RuntimeRow>, StoreError> {
    let question = query(FIND).bind(name.as_str());
    let found = connection.one(question).await?;
    found.as_ref().map(read).transpose()
}

async fn add(
    tx: &mut Tx,
    row: RuntimeRow,
    files: &Tree,
    present: Present,
) -> Result<RuntimeRow, StoreError> {
    let before = find(tx, &row.name).await?;
    match &before {
        Some(found) if found.tree == row.tree => {
            return Ok(RuntimeRow {
                unchanged: true,
                ..found.clone()
            });
        }
        Some(_) if present == Present::Stays => {
            let what = format!(
                "there is another runtime {} already; it stays unless it is to be replaced",
                row.name
            );
            return Err(StoreError::conflict(what));
        }
        Some(_) => drop(tx.execute(query(REMOVE).bind(row.name.as_str())).await?),
        None => {}
    }
    tree::keep(tx, &row.tree, files).await?;
    let question = query(ADD)
        .bind(row.name.as_str())
        .bind(row.tree.to_string())
        .bind(row.author.as_str())
        .bind(row.at_ms);
    tx.execute(question).await?;
    tx.note(Note {
        at_ms: row.at_ms,
        actor: row.author.as_str(),
        action: "runtime.add",
        subject: row.name.to_string(),
        detail: json!({ "tree": row.tree, "before": before.map(|before| before.tree) }),
        parties: Vec::new(),
    })
    .await?;
    Ok(row)
}

async fn remove(
    tx: &mut Tx,
    actor: &Name,
    name: &RuntimeName,
    in_use: InUse,
    now_ms: i64,
) -> Result<(), StoreError> {
    let found = find(tx, name).await?.ok_or(StoreError::NotFound)?;
    let users = users(tx, name).await?;
    if in_use == InUse::Stays && !users.is_empty() {
        return Err(StoreError::conflict(used_by(name, &users)));
    }
    let question = query(REMOVE).bind(name.as_str());
    tx.execute(question).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: actor.as_str(),
        action: "runtime.remove",
        subject: name.to_string(),
        detail: json!({ "tree": found.tree }),
        parties: Vec::new(),
    })
    .await
}

/// The functions that have a version on this runtime.
async fn users(
    connection: &mut Connection,
    name: &RuntimeName,
) -> Result<Vec<ObjectName>, StoreError> {
    let question = query(USERS).bind(format!("%\"runtime\":\"{name}\"%"));
    let mut users = Vec::new();
    for row in connection.all(question).await? {
        let manifest: Manifest = row.json("manifest")?;
        let user = ObjectName {
            owner: row.parsed("owner")?,
            name: row.parsed("name")?,
        };
        if manifest.runtime == *name && users.last() != Some(&user) {
            users.push(user);
        }
    }
    Ok(users)
}

fn used_by(name: &RuntimeName, users: &[ObjectName]) -> String {
    let named = users.iter().take(USERS_NAMED_MAX).map(ToString::to_string);
    let mut named: Vec<String> = named.collect();
    if named.len() < users.len() {
        named.push(format!("{} more", users.len() - named.len()));
    }
    format!("the runtime {name} is used by {}", named.join(", "))
}

fn read(row: &Fields) -> Result<RuntimeRow, StoreError> {
    Ok(RuntimeRow {
        name: row.parsed("name")?,
        tree: row.parsed("tree")?,
        author: row.parsed("author")?,
        at_ms: row.number("at_ms")?,
        unchanged: false,
    })
}
