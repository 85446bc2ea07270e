//! Datasets: chains of immutable versions.
//!
//! A version's digest covers its tree, its parent, what it says of itself and
//! who said what when, so it names a place in a history and not only some
//! content. A name is not under the digest: a renamed dataset keeps its
//! versions.

mod keep;
mod maker;
pub(crate) mod origin;
mod push;
mod says;
pub(crate) mod transform;
mod withheld;

use strongroom_core::{
    digest::Digest,
    name::{Name, ObjectName, Reference},
};

pub use self::{
    keep::Removed,
    push::NewVersion,
    transform::{NewTransform, TransformRow},
};
use crate::{
    Connection, Fields, Store,
    error::StoreError,
    history::History,
    page::{Page, Paged},
    question::query,
};

/// A dataset with its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetRow {
    pub name: ObjectName,
    pub newest: DatasetVersionRow,
    pub version_count: u64,
}

/// One version of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetVersionRow {
    pub dataset: ObjectName,
    pub version: Digest,
    /// From 1, without gaps.
    pub number: u64,
    pub parent: Option<Digest>,
    pub tree: Digest,
    /// The document of what it says of itself, if it says anything.
    pub says: Option<Digest>,
    pub title: String,
    pub message: String,
    pub author: Name,
    pub at_ms: i64,
    pub file_count: u64,
    pub size_bytes: u64,
    /// The push changed nothing, and this is the version that was there.
    pub unchanged: bool,
}

const VERSIONS: History = History {
    newest: "
    SELECT owner, name, number, version, parent, tree, says, title, message, at_ms,
           file_count, size_bytes
      FROM dataset_version WHERE owner = $1 AND name = $2
     ORDER BY number DESC LIMIT 1",
    log: "
    SELECT owner, name, number, version, parent, tree, says, title, message, at_ms,
           file_count, size_bytes
      FROM dataset_version WHERE owner = $1 AND name = $2 AND number < $3
     ORDER BY number DESC LIMIT $4",
    exactly: "
    SELECT owner, name, number, version, parent, tree, says, title, message, at_ms,
           file_count, size_bytes
      FROM dataset_version WHERE owner = $1 AND name = $2 AND version = $3",
    back: "
    SELECT owner, name, number, version, parent, tree, says, title, message, at_ms,
           file_count, size_bytes
      FROM dataset_version v WHERE v.owner = $1 AND v.name = $2
       AND v.number = (SELECT MAX(o.number) FROM dataset_version o
                        WHERE o.owner = $1 AND o.name = $2) - $3",
};

const LIST: &str = "
    SELECT v.owner, v.name, v.number, v.version, v.parent, v.tree, v.says, v.title,
           v.message, v.at_ms, v.file_count, v.size_bytes
      FROM dataset_version v
     WHERE v.owner = $1 AND $2 < v.name
       AND v.number = (SELECT MAX(o.number) FROM dataset_version o
                        WHERE o.owner = v.owner AND o.name = v.name)
     ORDER BY v.name LIMIT $3";

impl Store {
    /// The datasets of `owner` by name, each with its newest version.
    pub async fn dataset_list(
        &self,
        owner: &Name,
        page: Page,
    ) -> Result<Paged<DatasetRow>, StoreError> {
        let mut connection = self.read("list datasets").await?;
        let question = query(LIST)
            .bind(owner.as_str())
            .bind(page.cursor())
            .bind(page.fetch());
        let rows = connection.all(question).await?;
        let datasets = rows.iter().map(|row| read(row).map(with_count));
        let datasets = datasets.collect::<Result<_, _>>()?;
        Ok(page.cut(datasets, |row: &DatasetRow| row.name.name.to_string()))
    }

    pub async fn dataset_find(&self, name: &ObjectName) -> Result<Option<DatasetRow>, StoreError> {
        let mut connection = self.read("look for a dataset").await?;
        Ok(newest(&mut connection, name).await?.map(with_count))
    }

    /// A dataset's versions, newest first.
    pub async fn dataset_log(
        &self,
        name: &ObjectName,
        page: Page,
    ) -> Result<Paged<DatasetVersionRow>, StoreError> {
        let mut connection = self.read("list a dataset's versions").await?;
        let question = VERSIONS.log(name, &page)?;
        let rows = connection.all(question).await?;
        let versions = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(page.cut(versions, |row: &DatasetVersionRow| row.number.to_string()))
    }

    pub async fn dataset_version(
        &self,
        reference: &Reference,
    ) -> Result<Option<DatasetVersionRow>, StoreError> {
        let mut connection = self.read("look for a dataset's version").await?;
        let found = connection.one(VERSIONS.meant(reference)).await?;
        found.as_ref().map(read).transpose()
    }
}

async fn newest(
    connection: &mut Connection,
    name: &ObjectName,
) -> Result<Option<DatasetVersionRow>, StoreError> {
    let question = VERSIONS.newest(name);
    let found = connection.one(question).await?;
    found.as_ref().map(read).transpose()
}

/// Whether a dataset has this version; asked again when a run is submitted.
pub(crate) async fn has_version(
    connection: &mut Connection,
    name: &ObjectName,
    version: &Digest,
) -> Result<bool, StoreError> {
    Ok(connection
        .one(VERSIONS.exactly(name, version))
        .await?
        .is_some())
}

fn read(row: &Fields) -> Result<DatasetVersionRow, StoreError> {
    let owner: Name = row.parsed("owner")?;
    Ok(DatasetVersionRow {
        author: owner.clone(),
        dataset: ObjectName {
            owner,
            name: row.parsed("name")?,
        },
        version: row.parsed("version")?,
        number: row.count("number")?,
        parent: row.parsed_maybe("parent")?,
        tree: row.parsed("tree")?,
        says: row.parsed_maybe("says")?,
        title: row.text_maybe("title")?.unwrap_or_default(),
        message: row.text("message")?,
        at_ms: row.number("at_ms")?,
        file_count: row.count("file_count")?,
        size_bytes: row.count("size_bytes")?,
        unchanged: false,
    })
}

/// A newest version's number is how many there are.
fn with_count(newest: DatasetVersionRow) -> DatasetRow {
    DatasetRow {
        name: newest.dataset.clone(),
        version_count: newest.number,
        newest,
    }
}
