//! What the owners of some inputs answer without being asked in person.
//!
//! The judging is core's; this brings it the rules and approvals as they are
//! inside the change that will write the answer.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_core::{
    approval::Approval,
    name::{Name, ObjectName},
    plan::{InputVersion, Inputs, Plan},
    request::{self, Desk, Verdict, Verdicts},
    rule::{Ask, RuleAnswer},
    stage::Expose,
};

use crate::{Connection, approval, error::StoreError, labels::Labels, rule};

/// What is asked of the owners.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub caller: &'a Name,
    pub function: &'a ObjectName,
    pub plan: &'a Plan,
    pub inputs: &'a Inputs<InputVersion>,
    pub labels: &'a Labels,
    pub purpose: &'a str,
    pub expose: Expose,
}

/// Who has a say in a run: the owner of each dataset that it reads, and of each
/// that those were made of.
pub(crate) fn owners(
    inputs: &Inputs<InputVersion>,
    labels: &Labels,
) -> BTreeMap<Name, BTreeSet<ObjectName>> {
    let mut owners: BTreeMap<Name, BTreeSet<ObjectName>> = BTreeMap::new();
    for version in inputs.iter().map(|(_, input)| input).chain(labels) {
        let owner = version.dataset.owner.clone();
        owners
            .entry(owner)
            .or_default()
            .insert(version.dataset.clone());
    }
    owners
}

impl Asked<'_> {
    /// Every owner's answer now.
    pub async fn verdicts(
        &self,
        connection: &mut Connection,
        now_ms: i64,
    ) -> Result<Verdicts, StoreError> {
        let mut verdicts = Verdicts::new();
        for owner in owners(self.inputs, self.labels).into_keys() {
            let approvals = approval::usable(connection, &owner, self.caller, now_ms).await?;
            let verdict = self.verdict(connection, &owner, &approvals, now_ms).await?;
            verdicts.insert(owner, verdict);
        }
        Ok(verdicts)
    }

    /// One owner's answer, given these approvals of his.
    pub async fn verdict(
        &self,
        connection: &mut Connection,
        owner: &Name,
        approvals: &[Approval],
        now_ms: i64,
    ) -> Result<Verdict, StoreError> {
        let rules = rule::load(connection, owner).await?;
        let datasets = self.datasets_of(owner);
        let inputs = self.input_names();
        let ask = self.ask(&datasets, &inputs);
        let desk = Desk {
            owner,
            rules: rules.as_ref(),
            approvals,
        };
        Ok(request::judge(&desk, &ask, self.plan, now_ms))
    }

    /// What the rules of each owner who has some answer.
    pub async fn rules(
        &self,
        connection: &mut Connection,
        now_ms: i64,
    ) -> Result<BTreeMap<Name, RuleAnswer>, StoreError> {
        let mut answers = BTreeMap::new();
        for owner in owners(self.inputs, self.labels).into_keys() {
            if let Some(rules) = rule::load(connection, &owner).await? {
                let datasets = self.datasets_of(&owner);
                let inputs = self.input_names();
                let answer = rules.answer(&self.ask(&datasets, &inputs), now_ms);
                answers.insert(owner, answer);
            }
        }
        Ok(answers)
    }

    fn datasets_of(&self, owner: &Name) -> Vec<ObjectName> {
        let datasets = owners(self.inputs, self.labels)
            .remove(owner)
            .unwrap_or_default();
        datasets.into_iter().collect()
    }

    fn input_names(&self) -> Vec<ObjectName> {
        let all = owners(self.inputs, self.labels);
        all.into_values().flatten().collect()
    }

    /// The question as the rules of the owner of `datasets` see it.
    fn ask<'b>(&'b self, datasets: &'b [ObjectName], inputs: &'b [ObjectName]) -> Ask<'b> {
        Ask {
            caller: self.caller,
            function: self.function,
            function_digest: self.plan.function,
            purpose: self.purpose,
            args: &self.plan.args,
            config: &self.plan.config,
            limits: self.plan.limits,
            datasets,
            inputs,
            stages: &self.plan.stages,
            network: self.plan.download.as_ref(),
            answers: &self.plan.answers,
            expose: self.expose,
        }
    }
}
