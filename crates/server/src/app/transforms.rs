//! Transforms: runs that make the next version of a dataset.
//!
//! A transform is a run like every other: asked for, approved by the owners of
//! what it reads, permitted, isolated. What is its own is that it is given the
//! newest version, and that what it leaves becomes the version after it, all of
//! it or nothing, if that one is still the newest. Whoever waits for it brings
//! it about; else the station does, also one that was started again.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use strongroom_core::{
    digest::Digest,
    id::RunId,
    json,
    name::{ObjectName, Reference, VersionChoice},
    run::State,
    transform::{Mode, Outcome},
    version::Says,
};
use strongroom_store::{FunctionContent, NewTransform, RunRow, TransformRow};
use tokio::sync::Notify;

use super::{
    Actor, App, AppError,
    runs::{Called, PURPOSE_LEN_MAX, Whole},
    settle::failed,
    show, source,
    versions::MESSAGE_LEN_MAX,
};
use crate::{api, dependencies::Relock};

/// The input that the version before is, where there are others.
const PREVIOUS: &str = "previous";

/// Runs that are to save a version, as far as this start knows.
#[derive(Debug, Default)]
pub struct Transforms {
    open: Mutex<HashSet<RunId>>,
    ended: Notify,
}

impl Transforms {
    pub(super) fn begun(&self, run: &RunId) {
        self.open().insert(run.clone());
    }

    /// Tells whoever saves that a run has ended.
    pub fn ended(&self, run: &RunId) {
        if self.open().contains(run) {
            self.ended.notify_one();
        }
    }

    /// Until a run ends that is to save a version.
    pub async fn some_ended(&self) {
        self.ended.notified().await;
    }

