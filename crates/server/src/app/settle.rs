//! What comes of a transform once its run has ended: a version, or why not.
//!
//! It is found as often as somebody asks and written down once. What the guest
//! left is held to all laws before the one change that adds the version, so a
//! fault of the guest's, or of this host, leaves the version before untouched.

use std::time::Duration;

use strongroom_core::{
    id::RunId,
    name::{Reference, VersionChoice},
    run::Reason,
    transform::{self, Before, MadeError, Outcome, TOLD_FILE, TOLD_LEN_MAX, Told},
    tree::Tree,
    version::{MadeBy, Says},
};
use strongroom_store::{RunRow, TransformRow};
use tokio::io::AsyncReadExt as _;

use super::{App, AppError, clock::random, error::chain};

/// How long somebody waits for a version after its run has ended.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// What a run made, as a version would be.
pub(super) struct Ready {
    pub before: Option<Before>,
    pub tree: Tree,
    pub says: Says,
    /// Whether it has parts of the version before.
    pub keeps: bool,
}

/// Why a run made no version.
pub(super) struct Fault {
    pub code: String,
    pub detail: String,
}

impl Fault {
    pub fn outcome(self) -> Outcome {
        Outcome::NotSaved {
            code: self.code,
            detail: self.detail,
        }
    }
}

impl App {
    /// What came of a run that saves; `None` when that takes long. It goes on
    /// without whoever asks.
    pub(super) async fn settled_soon(&self, run: &RunId) -> Result<Option<Outcome>, AppError> {
        let (app, run) = (self.clone(), run.clone());
        let settling = tokio::spawn(async move { app.settle(&run).await });
        match tokio::time::timeout(SETTLE_MAX, settling).await {
            Err(_) => Ok(None),
            Ok(settled) => settled
                .map_err(AppError::internal("save what a run made"))?
                .map(Some),
        }
    }

    /// Makes the versions of all runs that have ended.
    pub async fn transforms_settle(&self) -> Result<(), AppError> {
        let mut last = None;
        loop {
            let ended = self.store.transforms_ended(last.as_ref()).await?;
            let Some(newest) = ended.last() else {
                return Ok(());
            };
            last = Some(newest.clone());
            for run in ended {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                if let Err(error) = self.settle(&run).await {
                    // It stays open, and is tried again when another one ends.
                    tracing::error!(run.id = %run, error = chain(&error), "could not save what a run made");
                }
            }
        }
    }

    /// Takes up what an earlier start of the station left to do.
    pub async fn transforms_load(&self) -> Result<(), AppError> {
        for run in self.store.transforms_open().await? {
            self.transforms.begun(&run);
        }
        Ok(())
    }

    /// Makes the version of a run that has ended, unless that was done.
    async fn settle(&self, run: &RunId) -> Result<Outcome, AppError> {
        let outcome = self.settled(run).await?;
        self.transforms.done(run);
        Ok(outcome)
    }

    async fn settled(&self, id: &RunId) -> Result<Outcome, AppError> {
        let found = self.store.transform_find(id).await?;
        let row = found.ok_or(AppError::NotFound("transform"))?;
        if let Some(outcome) = row.outcome {
            return Ok(outcome);
        }
        let run = self.store.run_find(&row.caller, id).await?;
        let run = run.ok_or(AppError::NotFound("run"))?;
        let end = |outcome| self.store.transform_end(id, outcome, self.now_ms());
        let reason = run.reason.as_ref().ok_or(AppError::NotFound("end"))?;
        if !reason.is_success() {
            return Ok(end(failed(reason)).await?);
        }
        match self.made(&row, &run).await? {
            Err(fault) => Ok(end(fault.outcome()).await?),
            Ok(None) => Ok(end(Outcome::Unchanged).await?),
            Ok(Some(ready)) => {
                let made = (ready.tree, ready.says, ready.keeps);
                let saved = self.store.transform_save(id, made, self.now_ms());
                Ok(saved.await?)
            }
        }
    }

