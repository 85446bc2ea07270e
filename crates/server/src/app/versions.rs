//! Versions of datasets: pushed, shown, brought back, renamed, removed.
//!
//! A structure that is given, now or by an earlier version, is a promise to
//! whoever reads the rows: a body that contradicts it makes no version. A body
//! without any is taken as it is, and the version says why it has no rows.

use std::collections::BTreeMap;

use strongroom_core::{
    digest::Digest,
    name::{Name, ObjectName, Reference},
    statistics::Profile,
    tree::{Tree, TreeFile},
    version::{Changes, Says, SaysError},
};
use strongroom_store::{DatasetVersionRow, InUse, NewVersion};

use super::{Actor, App, AppError, bodies::Found, clock::random, show};
use crate::api;

/// The longest commit message, in characters.
pub const MESSAGE_LEN_MAX: usize = 2000;
/// How often a version is made again because another one came before it.
const OVERTAKEN_MAX: usize = 20;

/// Files that are to be a version.
#[derive(Debug, Clone)]
pub struct NewFiles {
    tree: Tree,
    message: String,
    changes: Changes,
    from: From,
}

/// How the station came to have files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// Whoever makes the version has uploaded them.
    Upload,
    /// A run has left them, for its caller.
    Run,
}

impl NewFiles {
    pub fn brought(tree: Tree, message: String, changes: Changes) -> Self {
        Self {
            tree,
            message,
            changes,
            from: From::Upload,
        }
    }

    /// What a run of the maker's left. Its changes say which run, and which
    /// originals are behind it.
    pub fn left_by_run(tree: Tree, message: String, changes: Changes) -> Self {
        Self {
            tree,
            message,
            changes,
            from: From::Run,
        }
    }
}

impl App {
    pub async fn dataset_push(
        &self,
        actor: &Actor,
        name: &ObjectName,
        new: api::NewDatasetVersion,
    ) -> Result<api::DatasetVersion, AppError> {
        actor.owns(&name.owner, "dataset")?;
        let changes = Changes {
            title: new.title,
            meta: api::change(new.meta),
            readme: api::change(new.readme),
            structure: api::change(new.structure),
            ..Changes::default()
        };
        let new = NewFiles::brought(Tree::try_from(new.files)?, new.message, changes);
        let row = self.dataset_version_add(&actor.user, name, new).await?;
        self.version_shown(row).await
    }

    /// Adds a version to a dataset of `maker`'s.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] when the body contradicts the structure that it
    /// has to have; nothing of the version is kept then.
    pub async fn dataset_version_add(
        &self,
        maker: &Name,
        name: &ObjectName,
        new: NewFiles,
    ) -> Result<DatasetVersionRow, AppError> {
        show::text_len("message", &new.message, MESSAGE_LEN_MAX)?;
        for _ in 0..OVERTAKEN_MAX {
            let before = self.store.dataset_find(name).await?;
            let said = match &before {
                Some(found) => self.store.dataset_says(&found.newest).await?,
                None => Says::default(),
            };
            let keeps = new.changes.keeps(&said);
            let keeps_structure = new.changes.keeps_structure(&said);
            let says = new.changes.clone().over(&said).checked()?;
            if new.from == From::Upload {
                // Before the body is read: it may be somebody else's.
                self.store.tree_check(maker, &new.tree).await?;
            }
            // A body that breaks it would be told what it is.
            if let Some(found) = &before
                && keeps_structure
                && self.store.dataset_withheld(&found.newest).await?
            {
                return Err(AppError::Withheld);
            }
            self.structure_holds(&new.tree, &says).await?;
            let after = before.map(|found| found.newest.version);
            let version = NewVersion {
                tree: new.tree.clone(),
                says: says.salted(random()),
                message: new.message.clone(),
                after,
                takes_from: after.filter(|_| keeps),
            };
            let now_ms = self.now_ms();
            let added = match new.from {
                From::Upload => self.store.dataset_add(maker, name, version, now_ms).await?,
                From::Run => {
                    self.store
                        .dataset_save(maker, name, version, now_ms)
                        .await?
                }
            };
            if let Some(row) = added {
                return Ok(row);
            }
        }
        Err(AppError::Conflict(
            "the dataset changes all the time".to_owned(),
        ))
    }

