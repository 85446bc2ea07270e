//! The stages of a run, one sandbox after the other.
//!
//! What one hands to the next is written down before the next begins, so that
//! nothing reaches a network that is not in the record. The stages after one
//! that did not succeed do not start. A run of one stage writes nothing down of
//! stages, and costs what it always did.

use strongroom_core::{
    limits::Limits,
    name::Name,
    run::{OutputFile, Reason},
    stage::Stage,
};
use strongroom_run::{
    Backend, Carried, Course, Ended, OutFolder, PrepareError, Prepared,
    stages::{LAID, lay},
};
use strongroom_store::{ClaimedRun, Finish, LogLine, StageBegin, StageEnd};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    execute::{host_error, no_leave},
    laid::Laid,
    log::{self, Kept},
    network::Download,
    outputs,
};
use crate::app::{App, error::chain};

/// Log lines between the guest's pipe and the store.
const LINES_WAITING_MAX: usize = 256;

pub(super) const INTERRUPTED: &str = "interrupted: the station was stopped";

/// One run, and what it runs with.
#[derive(Clone, Copy)]
pub struct House<'a> {
    pub app: &'a App,
    pub backend: &'a Backend,
    pub claimed: &'a ClaimedRun,
    pub laid: &'a Laid,
}

/// A stage whose guest waits to begin.
pub struct Readied {
    stage: Stage,
    prepared: Prepared,
    /// Its way to the world, if it has one.
    download: Option<Download>,
    /// What its guest sees as `/stage`; gone when the stage is.
    _folder: Option<TempDir>,
}

/// Who wants the run to end.
type Cancel = oneshot::Receiver<Name>;