    /// The version that a run made, held to all laws; `None` when it made nothing.
    pub(super) async fn made(
        &self,
        row: &TransformRow,
        run: &RunRow,
    ) -> Result<Result<Option<Ready>, Fault>, AppError> {
        if run.is_withheld {
            return Ok(Err(Fault::withheld()));
        }
        let before = match self.before(row).await? {
            Ok(before) => before,
            Err(fault) => return Ok(Err(fault)),
        };
        let made = match self.told(run).await? {
            Ok(told) => transform::made(before.as_ref(), &run.files, told),
            Err(error) => Err(error),
        };
        let made = match made {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(Fault::of_made(&error))),
        };
        let mut changes = made.changes;
        changes.made_by = Some(MadeBy {
            run: run.id.clone(),
            function: run.function().cloned(),
            function_version: row.function_version,
        });
        changes.derived_from.clone_from(&run.labels);
        let said = before.as_ref().map(|before| before.says.clone());
        let said = said.unwrap_or_default();
        let keeps = made.keeps || changes.keeps(&said);
        let says = changes.over(&said).checked();
        let held = match says {
            Ok(says) => {
                let held = self.structure_holds(&made.tree, &says).await;
                held.map(|()| says.salted(random()))
            }
            Err(error) => Err(error.into()),
        };
        match held {
            Ok(says) => Ok(Ok(Some(Ready {
                before,
                tree: made.tree,
                says,
                keeps,
            }))),
            Err(AppError::Invalid { code, detail }) => Ok(Err(Fault {
                code: code.to_owned(),
                detail,
            })),
            Err(error) => Err(error),
        }
    }

    /// The version that it follows, which has to be there to be seen: what is
    /// made of it, and every fault, tells of it.
    async fn before(&self, row: &TransformRow) -> Result<Result<Option<Before>, Fault>, AppError> {
        let Some(parent) = row.parent else {
            return Ok(Ok(None));
        };
        let reference = Reference {
            name: row.dataset.clone(),
            version: VersionChoice::Exactly(parent),
        };
        let Some(before) = self.store.dataset_version(&reference).await? else {
            return Ok(Err(Fault {
                code: "conflict".to_owned(),
                detail: "the version that it read is gone".to_owned(),
            }));
        };
        if self.store.dataset_withheld(&before).await? {
            return Ok(Err(Fault::withheld()));
        }
        Ok(Ok(Some(Before {
            says: self.store.dataset_says(&before).await?,
            tree: self.store.dataset_tree(&parent).await?,
        })))
    }

    /// What a run told of the version, beside its files.
    async fn told(&self, run: &RunRow) -> Result<Result<Option<Told>, MadeError>, AppError> {
        let told = run
            .files
            .iter()
            .find(|file| file.path.as_str() == TOLD_FILE);
        let Some(file) = told else {
            return Ok(Ok(None));
        };
        if TOLD_LEN_MAX < file.size_bytes {
            let why = format!("{} bytes, more than {TOLD_LEN_MAX}", file.size_bytes);
            return Ok(Err(MadeError::Told(why)));
        }
        let opened = self.store.blobs().open(&file.digest).await?;
        let mut raw = Vec::new();
        let read = opened.take(TOLD_LEN_MAX).read_to_end(&mut raw).await;
        read.map_err(AppError::internal("read what a run told"))?;
        Ok(Told::parse(&raw).map(Some))
    }
}

impl Fault {
    pub fn withheld() -> Self {
        Self {
            code: "withheld".to_owned(),
            detail: AppError::Withheld.to_string(),
        }
    }

    fn of_made(error: &MadeError) -> Self {
        Self {
            code: "bad_dataset".to_owned(),
            detail: error.to_string(),
        }
    }
}

pub(super) fn failed(reason: &Reason) -> Outcome {
    Outcome::NotSaved {
        code: reason.code().to_owned(),
        detail: format!("the run ended: {reason}"),
    }
}
