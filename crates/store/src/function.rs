//! Functions: names for content, as chains of versions.
//!
//! A push of what is already the newest content adds nothing; content that
//! was pushed before comes back as a later version with the digest it had.

use std::collections::BTreeSet;

use serde_json::json;
use strongroom_core::{
    digest::Digest,
    manifest::Manifest,
    name::{Name, ObjectName, Reference},
    tree::Tree,
};

use crate::{
    Connection, Fields, Store, Tx, content,
    error::StoreError,
    event::Note,
    fields::{as_number, without_nul},
    history::History,
    page::{Page, Paged},
    question::query,
};

/// A function with its newest version.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionRow {
    pub name: ObjectName,
    pub newest: FunctionVersionRow,
    pub version_count: u64,
}

/// One version of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionVersionRow {
    pub function: ObjectName,
    pub version: Digest,
    /// From 1, without gaps.
    pub number: u64,
    pub tree: Digest,
    pub manifest: Manifest,
    pub message: String,
    pub at_ms: i64,
    /// The push changed nothing, and this is the version that was there.
    pub unchanged: bool,
}

const ADD: &str = "
    INSERT INTO function_version (owner, name, number, version, message, at_ms)
    VALUES ($1, $2, $3, $4, $5, $6)";

const VERSIONS: History = History {
    newest: "
    SELECT v.owner, v.name, v.number, v.version, v.message, v.at_ms, c.tree, c.manifest
      FROM function_version v JOIN function_content c ON c.version = v.version
     WHERE v.owner = $1 AND v.name = $2
     ORDER BY v.number DESC LIMIT 1",
    log: "
    SELECT v.owner, v.name, v.number, v.version, v.message, v.at_ms, c.tree, c.manifest
      FROM function_version v JOIN function_content c ON c.version = v.version
     WHERE v.owner = $1 AND v.name = $2 AND v.number < $3
     ORDER BY v.number DESC LIMIT $4",
    exactly: "
    SELECT v.owner, v.name, v.number, v.version, v.message, v.at_ms, c.tree, c.manifest
      FROM function_version v JOIN function_content c ON c.version = v.version
     WHERE v.owner = $1 AND v.name = $2 AND v.version = $3
     ORDER BY v.number DESC LIMIT 1",
    back: "
    SELECT v.owner, v.name, v.number, v.version, v.message, v.at_ms, c.tree, c.manifest
      FROM function_version v JOIN function_content c ON c.version = v.version
     WHERE v.owner = $1 AND v.name = $2
       AND v.number = (SELECT MAX(o.number) FROM function_version o
                        WHERE o.owner = $1 AND o.name = $2) - $3",
};

const LIST: &str = "
    SELECT v.owner, v.name, v.number, v.version, v.message, v.at_ms, c.tree, c.manifest
      FROM function_version v JOIN function_content c ON c.version = v.version
     WHERE ($1 < v.owner OR ($1 = v.owner AND $2 < v.name))
       AND v.number = (SELECT MAX(o.number) FROM function_version o
                        WHERE o.owner = v.owner AND o.name = v.name)
     ORDER BY v.owner, v.name LIMIT $3";

/// Canonical JSON has no spaces; see `USERS` of the runtimes.
const DEPENDING: &str = "
    SELECT manifest FROM function_content WHERE manifest LIKE '%\"dependencies\":{%'";

const BY_DIGEST: &str = "
    SELECT v.owner, v.name, v.number, v.version, v.message, v.at_ms, c.tree, c.manifest
      FROM function_version v JOIN function_content c ON c.version = v.version
     WHERE v.version = $1 ORDER BY v.at_ms, v.owner, v.name, v.number LIMIT 1";

impl Store {
    /// Adds a version to a function of `actor`'s own.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a function of somebody else,
    /// [`StoreError::BlobMissing`] for a file that was not put. Whose it is
    /// does not matter: the door takes a function's files in one body.
    pub async fn function_push(
        &self,
        actor: &Name,
        name: &ObjectName,
        tree: &Tree,
        manifest: &Manifest,
        message: &str,
        now_ms: i64,
    ) -> Result<FunctionVersionRow, StoreError> {
        if *actor != name.owner {
            return Err(StoreError::NotFound);
        }
        self.blobs().check(tree).await?;
        let (name, tree, manifest) = (name.clone(), tree.clone(), manifest.clone());
        let message = without_nul(message).into_owned();
        self.change("push a function", move |tx| {
            Box::pin(async move { push(tx, &name, &tree, &manifest, &message, now_ms).await })
        })
        .await
    }