    /// Whether the body is what a structure says that was given.
    pub(super) async fn structure_holds(&self, tree: &Tree, says: &Says) -> Result<(), AppError> {
        let Some(asked) = &says.structure else {
            return Ok(());
        };
        let broken = |why: String| AppError::Invalid {
            code: "structure_broken",
            detail: format!("the body is not as its structure says: {why}"),
        };
        let found = Found::in_tree(tree, asked).map_err(broken)?;
        match self.profile(&found).await? {
            Profile::Table { .. } => Ok(()),
            Profile::NoTable { why } => Err(broken(format!("{}: {why}", found.path))),
        }
    }

    /// One version with its files and all that is known of them.
    pub async fn dataset_version(
        &self,
        actor: &Actor,
        reference: &Reference,
    ) -> Result<api::DatasetVersion, AppError> {
        let row = self.version_row(actor, reference).await?;
        self.version_shown(row).await
    }

    pub(super) async fn version_shown(
        &self,
        row: DatasetVersionRow,
    ) -> Result<api::DatasetVersion, AppError> {
        let says = self.store.dataset_says(&row).await?;
        if self.store.dataset_withheld(&row).await? {
            return Ok(api::DatasetVersion {
                made_by: says.made_by,
                derived_from: says.derived_from,
                ..show::withheld(show::dataset_version(row))
            });
        }
        let tree = self.store.dataset_tree(&row.version).await?;
        let mut shown = show::dataset_version(row);
        let found = Found::in_tree(&tree, &says.structure.unwrap_or_default());
        match found {
            Err(why) => shown.no_structure = Some(why),
            Ok(found) => {
                shown.body = Some(found.path.to_string());
                match self.glance(&found).await? {
                    Profile::Table {
                        structure,
                        statistics,
                    } => {
                        shown.structure = Some(structure);
                        shown.statistics = Some(statistics);
                    }
                    Profile::NoTable { why } => shown.no_structure = Some(why),
                }
            }
        }
        let files: BTreeMap<String, TreeFile> = tree.into();
        Ok(api::DatasetVersion {
            files: Some(files),
            meta: says.meta,
            readme: says.readme,
            made_by: says.made_by,
            derived_from: says.derived_from,
            ..shown
        })
    }

    /// Brings an earlier version back as the newest.
    pub async fn dataset_restore(
        &self,
        actor: &Actor,
        from: &Reference,
        message: String,
    ) -> Result<api::DatasetVersion, AppError> {
        actor.owns(&from.name.owner, "dataset")?;
        show::text_len("message", &message, MESSAGE_LEN_MAX)?;
        let found = self.store.dataset_version(from).await?;
        let old = found.ok_or(AppError::NotFound("dataset version"))?;
        let message = match message.as_str() {
            "" => format!("restore {}", Digest::short(&old.version)),
            _ => message,
        };
        let restored = self
            .store
            .dataset_restore(&actor.user, from, &message, self.now_ms())
            .await?;
        self.version_shown(restored).await
    }

    pub async fn dataset_rename(
        &self,
        actor: &Actor,
        from: &ObjectName,
        to: &Name,
    ) -> Result<api::Dataset, AppError> {
        actor.owns(&from.owner, "dataset")?;
        let renamed = self
            .store
            .dataset_rename(&actor.user, from, to, self.now_ms())
            .await;
        renamed.map_err(|error| show::missing(error, "dataset"))?;
        let name = ObjectName {
            owner: from.owner.clone(),
            name: to.clone(),
        };
        self.dataset(actor, &name).await
    }

    /// Removes a dataset; what is forced ends requests and runs that need it.
    pub async fn dataset_remove(
        &self,
        actor: &Actor,
        name: &ObjectName,
        force: bool,
    ) -> Result<api::DatasetRemoved, AppError> {
        actor.owns(&name.owner, "dataset")?;
        let in_use = match force {
            true => InUse::Removed,
            false => InUse::Stays,
        };
        let removed = self
            .store
            .dataset_remove(&actor.user, name, in_use, self.now_ms())
            .await;
        let removed = removed.map_err(|error| show::missing(error, "dataset"))?;
        for run in &removed.runs_to_kill {
            self.live.kill(run, &actor.user);
        }
        self.watch.all_changed();
        Ok(api::DatasetRemoved {
            dataset: name.clone(),
            requests: removed.requests,
            runs: removed.runs_to_kill,
        })
    }
}

impl std::convert::From<SaysError> for AppError {
    fn from(error: SaysError) -> Self {
        Self::invalid("bad_dataset", &error)
    }
}
