//! Runs that somebody waits for.
//!
//! Who waits as a run's caller gets its end as it was stored, without a read of
//! the store: he listens since before the run was submitted. Nobody polls.

use std::sync::Arc;

use strongroom_core::{id::RunId, run::State};
use strongroom_store::RunRow;

use super::super::{
    Actor, App, AppError, show,
    watch::{Ear, Ended},
};
use crate::api;

/// A run as it was when it had been asked for, and who listened from before.
pub struct Begun {
    pub(in crate::app) row: RunRow,
    pub(super) ear: Ear,
}

impl Begun {
    pub fn id(&self) -> &RunId {
        &self.row.id
    }

    /// The run as it was then.
    pub fn shown(self) -> api::Run {
        show::run(self.row)
    }
}

impl App {
    /// The run as it is when it ends, or when `patience` does; at once for
    /// somebody who waits for too many already.
    pub async fn run_ended(
        &self,
        actor: &Actor,
        id: &RunId,
        patience: impl Future<Output = ()>,
    ) -> Result<api::Run, AppError> {
        Ok(show::run(self.awaited(actor, id, patience).await?.run))
    }

    /// As [`App::run_ended`], for a run that was asked for just now.
    pub async fn begun_ended(
        &self,
        actor: &Actor,
        begun: Begun,
        patience: impl Future<Output = ()>,
    ) -> Result<api::Run, AppError> {
        Ok(show::run(
            self.begun_awaited(actor, begun, patience).await?.run,
        ))
    }

    /// As [`App::run_ended`], with the log where that is at hand.
    pub(in crate::app) async fn awaited(
        &self,
        actor: &Actor,
        id: &RunId,
        patience: impl Future<Output = ()>,
    ) -> Result<Ended, AppError> {
        let ear = self.watch.listen(id);
        let row = self.run_row(actor, id).await?;
        self.heard_out(actor, Begun { row, ear }, patience).await
    }

    /// As [`App::awaited`], for a run that was asked for just now.
    pub(in crate::app) async fn begun_awaited(
        &self,
        actor: &Actor,
        begun: Begun,
        patience: impl Future<Output = ()>,
    ) -> Result<Ended, AppError> {
        match begun.row.id == *begun.ear.run() {
            true => self.heard_out(actor, begun, patience).await,
            // It is an earlier one, which was asked for by the same key.
            false => self.awaited(actor, begun.id(), patience).await,
        }
    }

    /// Who waits as its caller gets the end as it was stored, and the store is
    /// not read for it. A token that is revoked is news as well, so whoever
    /// hears of an end only has still leave to see it.
    async fn heard_out(
        &self,
        actor: &Actor,
        Begun { mut row, mut ear }: Begun,
        patience: impl Future<Output = ()>,
    ) -> Result<Ended, AppError> {
        if row.state == State::Ended {
            return Ok(row.into());
        }
        let Some(_place) = self.watch.place(&actor.user) else {
            return Ok(row.into());
        };
        let mut patience = std::pin::pin!(patience);
        loop {
            tokio::select! {
                () = ear.turn() => {}
                () = self.token_ends(actor) => {}
                () = &mut patience => {
                    self.still(actor).await?;
                    return Ok(self.run_row(actor, &row.id).await?.into());
                }
                () = self.stop.cancelled() => return Ok(row.into()),
            }
            if row.viewer_is_caller
                && let Some(ended) = ear.ended()
                && actor
                    .until_ms
                    .is_none_or(|until_ms| self.now_ms() < until_ms)
            {
                return Ok(Arc::unwrap_or_clone(ended));
            }
            self.still(actor).await?;
            row = self.run_row(actor, &row.id).await?;
            if row.state == State::Ended {
                return Ok(row.into());
            }
        }
    }
}