    /// All functions by name, each with its newest version. Names and
    /// manifests are no secret among the users of a station.
    pub async fn function_list(&self, page: Page) -> Result<Paged<FunctionRow>, StoreError> {
        let mut connection = self.read("list functions").await?;
        let (owner, name) = match page.cursor() {
            "" => ("", ""),
            cursor => cursor.split_once('/').ok_or(StoreError::Cursor)?,
        };
        let question = query(LIST).bind(owner).bind(name).bind(page.fetch());
        let rows = connection.all(question).await?;
        let functions = rows.iter().map(read_newest).collect::<Result<_, _>>()?;
        Ok(page.cut(functions, |row: &FunctionRow| row.name.to_string()))
    }

    pub async fn function_find(
        &self,
        name: &ObjectName,
    ) -> Result<Option<FunctionRow>, StoreError> {
        let mut connection = self.read("look for a function").await?;
        let found = newest(&mut connection, name).await?;
        found.as_ref().map(read_newest).transpose()
    }

    /// A function's versions, newest first.
    pub async fn function_log(
        &self,
        name: &ObjectName,
        page: Page,
    ) -> Result<Paged<FunctionVersionRow>, StoreError> {
        let mut connection = self.read("list a function's versions").await?;
        let question = VERSIONS.log(name, &page)?;
        let rows = connection.all(question).await?;
        let versions = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(page.cut(versions, |row: &FunctionVersionRow| row.number.to_string()))
    }

    pub async fn function_version(
        &self,
        reference: &Reference,
    ) -> Result<Option<FunctionVersionRow>, StoreError> {
        let mut connection = self.read("look for a function's version").await?;
        let found = connection.one(VERSIONS.meant(reference)).await?;
        found.as_ref().map(read).transpose()
    }

    /// The locks that versions name, of functions and of scripts.
    pub async fn function_locks(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let mut connection = self.read("list the locks of functions").await?;
        let rows = connection.all(query(DEPENDING)).await?;
        let manifests = rows.iter().map(|row| row.json::<Manifest>("manifest"));
        let mut locks = BTreeSet::new();
        for manifest in manifests {
            locks.extend(manifest?.dependencies.map(|needs| needs.lock));
        }
        Ok(locks)
    }

    /// The first function that was pushed with this content.
    pub async fn function_version_by_digest(
        &self,
        version: &Digest,
    ) -> Result<Option<FunctionVersionRow>, StoreError> {
        let mut connection = self.read("look for a function's version").await?;
        let question = query(BY_DIGEST).bind(version.to_string());
        let found = connection.one(question).await?;
        found.as_ref().map(read).transpose()
    }
}

/// Whether a function has this version; asked again when a run is submitted.
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

async fn newest(
    connection: &mut Connection,
    name: &ObjectName,
) -> Result<Option<Fields>, StoreError> {
    let question = VERSIONS.newest(name);
    connection.one(question).await
}

async fn push(
    tx: &mut Tx,
    name: &ObjectName,
    tree: &Tree,
    manifest: &Manifest,
    message: &str,
    now_ms: i64,
) -> Result<FunctionVersionRow, StoreError> {
    let newest = newest(tx, name).await?.as_ref().map(read).transpose()?;
    let version = content::keep(tx, tree, manifest).await?;
    let number = newest.as_ref().map_or(1, |newest| newest.number + 1);
    if let Some(newest) = newest
        && newest.version == version
    {
        return Ok(FunctionVersionRow {
            unchanged: true,
            ..newest
        });
    }
    let question = query(ADD)
        .bind(name.owner.as_str())
        .bind(name.name.as_str())
        .bind(as_number(number))
        .bind(version.to_string())
        .bind(message)
        .bind(now_ms);
    tx.execute(question).await?;
    tx.note(Note {
        at_ms: now_ms,
        actor: name.owner.as_str(),
        action: "function.push",
        subject: name.to_string(),
        detail: json!({ "version": version }),
        parties: Vec::new(),
    })
    .await?;
    Ok(FunctionVersionRow {
        function: name.clone(),
        version,
        number,
        tree: tree.digest(),
        manifest: manifest.clone(),
        message: message.to_owned(),
        at_ms: now_ms,
        unchanged: false,
    })
}

fn read(row: &Fields) -> Result<FunctionVersionRow, StoreError> {
    Ok(FunctionVersionRow {
        function: ObjectName {
            owner: row.parsed("owner")?,
            name: row.parsed("name")?,
        },
        version: row.parsed("version")?,
        number: row.count("number")?,
        tree: row.parsed("tree")?,
        manifest: row.json("manifest")?,
        message: row.text("message")?,
        at_ms: row.number("at_ms")?,
        unchanged: false,
    })
}

fn read_newest(row: &Fields) -> Result<FunctionRow, StoreError> {
    let newest = read(row)?;
    Ok(FunctionRow {
        name: newest.function.clone(),
        version_count: newest.number,
        newest,
    })
}