impl House<'_> {
    /// Builds the sandbox of the next stage, up to the moment before its guest
    /// begins.
    pub async fn ready(&self, course: &mut Course) -> Result<Readied, Reason> {
        let permit = course.next_stage()?.ok_or_else(|| Reason::HostError {
            what: "the plan has no stage".to_owned(),
        })?;
        let stage = permit.stage();
        let folder = self.folder(stage, course.carried_to(stage)).await?;
        let path = folder.as_ref().map(|folder| folder.path().join(LAID));
        let job = self.laid.job(stage, path);
        let prepared = self.backend.prepare(permit, job).await;
        let mut prepared = prepared.map_err(|error| self.not_prepared(&error))?;
        let download = match prepared.take_gateway() {
            Some(listener) => {
                Some(Download::open(self.app, self.claimed, self.laid, listener).await?)
            }
            None => None,
        };
        Ok(Readied {
            stage,
            prepared,
            download,
            _folder: folder,
        })
    }

    fn not_prepared(&self, error: &PrepareError) -> Reason {
        match error {
            PrepareError::Refused { .. } | PrepareError::RuntimeChanged => {}
            other => {
                tracing::error!(run.id = %self.claimed.run, error = chain(other), "could not prepare a run")
            }
        }
        match error.reason() {
            // Its causes are in the log; paths of this host stay here.
            Reason::HostError { .. } => Reason::HostError {
                what: error.to_string(),
            },
            reason => reason,
        }
    }

    /// A folder with what a stage is given beside its data, if that is anything.
    async fn folder(
        &self,
        stage: Stage,
        carried: Option<&Carried>,
    ) -> Result<Option<TempDir>, Reason> {
        let (carried, inputs) = (carried.cloned(), self.laid.told(stage));
        if carried.is_none() && inputs.is_none() {
            return Ok(None);
        }
        const WHAT: &str = "could not hand a value to the next stage";
        let folder = self.app.store.blobs().scratch();
        let folder = folder.map_err(|error| host_error(WHAT, &error))?;
        let laid = tokio::task::spawn_blocking(move || {
            lay(folder.path(), carried.as_ref(), inputs.as_deref()).map(|()| folder)
        });
        match laid.await {
            Ok(Ok(folder)) => Ok(Some(folder)),
            Ok(Err(error)) => {
                tracing::error!(%error, WHAT);
                Err(Reason::HostError {
                    what: WHAT.to_owned(),
                })
            }
            Err(error) => {
                tracing::error!(%error, WHAT);
                Err(Reason::HostError {
                    what: WHAT.to_owned(),
                })
            }
        }
    }

    /// Runs the first stage and those after it, and takes what came out.
    pub async fn run(&self, mut course: Course, first: Readied, cancel: &mut Cancel) -> Finish {
        let mut readied = first;
        let mut log_before = 0;
        let mut passed = None;
        loop {
            let stage = readied.stage;
            let before = passed.as_ref().map(unused);
            if let Err(reason) = self.note(passed.take(), stage, log_before).await {
                return Finish {
                    usage: before.as_ref().map(|_| course.usage()),
                    stage: before,
                    ..Finish::because(reason)
                };
            }
            let enforced = readied.prepared.enforced().clone();
            let ran = self.stage(readied, &mut course, log_before, cancel).await;
            let mut finish = match ran {
                Err(reason) => self.finish(stage, Finish::because(reason), &course),
                Ok((ended, kept)) if is_last(stage, &ended) => {
                    let finish = self.take(stage, ended, kept.last, course.limits()).await;
                    self.finish(stage, finish, &course)
                }
                Ok((ended, kept)) => {
                    passed = Some(handed_on(stage, ended, &course));
                    log_before = kept.count;
                    let stored = log::append(self.app, &self.claimed.run, &kept.last).await;
                    let next = match stored {
                        Ok(()) => self.ready(&mut course).await,
                        Err(error) => Err(host_error("could not store the log", &error)),
                    };
                    match next {
                        Ok(next) => {
                            readied = next;
                            continue;
                        }
                        Err(reason) => Finish {
                            stage: passed.as_ref().map(unused),
                            usage: Some(course.usage()),
                            ..Finish::because(reason)
                        },
                    }
                }
            };
            finish.enforced = Some(enforced);
            return finish;
        }
    }

    /// Writes down that one stage is over and that the next one begins.
    async fn note(
        &self,
        ended: Option<StageEnd>,
        stage: Stage,
        log_before: i64,
    ) -> Result<(), Reason> {
        if !self.has_several() {
            return Ok(());
        }
        let begins = StageBegin { stage, log_before };
        let (app, run) = (self.app, &self.claimed.run);
        let noted = app.store.run_stage(run, ended, begins, app.now_ms()).await;
        noted.map_err(|error| no_leave("could not record that a stage begins", error))?;
        app.watch.went_on(run);
        Ok(())
    }

    fn has_several(&self) -> bool {
        1 < self.claimed.plan.stages.len()
    }

    /// Runs one guest to its end.
    async fn stage(
        &self,
        readied: Readied,
        course: &mut Course,
        log_before: i64,
        cancel: &mut Cancel,
    ) -> Result<(Ended, Kept), Reason> {
        let (app, run) = (self.app, &self.claimed.run);
        let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
        let both = async {
            tokio::join!(
                readied.prepared.run_stage(sender, cancel),
                log::keep(app, run, log_before, &self.laid.mask, lines)
            )
        };
        let both = async {
            match readied.download {
                Some(download) => download.beside(app, run, both).await,
                None => (both.await, Ok(())),
            }
        };
        let ((mut ended, kept), noted) = tokio::select! {
            both = both => both,
            () = app.stop.cancelled() => return Err(Reason::HostError {
                what: INTERRUPTED.to_owned(),
            }),
        };
        if let Err(error) = noted {
            let what = "could not note what the run asked of the network";
            ended.reason = host_error(what, &error);
        }
        course.took(readied.stage, &mut ended);
        match kept {
            Ok(mut kept) => {
                kept.end(&ended.reason, app.now_ms());
                Ok((ended, kept))
            }
            Err(error) => {
                ended.reason = host_error("could not store the log", &error);
                Ok((ended, Kept::default()))
            }
        }
    }

    /// Takes what came out of the last guest.
    async fn take(&self, stage: Stage, ended: Ended, log: Vec<LogLine>, limits: Limits) -> Finish {
        let mut finish = Finish {
            log,
            ..Finish::because(ended.reason)
        };
        let has_result = stage == Stage::Transform
            && matches!(finish.reason, Reason::Succeeded | Reason::Failed { .. });
        if has_result {
            finish.value = ended.value;
            match self.collect((ended.out, limits), &mut finish.log).await {
                Ok(files) => finish.files = files,
                Err(reason) if finish.reason.is_success() => finish.reason = reason,
                Err(_) => {}
            }
        }
        finish
    }

    /// Adds what is known of all stages to the end of the last.
    fn finish(&self, stage: Stage, mut finish: Finish, course: &Course) -> Finish {
        let mut usage = course.usage();
        usage.out_bytes += finish.files.iter().map(|file| file.size_bytes).sum::<u64>();
        finish.usage = Some(usage);
        finish.stage = self.has_several().then(|| StageEnd {
            stage,
            reason: finish.reason.clone(),
            usage: course.usage_of_last(),
            value: None,
        });
        finish
    }

    /// Takes the files. Where that takes long, the last lines are stored meanwhile.
    async fn collect(
        &self,
        (out, limits): (Option<OutFolder>, Limits),
        log: &mut Vec<LogLine>,
    ) -> Result<Vec<OutputFile>, Reason> {
        let mut collecting = std::pin::pin!(outputs::collect(self.app, out, limits));
        if let Ok(files) = timeout(log::GATHER, &mut collecting).await {
            return files;
        }
        let kept = log::append(self.app, &self.claimed.run, &std::mem::take(log)).await;
        let files = collecting.await;
        kept.map_err(|error| host_error("could not store the log", &error))?;
        files
    }
}

/// Whether no stage comes after this one.
fn is_last(stage: Stage, ended: &Ended) -> bool {
    stage == Stage::Transform || !ended.reason.is_success()
}

/// The end of a stage that others come after.
fn handed_on(stage: Stage, ended: Ended, course: &Course) -> StageEnd {
    StageEnd {
        stage,
        reason: ended.reason,
        usage: Some(ended.usage),
        value: course.carried().map(|carried| carried.text.clone()),
    }
}

/// The same end, when its value reached nobody.
fn unused(ended: &StageEnd) -> StageEnd {
    StageEnd {
        stage: ended.stage,
        reason: ended.reason.clone(),
        usage: ended.usage,
        value: None,
    }
}
