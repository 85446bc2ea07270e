//! The owner's desk: what is asked of him, and what he answers.

use strongroom_core::{
    approval::Scope,
    dependency::changes,
    id::{ApprovalId, RequestId, RunId},
    plan::{self, Plan},
    request::State,
    rule::RuleSet,
    stage::EXPOSE_OFF,
};
use strongroom_store::{NewApproval, Page, RequestRow, Role};

use super::{Actor, App, AppError, clock::random, diff, show, source};
use crate::api;

/// The longest reason of a rejection, in characters.
pub const REASON_LEN_MAX: usize = 2000;

impl App {
    pub async fn request_list(
        &self,
        actor: &Actor,
        role: Role,
        state: Option<State>,
        page: Page,
    ) -> Result<api::Page<api::Request>, AppError> {
        let found = self
            .store
            .request_list(&actor.user, role, state, page)
            .await?;
        let items = found
            .items
            .into_iter()
            .filter_map(|row| show::request(row, &actor.user, None))
            .collect();
        Ok(api::Page {
            items,
            next: found.next,
        })
    }

    /// One request; with the source and what changed in it for those who are asked.
    pub async fn request(&self, actor: &Actor, id: &RequestId) -> Result<api::Request, AppError> {
        let found = self.store.request_find(&actor.user, id).await?;
        let row = found.ok_or(AppError::NotFound("request"))?;
        let detail = self.request_detail(actor, &row).await?;
        show::request(row, &actor.user, Some(detail)).ok_or(AppError::NotFound("request"))
    }

    async fn request_detail(
        &self,
        actor: &Actor,
        row: &RequestRow,
    ) -> Result<api::RequestDetail, AppError> {
        let version = self.function_content(&row.function_version).await?;
        let makes = self.store.transform_find(&row.run).await?;
        let mut detail = api::RequestDetail {
            plan: plan_of(row)?,
            manifest: version.manifest.clone(),
            files: Default::default(),
            approved_before: None,
            diff: None,
            makes: makes.map(show::makes),
            packages: Vec::new(),
            packages_changed: Vec::new(),
        };
        if !row.verdicts.contains_key(&actor.user) {
            return Ok(detail);
        }
        detail.packages = self.packages(&version).await?;
        let files = self.source_read(&version.tree).await?;
        let before = match &row.function {
            Some(function) => {
                self.store
                    .function_approved_before(&actor.user, function, &row.id)
                    .await?
            }
            None => None,
        };
        if let Some(before) = before {
            let old = self.function_content(&before).await?;
            let packages = self.packages(&old).await?;
            detail.packages_changed = changes(&packages, &detail.packages);
            let old = self.source_read(&old.tree).await?;
            let new = files.clone();
            let compare = tokio::task::spawn_blocking(move || diff::unified(&old, &new));
            let text = compare
                .await
                .map_err(AppError::internal("compare two versions"))?;
            detail.diff = Some(text);
            detail.approved_before = Some(before);
        }
        detail.files = source::shown(files);
        Ok(detail)
    }

    pub async fn request_approve(
        &self,
        actor: &Actor,
        id: &RequestId,
        new: api::NewApproval,
    ) -> Result<api::Request, AppError> {
        let found = self.store.request_find(&actor.user, id).await?;
        let row = found.filter(|row| row.verdicts.contains_key(&actor.user));
        let row = row.ok_or(AppError::NotFound("request"))?;
        let approval = self.approval_of(&row, new)?;
        // This answer may free other runs of the same caller too.
        let waking = self.queue.wake_after();
        let row = self
            .store
            .request_approve(&actor.user, id, approval, self.now_ms())
            .await?;
        drop(waking);
        self.watch.all_changed();
        show::request(row, &actor.user, None).ok_or(AppError::NotFound("request"))
    }

