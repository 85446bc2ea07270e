//! Reading the audit record: one's own part of it, or all of it as an admin.

use super::{Actor, App, AppError};
use crate::api;

impl App {
    pub async fn audit(
        &self,
        actor: &Actor,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<api::Audited>, AppError> {
        let viewer = if actor.admin { None } else { Some(&actor.user) };
        let events = self.store.audit_page(viewer, after_seq, limit).await?;
        Ok(events.into_iter().map(super::show::audited).collect())
    }

    pub fn doctor(&self, actor: &Actor) -> Result<Vec<api::Wall>, AppError> {
        actor.admin("page")?;
        Ok(self.walls.clone())
    }
}