    pub(super) fn done(&self, run: &RunId) {
        self.open().remove(run);
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashSet<RunId>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Asks for a run that makes the next version of a dataset of the actor's.
    pub async fn transform_ask(
        &self,
        actor: &Actor,
        dataset: &ObjectName,
        new: api::NewTransform,
        key: Option<String>,
    ) -> Result<api::Transform, AppError> {
        actor.owns(&dataset.owner, "dataset")?;
        show::text_len("purpose", &new.purpose, PURPOSE_LEN_MAX)?;
        show::text_len("message", &new.message, MESSAGE_LEN_MAX)?;
        let title = Says {
            title: new.title.clone(),
            ..Says::default()
        };
        title.checked()?;
        let body = Digest::of(json::canonical_of(&(dataset, &new)).as_bytes());
        let before = self.store.dataset_find(dataset).await?;
        let parent = before.map(|found| found.newest.version);
        let on = inputs(dataset, parent, &new.on)?;
        let (function, called) = self.code(actor, dataset, &new).await?;
        let whole = Whole {
            called,
            asked: api::NewRun {
                function,
                on,
                args: new.args,
                config: new.config,
                limits: new.limits,
                purpose: new.purpose,
                expose: new.expose,
                answers: new.answers,
                lend_secrets: new.lend_secrets,
            },
            transform: Some(NewTransform {
                dataset: dataset.clone(),
                parent,
                mode: new.mode,
                title: new.title,
                message: new.message,
            }),
            idempotency: key.map(|key| (key, body)),
        };
        let run = self.run_begin(actor, whole).await?.row;
        if new.mode == Mode::Save {
            self.transforms.begun(&run.id);
            // It may have ended before anybody knew.
            self.transforms.ended(&run.id);
        }
        let row = self.transform_row(dataset, &run.id).await?;
        self.transform_shown(row, run, Vec::new()).await
    }

    /// What runs, and what it is called.
    async fn code(
        &self,
        actor: &Actor,
        dataset: &ObjectName,
        new: &api::NewTransform,
    ) -> Result<(Reference, Called), AppError> {
        let files = match (&new.function, &new.files) {
            (Some(function), None) => {
                return Ok((function.clone(), self.called(function).await?));
            }
            (None, Some(files)) => source::parse(files.clone())?,
            _ => {
                return Err(AppError::Invalid {
                    code: "bad_transform",
                    detail: "the code is either a `function` or `files`".to_owned(),
                });
            }
        };
        let name = ObjectName {
            owner: actor.user.clone(),
            name: new.name.clone().unwrap_or_else(|| dataset.name.clone()),
        };
        let exactly = |version| Reference {
            name: name.clone(),
            version: VersionChoice::Exactly(version),
        };
        if new.mode == Mode::Save {
            let pushed = self
                .function_push(actor, &name, files, (&new.message, Relock::No))
                .await?;
            let function = exactly(pushed.version);
            let called = self.called(&function).await?;
            return Ok((function, called));
        }
        let (tree, manifest, _) = self
            .function_read(&actor.user, files, None, Relock::No)
            .await?;
        let version = FunctionContent::version_of(&tree, &manifest);
        let sent = Some(tree);
        Ok((
            exactly(version),
            Called {
                version,
                manifest,
                sent,
            },
        ))
    }

    async fn transform_row(
        &self,
        dataset: &ObjectName,
        run: &RunId,
    ) -> Result<TransformRow, AppError> {
        let found = self.store.transform_find(run).await?;
        found
            .filter(|row| row.dataset == *dataset)
            .ok_or(AppError::NotFound("transform"))
    }

    /// A transform as it is when something came of it, or when `patience` ends.
    /// What it would be is compared with what is by a key, if one is given.
    pub async fn transform(
        &self,
        actor: &Actor,
        dataset: &ObjectName,
        run: &RunId,
        (patience, key): (impl Future<Output = ()>, Vec<String>),
    ) -> Result<api::Transform, AppError> {
        actor.owns(&dataset.owner, "dataset")?;
        let row = self.transform_row(dataset, run).await?;
        self.run_of_caller(actor, run).await?;
        let run = self.awaited(actor, run, patience).await?.run;
        self.transform_shown(row, run, key).await
    }

    async fn transform_shown(
        &self,
        mut row: TransformRow,
        run: RunRow,
        key: Vec<String>,
    ) -> Result<api::Transform, AppError> {
        let mut preview = None;
        if run.state == State::Ended && row.outcome.is_none() {
            row.outcome = match (&run.reason, row.mode) {
                (Some(reason), _) if !reason.is_success() => Some(failed(reason)),
                (_, Mode::Save) => self.settled_soon(&run.id).await?,
                (_, Mode::Apply) => {
                    let previewed = self.previewed(&row, &run, key).await?;
                    match previewed {
                        Ok(made) => {
                            let unchanged = made.unchanged;
                            preview = Some(made);
                            unchanged.then_some(Outcome::Unchanged)
                        }
                        Err(fault) => Some(fault.outcome()),
                    }
                }
            };
        }
        let is_withheld = run.is_withheld || self.parent_withheld(&row).await?;
        if is_withheld && let Some(Outcome::NotSaved { detail, .. }) = &mut row.outcome {
            // It may tell of what was in the rows, of this version or the one before.
            *detail = AppError::Withheld.to_string();
        }
        let version = match &row.outcome {
            Some(Outcome::Saved { version }) => self.saved(&row.dataset, *version).await?,
            _ => None,
        };
        Ok(api::Transform {
            run: show::run(run),
            dataset: row.dataset,
            mode: row.mode,
            parent: row.parent,
            outcome: row.outcome,
            version,
            preview,
        })
    }

    async fn parent_withheld(&self, row: &TransformRow) -> Result<bool, AppError> {
        let Some(version) = row.parent else {
            return Ok(false);
        };
        let reference = Reference {
            name: row.dataset.clone(),
            version: VersionChoice::Exactly(version),
        };
        match self.store.dataset_version(&reference).await? {
            Some(before) => Ok(self.store.dataset_withheld(&before).await?),
            None => Ok(false),
        }
    }

    async fn saved(
        &self,
        dataset: &ObjectName,
        version: Digest,
    ) -> Result<Option<api::DatasetVersion>, AppError> {
        let reference = Reference {
            name: dataset.clone(),
            version: VersionChoice::Exactly(version),
        };
        match self.store.dataset_version(&reference).await? {
            Some(row) => Ok(Some(self.version_listed(row).await?)),
            None => Ok(None),
        }
    }
}

/// What the run reads: the version before, and what else was named.
fn inputs(
    dataset: &ObjectName,
    parent: Option<Digest>,
    others: &[String],
) -> Result<Vec<String>, AppError> {
    let wrong = |detail: String| AppError::Invalid {
        code: "bad_inputs",
        detail,
    };
    for other in others {
        match other.split_once('=') {
            Some((PREVIOUS, _)) => {
                let detail = "on: `previous` is the version before".to_owned();
                return Err(wrong(detail));
            }
            Some(_) => {}
            None => {
                let detail = format!(
                    "on: {dataset} itself is the input without a name; give others as INPUT=OWNER/DATASET"
                );
                return Err(wrong(detail));
            }
        }
    }
    let mut on = others.to_vec();
    match parent {
        Some(version) if others.is_empty() => on.push(format!("{dataset}@{version}")),
        Some(version) => on.push(format!("{PREVIOUS}={dataset}@{version}")),
        None => {}
    }
    Ok(on)
}
