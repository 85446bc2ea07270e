//! Runs: asked for, waited for, read and cancelled.
//!
//! What a caller names is resolved to digests here and pinned into a plan;
//! from then on nothing that is renamed or pushed can change what runs. Only
//! the caller sees what came out; an owner of the data sees that it ran.

mod awaited;

pub use awaited::Begun;
use strongroom_core::{
    digest::Digest,
    id::{RequestId, RunId},
    json,
    manifest::Manifest,
    name::Reference,
    plan::{self, InputVersion, Inputs, Plan},
    run::State,
    tree::{Tree, TreePath},
};
use strongroom_store::{CancelEffect, Kind, NewRun, NewTransform, Page, RunRow};

use super::{Actor, App, AppError, clock::random, data::OpenFile, queue::Handed, show};
use crate::api;

/// The longest purpose, in characters.
pub const PURPOSE_LEN_MAX: usize = 2000;
/// The longest idempotency key, in bytes.
pub const KEY_LEN_MAX: usize = 200;

/// The code of a run, by what it is.
pub(super) struct Called {
    pub version: Digest,
    pub manifest: Manifest,
    /// Code of the caller's own that came along and was not pushed.
    pub sent: Option<Tree>,
}

/// A run that is asked for.
pub(super) struct Whole {
    pub called: Called,
    pub asked: api::NewRun,
    /// The version that it is to make.
    pub transform: Option<NewTransform>,
    /// The caller's key, and the digest of what he sent.
    pub idempotency: Option<(String, Digest)>,
}

impl App {
    /// Asks for a run; `key` makes asking twice the same as once.
    pub async fn run_ask(
        &self,
        actor: &Actor,
        asked: api::NewRun,
        key: Option<String>,
    ) -> Result<Begun, AppError> {
        show::text_len("purpose", &asked.purpose, PURPOSE_LEN_MAX)?;
        let body = Digest::of(json::canonical_of(&asked).as_bytes());
        let called = self.called(&asked.function).await?;
        let whole = Whole {
            called,
            asked,
            transform: None,
            idempotency: key.map(|key| (key, body)),
        };
        self.run_begin(actor, whole).await
    }

    /// A function that was pushed.
    pub(super) async fn called(&self, function: &Reference) -> Result<Called, AppError> {
        let found = self.store.function_version(function).await?;
        let row = found.ok_or(AppError::NotFound("function"))?;
        Ok(Called {
            version: row.version,
            manifest: row.manifest,
            sent: None,
        })
    }

    /// Asks for a run of which all is known but what its names stand for.
    pub(super) async fn run_begin(&self, actor: &Actor, whole: Whole) -> Result<Begun, AppError> {
        let Whole { called, asked, .. } = whole;
        let (plan, inputs) = self.pinned(&called, &asked).await?;
        self.network_wanted(actor, &asked, &plan).await?;
        let kind = Kind::Function {
            name: asked.function.name,
        };
        let (now_ms, id_ms) = (self.now_ms(), self.clock.id_ms());
        let new = NewRun {
            run: RunId::new(id_ms, random()),
            request: RequestId::new(id_ms, random()),
            caller: actor.user.clone(),
            kind,
            plan,
            inputs,
            purpose: asked.purpose,
            expose: asked.expose,
            script: called.sent.map(|tree| (tree, called.manifest)),
            transform: whole.transform,
            idempotency: whole.idempotency,
        };
        self.submit(new, now_ms).await
    }

    async fn pinned(
        &self,
        function: &Called,
        asked: &api::NewRun,
    ) -> Result<(Plan, Inputs<InputVersion>), AppError> {
        let references = Inputs::parse(asked.on.iter().map(String::as_str))?;
        let inputs = self.resolved(references).await?;
        let digests = inputs
            .clone()
            .try_map(|input| Ok::<_, AppError>(input.version))?;
        let manifest = &function.manifest;
        let limits = asked
            .limits
            .over(manifest.limits)
            .map_err(plan::PlanError::from)?;
        let plan = plan::pin(
            manifest,
            function.version,
            self.runtime(&manifest.runtime)?,
            digests,
            asked.args.clone(),
            limits,
            self.config.limits_max,
        )?;
        let plan = plan.configured(asked.config.clone())?;
        let mut plan = plan.wanted(asked.expose)?;
        plan.answers = asked.answers.clone();
        Ok((plan, inputs))
    }

    /// Names become digests here, once.
    async fn resolved(
        &self,
        references: Inputs<Reference>,
    ) -> Result<Inputs<InputVersion>, AppError> {
        let mut versions = Vec::new();
        for (_, reference) in references.iter() {
            let found = self.store.dataset_version(reference).await?;
            let row = found.ok_or(AppError::NotFound("dataset"))?;
            versions.push(InputVersion {
                dataset: row.dataset,
                version: row.version,
            });
        }
        let mut versions = versions.into_iter();
        references.try_map(|_| versions.next().ok_or(AppError::NotFound("dataset")))
    }