    fn approval_of(
        &self,
        row: &RequestRow,
        new: api::NewApproval,
    ) -> Result<NewApproval, AppError> {
        let now_ms = self.now_ms();
        if new.uses == Some(0) {
            let detail = "uses: at least 1, since this run is one".to_owned();
            return Err(AppError::Invalid {
                code: "bad_uses",
                detail,
            });
        }
        if new.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            let detail = "until_ms: the time has passed already".to_owned();
            return Err(AppError::Invalid {
                code: "bad_time",
                detail,
            });
        }
        let plan = plan_of(row)?;
        if plan.exposes() && !new.expose {
            return Err(AppError::Invalid {
                code: "expose_not_named",
                detail: EXPOSE_OFF.to_owned(),
            });
        }
        let limits_max = new
            .limits
            .over(plan.limits)
            .map_err(plan::PlanError::from)?;
        let limits_max = limits_max
            .checked(self.config.limits_max)
            .map_err(plan::PlanError::from)?;
        let scope = match new.args_schema {
            None => Scope::Plan {
                plan: row.plan_digest,
            },
            Some(schema) => {
                plan::check_args(&schema, &plan.args)?;
                Scope::domain(&plan, schema)
            }
        };
        Ok(NewApproval {
            id: ApprovalId::new(self.clock.id_ms(), random()),
            scope,
            expose: new.expose,
            limits_max,
            uses: new.uses,
            until_ms: new.until_ms,
        })
    }

    pub async fn request_reject(
        &self,
        actor: &Actor,
        id: &RequestId,
        rejection: api::Rejection,
    ) -> Result<api::Request, AppError> {
        show::text_len("reason", &rejection.reason, REASON_LEN_MAX)?;
        self.asked(actor, id).await?;
        let now_ms = self.now_ms();
        let row = self
            .store
            .request_reject(&actor.user, id, &rejection.reason, now_ms)
            .await?;
        self.watch.all_changed();
        show::request(row, &actor.user, None).ok_or(AppError::NotFound("request"))
    }

    /// Takes a yes back and kills what runs under it.
    pub async fn request_revoke(
        &self,
        actor: &Actor,
        id: &RequestId,
    ) -> Result<api::Request, AppError> {
        self.asked(actor, id).await?;
        let revoked = self
            .store
            .request_revoke(&actor.user, id, self.now_ms())
            .await?;
        self.kill(&revoked.runs_to_kill, actor);
        self.watch.all_changed();
        show::request(revoked.request, &actor.user, None).ok_or(AppError::NotFound("request"))
    }

    /// Ends the guests of runs that an owner lets go on no longer.
    fn kill(&self, runs: &[RunId], actor: &Actor) {
        for run in runs {
            self.live.kill(run, &actor.user);
        }
    }

    /// Only an owner who is asked may answer; to others there is no question.
    async fn asked(&self, actor: &Actor, id: &RequestId) -> Result<(), AppError> {
        let found = self.store.request_find(&actor.user, id).await?;
        let asked = found.is_some_and(|row| row.verdicts.contains_key(&actor.user));
        if asked {
            Ok(())
        } else {
            Err(AppError::NotFound("request"))
        }
    }

    pub async fn approval_list(
        &self,
        actor: &Actor,
        page: Page,
    ) -> Result<api::Page<api::Approval>, AppError> {
        Ok(show::page(
            self.store.approval_list(&actor.user, page).await?,
            show::approval,
        ))
    }

    /// Ends requests that nobody answered in time. Returns how many.
    pub async fn requests_expire(&self) -> Result<u64, AppError> {
        let now_ms = self.now_ms();
        let before_ms = now_ms.saturating_sub(self.config.request_ttl_ms);
        let count = self.store.requests_expire(before_ms, now_ms).await?;
        if count != 0 {
            self.watch.all_changed();
        }
        Ok(count)
    }

    pub async fn rules(&self, actor: &Actor) -> Result<api::Rules, AppError> {
        let found = self.store.rule_get(&actor.user).await?;
        found
            .map(|text| api::Rules { text })
            .ok_or(AppError::NotFound("rules"))
    }

    pub async fn rules_put(
        &self,
        actor: &Actor,
        rules: api::Rules,
    ) -> Result<api::Rules, AppError> {
        RuleSet::parse(&rules.text)?;
        let put = self.store.rule_put(&actor.user, &rules.text, self.now_ms());
        self.kill(&put.await?, actor);
        // Whoever follows a run on his data may have to see no more of it.
        self.watch.all_changed();
        Ok(rules)
    }

    pub async fn rules_delete(&self, actor: &Actor) -> Result<(), AppError> {
        let deleted = self.store.rule_delete(&actor.user, self.now_ms()).await;
        let killed = deleted.map_err(|error| show::missing(error, "rules"))?;
        self.kill(&killed, actor);
        self.watch.all_changed();
        Ok(())
    }

    /// Says whether rules would be taken, and changes nothing.
    pub fn rules_check(&self, rules: &api::Rules) -> Result<(), AppError> {
        RuleSet::parse(&rules.text)?;
        Ok(())
    }
}

/// The plan that is asked about; lists alone go without.
fn plan_of(row: &RequestRow) -> Result<Plan, AppError> {
    row.plan.clone().ok_or(AppError::NotFound("plan"))
}
