//! Adding a version: pushed by hand, made by a run, or brought back.
//!
//! A version that would say and hold what the newest does adds nothing. A
//! version goes after the one that its maker has seen, so what was checked of
//! it still holds when it is added.

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    json::canonical,
    name::{Name, ObjectName, Reference},
    tree::Tree,
    version::{Changes, Says},
};

use super::{DatasetVersionRow, maker, newest, origin, says, withheld};
use crate::{
    Store, Tx,
    error::StoreError,
    event::Note,
    fields::{as_number, without_nul},
    question::query,
    tree,
};

/// How often a push goes after a version that is no longer the newest.
const OVERTAKEN_MAX: usize = 100;

/// A version to be added.
#[derive(Clone, Debug)]
pub struct NewVersion {
    pub tree: Tree,
    pub says: Says,
    pub message: String,
    /// The newest version that its maker has seen.
    pub after: Option<Digest>,
    /// The version that parts of it were taken over from: the one before, or
    /// the one that is brought back.
    pub takes_from: Option<Digest>,
}

const ADD: &str = "
    INSERT INTO dataset_version (owner, name, number, version, parent, tree, says, title, message,
                                 at_ms, file_count, size_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

impl Store {
    /// Adds a version to a dataset of `actor`'s own, which begins with its
    /// first. What the version before says of itself stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a dataset of somebody else,
    /// [`StoreError::BlobMissing`] for a file that `actor` has not uploaded.
    pub async fn dataset_push(
        &self,
        actor: &Name,
        name: &ObjectName,
        tree: &Tree,
        message: &str,
        now_ms: i64,
    ) -> Result<DatasetVersionRow, StoreError> {
        if *actor != name.owner {
            return Err(StoreError::NotFound);
        }
        for _ in 0..OVERTAKEN_MAX {
            let before = self.dataset_find(name).await?.map(|found| found.newest);
            let said = match &before {
                Some(row) => self.dataset_says(row).await?,
                None => Says::default(),
            };
            let (after, changes) = (before.map(|row| row.version), Changes::default());
            let new = NewVersion {
                tree: tree.clone(),
                message: message.to_owned(),
                after,
                takes_from: after.filter(|_| changes.keeps(&said)),
                says: changes.over(&said),
            };
            if let Some(row) = self.dataset_add(actor, name, new, now_ms).await? {
                return Ok(row);
            }
        }
        Err(StoreError::conflict("the dataset changes all the time"))
    }

    /// Adds a version that `actor` brings. `None` when another one is the
    /// newest by now.
    ///
    /// # Errors
    ///
    /// As [`Store::dataset_push`].
    pub async fn dataset_add(
        &self,
        actor: &Name,
        name: &ObjectName,
        new: NewVersion,
        now_ms: i64,
    ) -> Result<Option<DatasetVersionRow>, StoreError> {
        if *actor != name.owner {
            return Err(StoreError::NotFound);
        }
        // Before the change begins: what somebody has brought stays brought.
        self.tree_check(actor, &new.tree).await?;
        self.add(name, new, "dataset.push", now_ms).await
    }

    /// Adds a version of files that the station has: what a run left, for the
    /// run's caller, or what a version of the same dataset had.
    ///
    /// Whose data is behind it is in what it says, and is the caller's to get
    /// right.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a dataset of somebody else,
    /// [`StoreError::BlobMissing`] for a file that is not there.
    pub async fn dataset_save(
        &self,
        actor: &Name,
        name: &ObjectName,
        new: NewVersion,
        now_ms: i64,
    ) -> Result<Option<DatasetVersionRow>, StoreError> {
        if *actor != name.owner {
            return Err(StoreError::NotFound);
        }
        self.blobs().check(&new.tree).await?;
        self.add(name, new, "dataset.save", now_ms).await
    }

    /// Brings an earlier version's files, and what it says, back as the newest.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a dataset of somebody else or no version.
    pub async fn dataset_restore(
        &self,
        actor: &Name,
        from: &Reference,
        message: &str,
        now_ms: i64,
    ) -> Result<DatasetVersionRow, StoreError> {
        if *actor != from.name.owner {
            return Err(StoreError::NotFound);
        }
        let old = self.dataset_version(from).await?;
        let old = old.ok_or(StoreError::NotFound)?;
        let (says, tree) = (
            self.dataset_says(&old).await?,
            self.dataset_tree(&old.version).await?,
        );
        for _ in 0..OVERTAKEN_MAX {
            let before = self.dataset_find(&from.name).await?;
            let new = NewVersion {
                tree: tree.clone(),
                says: says.clone(),
                message: message.to_owned(),
                after: before.map(|found| found.newest.version),
                takes_from: Some(old.version),
            };
            let added = self.add(&from.name, new, "dataset.restore", now_ms);
            if let Some(row) = added.await? {
                return Ok(row);
            }
        }
        Err(StoreError::conflict("the dataset changes all the time"))
    }

    async fn add(
        &self,
        name: &ObjectName,
        mut new: NewVersion,
        action: &'static str,
        now_ms: i64,
    ) -> Result<Option<DatasetVersionRow>, StoreError> {
        let name = name.clone();
        new.message = without_nul(&new.message).into_owned();
        new.says.title = without_nul(&new.says.title).into_owned();
        self.change("add a version of a dataset", move |tx| {
            Box::pin(async move { add(tx, name, new, (action, now_ms)).await })
        })
        .await
    }
}

async fn add(
    tx: &mut Tx,
    name: ObjectName,
    new: NewVersion,
    (action, at_ms): (&'static str, i64),
) -> Result<Option<DatasetVersionRow>, StoreError> {
    let before = newest(tx, &name).await?;
    if before.as_ref().map(|row| row.version) != new.after {
        return Ok(None);
    }
    let digest = new.tree.digest();
    if let Some(row) = &before
        && row.tree == digest
        && said_before(tx, row).await?.changes_nothing(&new.says)
        && !tells_of_withheld(tx, row, &new).await?
    {
        return Ok(Some(DatasetVersionRow {
            unchanged: true,
            ..row.clone()
        }));
    }
    append(tx, before, name, new, (action, at_ms))
        .await
        .map(Some)
}

/// Whether it would tell of what its owner may not see that nothing changes.
async fn tells_of_withheld(
    tx: &mut Tx,
    before: &DatasetVersionRow,
    new: &NewVersion,
) -> Result<bool, StoreError> {
    let owner = &before.dataset.owner;
    let makers = maker::handed_on(tx, owner, new.takes_from.as_ref()).await?;
    Ok(withheld::is_withheld(tx, before).await?
        || withheld::is_some_withheld(tx, owner, &makers).await?)
}

/// Adds a version after `before`, which is the newest.
pub(super) async fn append(
    tx: &mut Tx,
    before: Option<DatasetVersionRow>,
    name: ObjectName,
    new: NewVersion,
    (action, at_ms): (&'static str, i64),
) -> Result<DatasetVersionRow, StoreError> {
    let digest = new.tree.digest();
    let makers = maker::handed_on(tx, &name.owner, new.takes_from.as_ref()).await?;
    let mut row = DatasetVersionRow {
        author: name.owner.clone(),
        dataset: name,
        // Until the row is whole enough to be named.
        version: digest,
        number: before.as_ref().map_or(1, |row| row.number + 1),
        parent: new.after,
        tree: digest,
        says: says::keep(tx, &new.says).await?,
        title: new.says.title.clone(),
        message: new.message,
        at_ms,
        file_count: new.tree.file_count() as u64,
        size_bytes: new.tree.size_bytes(),
        unchanged: false,
    };
    row.version = version_of(&row);
    tree::keep(tx, &digest, &new.tree).await?;
    write(tx, &row).await?;
    origin::add(tx, &row.version, &new.says.derived_from).await?;
    maker::add(tx, &row.version, &makers).await?;
    note(tx, &row, &new.says, action).await?;
    Ok(row)
}

pub(super) async fn said_before(tx: &mut Tx, row: &DatasetVersionRow) -> Result<Says, StoreError> {
    match &row.says {
        Some(digest) => says::find(tx, digest).await,
        None => Ok(Says::default()),
    }
}

/// The digest over a version's place in the history and its content. A
/// version that says nothing has the digest that it had before there was
/// anything to say.
fn version_of(row: &DatasetVersionRow) -> Digest {
    let mut content = json!({
        "parent": row.parent,
        "tree": row.tree,
        "message": row.message,
        "author": row.author,
        "at_ms": row.at_ms,
    });
    if let Some(says) = &row.says {
        content["says"] = json!(says);
    }
    Digest::of(canonical(&content).as_bytes())
}

async fn write(tx: &mut Tx, row: &DatasetVersionRow) -> Result<(), StoreError> {
    let question = query(ADD)
        .bind(row.dataset.owner.as_str())
        .bind(row.dataset.name.as_str())
        .bind(as_number(row.number))
        .bind(row.version.to_string())
        .bind(row.parent.map(|parent| parent.to_string()))
        .bind(row.tree.to_string())
        .bind(row.says.map(|says| says.to_string()))
        .bind(Some(row.title.clone()).filter(|title| !title.is_empty()))
        .bind(row.message.as_str())
        .bind(row.at_ms)
        .bind(as_number(row.file_count))
        .bind(as_number(row.size_bytes));
    tx.execute(question).await.map(drop)
}

/// The owners of the originals are told too: their labels are on it. What it
/// holds is not told to anybody then: a digest tells who can guess, and the
/// author's leave may end, which no record of his does.
async fn note(
    tx: &mut Tx,
    row: &DatasetVersionRow,
    says: &Says,
    action: &'static str,
) -> Result<(), StoreError> {
    let mut detail = json!({ "version": row.version, "parent": row.parent });
    if !maker::is_of_others(&row.dataset.owner, says) {
        detail["tree"] = json!(row.tree);
    }
    if let Some(made_by) = &says.made_by {
        detail["run"] = json!(made_by.run);
    }
    let origins = says.derived_from.iter();
    tx.note(Note {
        at_ms: row.at_ms,
        actor: row.author.as_str(),
        action,
        subject: row.dataset.to_string(),
        detail,
        parties: origins.map(|origin| &origin.dataset.owner).collect(),
    })
    .await
}