    /// Submits a run, which takes a free place at once if nobody waits for it.
    ///
    /// A caller who hangs up in the middle drops what asks here, and a run that
    /// was given a place has to get to the worker all the same.
    pub(super) async fn submit(&self, new: NewRun, now_ms: i64) -> Result<Begun, AppError> {
        let app = self.clone();
        let ear = self.watch.listen(&new.run);
        let submitted = tokio::spawn(async move { app.submit_whole(new, now_ms).await });
        let row = submitted
            .await
            .map_err(AppError::internal("submit a run"))??;
        Ok(Begun { row, ear })
    }

    async fn submit_whole(&self, new: NewRun, now_ms: i64) -> Result<RunRow, AppError> {
        let offered = self.queue.place().map(|place| {
            let waits = self.queue.has_waiting(&new.plan, &new.caller);
            let begins = waits.then(|| self.enforced());
            (place, self.live.enter(&new.run), begins)
        });
        let submitted = match &offered {
            Some((.., begins)) => {
                let (store, boot) = (&self.store, &self.queue.boot);
                let begins = begins.clone();
                store
                    .run_submit_and_claim(new, boot, begins, now_ms)
                    .await?
            }
            None => self.store.run_submit(new, now_ms).await?,
        };
        if let (Some(claimed), Some((place, alive, _))) = (submitted.claimed, offered) {
            self.queue.hand(Handed {
                claimed,
                alive,
                place,
            });
        }
        if submitted.run.state == State::Queued {
            self.queue.wake();
        }
        Ok(submitted.run)
    }

    pub async fn run_list(
        &self,
        actor: &Actor,
        state: Option<State>,
        page: Page,
    ) -> Result<api::Page<api::Run>, AppError> {
        let found = self.store.run_list(&actor.user, state, page).await?;
        let mine = found.items.into_iter().filter(|row| may_see(actor, row));
        let items = mine.map(show::run).collect();
        Ok(api::Page {
            items,
            next: found.next,
        })
    }

    pub async fn run(&self, actor: &Actor, id: &RunId) -> Result<api::Run, AppError> {
        Ok(show::run(self.run_row(actor, id).await?))
    }

    pub async fn run_cancel(&self, actor: &Actor, id: &RunId) -> Result<api::Run, AppError> {
        self.run_of_caller(actor, id).await?;
        let effect = self
            .store
            .run_cancel(id, &actor.user, self.now_ms())
            .await?;
        // Also when it ended before its guest began: its sandbox may be there already.
        if effect != CancelEffect::AlreadyEnded {
            self.live.kill(id, &actor.user);
        }
        self.watch.may_be_over(id);
        self.run(actor, id).await
    }

    /// Log lines after `after_seq`; for the caller only.
    pub async fn run_log(
        &self,
        actor: &Actor,
        id: &RunId,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<api::LogLine>, AppError> {
        self.run_whole(actor, id).await?;
        let lines = self.store.log_page(id, after_seq, limit).await?;
        Ok(lines.into_iter().map(show::log_line).collect())
    }

    /// Opens a file that the run wrote; for the caller only.
    pub async fn run_file(
        &self,
        actor: &Actor,
        id: &RunId,
        path: &TreePath,
    ) -> Result<OpenFile, AppError> {
        let row = self.run_whole(actor, id).await?;
        let file = row.files.iter().find(|file| file.path == *path);
        let file = file.ok_or(AppError::NotFound("file"))?;
        self.blob_open(file.digest, file.size_bytes, path).await
    }

    /// What the run exposed, to the byte; for its caller and for the owners of
    /// the data.
    pub async fn run_exposed(&self, actor: &Actor, id: &RunId) -> Result<String, AppError> {
        let row = self.run_row(actor, id).await?;
        if row.is_withheld {
            return Err(AppError::Withheld);
        }
        let exposed = self.store.run_exposed(&actor.user, id).await?;
        exposed.ok_or(AppError::NotFound("exposed value"))
    }

    /// A run of the caller's, if he may see what came out of it.
    pub(super) async fn run_whole(&self, actor: &Actor, id: &RunId) -> Result<RunRow, AppError> {
        let row = self.run_of_caller(actor, id).await?;
        match row.is_withheld {
            true => Err(AppError::Withheld),
            false => Ok(row),
        }
    }

    pub(super) async fn run_of_caller(
        &self,
        actor: &Actor,
        id: &RunId,
    ) -> Result<RunRow, AppError> {
        let row = self.run_row(actor, id).await?;
        if row.viewer_is_caller {
            Ok(row)
        } else {
            Err(AppError::NotFound("run"))
        }
    }

    pub(super) async fn run_row(&self, actor: &Actor, id: &RunId) -> Result<RunRow, AppError> {
        let found = self.store.run_find(&actor.user, id).await?;
        found
            .filter(|row| may_see(actor, row))
            .ok_or(AppError::NotFound("run"))
    }
}

/// A script belongs to the token that sent it, not to all of its user's.
fn may_see(actor: &Actor, row: &RunRow) -> bool {
    match &row.kind {
        Kind::Function { .. } => true,
        Kind::Script { token, .. } => *token == actor.token,
    }
}
