//! What runs want of the network, and what they asked of it.

use strongroom_core::{
    id::RunId,
    name::Name,
    network::{Answers, made::RequestMade},
    plan::Plan,
    run::{Reason, State},
    stage::Stage,
};
use strongroom_store::RunRow;

use super::{Actor, App, AppError};
use crate::api;

/// Why answers of a stage that is told secrets are not kept.
pub(crate) const RECORD_SECRETS: &str = "the stage that downloads is told secrets, \
    and a host may say them again in its answers, so these are not recorded";

/// Whether answers would be kept that may hold secrets.
pub(crate) fn keeps_secrets(plan: &Plan) -> bool {
    plan.answers == Answers::Record && plan.secrets.contains_key(&Stage::Download)
}

impl App {
    /// Refuses a run that would tell secrets to whom they were not lent, or
    /// replay what is not its caller's to replay.
    pub(super) async fn network_wanted(
        &self,
        actor: &Actor,
        asked: &api::NewRun,
        plan: &Plan,
    ) -> Result<(), AppError> {
        if !plan.secrets.is_empty()
            && asked.function.name.owner != actor.user
            && !asked.lend_secrets
        {
            return Err(AppError::Invalid {
                code: "secrets_not_lent",
                detail: format!(
                    "{} is not yours and wants to be told your secrets {}; say that you lend them",
                    asked.function.name,
                    names(plan),
                ),
            });
        }
        if keeps_secrets(plan) {
            return Err(AppError::Invalid {
                code: "record_secrets",
                detail: RECORD_SECRETS.to_owned(),
            });
        }
        let Answers::Replay(run) = &plan.answers else {
            return Ok(());
        };
        self.may_be_replayed(&actor.user, run).await
    }

    /// Whether a run of `caller`'s may build on the answers of this one. It is
    /// asked when the run is asked for and again when it is launched. What the
    /// earlier run may do says its plan, which is there before it has begun.
    pub(crate) async fn may_be_replayed(&self, caller: &Name, run: &RunId) -> Result<(), AppError> {
        let row = self.store.run_find(caller, run).await?;
        let row = row.filter(|row| row.viewer_is_caller);
        let row = row.ok_or(AppError::NotFound("run"))?;
        if row.is_withheld {
            return Err(AppError::Withheld);
        }
        let asked = self.store.request_find(caller, &row.request).await?;
        let plan = asked.and_then(|asked| asked.plan);
        if plan.is_none_or(|plan| plan.exposes()) {
            // What it was answered may tell of data that the new run does not carry the labels of.
            return Err(AppError::Invalid {
                code: "replay_exposed",
                detail: "answers of a run that exposes data are not replayed".to_owned(),
            });
        }
        match row.state {
            State::Ended => Ok(()),
            _ => Err(AppError::Conflict(format!("{run} has not ended"))),
        }
    }

    /// Requests of a run after the `after`-th: for its caller, and where data was
    /// exposed for the owners of the data, who see where it may have gone.
    pub async fn requests_made(
        &self,
        actor: &Actor,
        id: &RunId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<RequestMade>, AppError> {
        let row = self.run_row(actor, id).await?;
        if row.is_withheld {
            return Err(AppError::Withheld);
        }
        if !row.viewer_is_caller && !has_exposed(&row) {
            return Err(AppError::NotFound("run"));
        }
        let made = self.store.requests_made(id, after, limit).await?;
        let shown = match row.viewer_is_caller {
            true => without_headers,
            false => asked_alone,
        };
        Ok(made.into_iter().map(shown).collect())
    }
}

/// Whether a value went from `expose` to the stage with a network.
fn has_exposed(row: &RunRow) -> bool {
    row.stages.iter().any(|stage| {
        stage.stage == Stage::Expose && stage.reason.as_ref().is_some_and(Reason::is_success)
    })
}

/// A request without the headers of its answer, which are kept to be replayed.
fn without_headers(mut made: RequestMade) -> RequestMade {
    if let Some(kept) = &mut made.kept {
        kept.headers.clear();
    }
    made
}

/// A request without what tells of its answer, which is its caller's.
fn asked_alone(made: RequestMade) -> RequestMade {
    RequestMade {
        digest: None,
        kept: None,
        ..made
    }
}

/// The names of the secrets in a plan, and the stages that they are for.
fn names(plan: &Plan) -> String {
    let stages = plan.secrets.iter().map(|(stage, names)| {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        format!("{} (in {})", names.join(", "), stage.as_str())
    });
    stages.collect::<Vec<_>>().join(", ")
}
