//! Leave to run one exact plan, minted right before launch.
//!
//! A [`Permit`] is for one stage of the plan. It cannot be stored, copied or
//! made by hand: the only way to one is [`mint`], which looks at the stored
//! answers once more, now, and hands out the plan's stages once and in their
//! order. An approval that was revoked or ran out while its run stood in the
//! queue yields none, and neither does a rule that no longer permits or has
//! come to forbid.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    approval::{Approval, NotCovered},
    digest::Digest,
    id::RunId,
    limits::Limits,
    name::Name,
    plan::Plan,
    request::{self, Grounds, State, Verdict, Verdicts},
    rule::RuleAnswer,
    stage::Stage,
};

/// Leave to run the stages of one exact plan, each once and in their order.
#[must_use]
#[derive(Debug)]
pub struct Permits {
    run: RunId,
    plan: Digest,
    limits: Limits,
    stages: VecDeque<Stage>,
}

/// Leave to run one stage of one exact plan, once.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    run: RunId,
    plan: Digest,
    stage: Stage,
    limits: Limits,
}

/// Why there is no permit; nothing of the guest has run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPermit {
    #[error("the request is {}", .0.as_str())]
    State(State),
    #[error("{0} has not approved it")]
    NotApproved(Name),
    #[error("the approval of {0} is gone")]
    ApprovalGone(Name),
    #[error("{owner}: {why}")]
    NotCovered { owner: Name, why: NotCovered },
    #[error("the rules of {0} forbid it now")]
    Forbidden(Name),
    #[error("the rules of {0} fail on it now, so that nobody knows whether they forbid it")]
    RulesFailed(Name),
    #[error("the rules of {0} permit it no longer")]
    RuleGone(Name),
    #[error("{0} has not named `expose`")]
    ExposeNotNamed(Name),
    #[error("the owners of the inputs are not those who were asked")]
    Owners,
}

/// What is known of a request at the moment of launch.
#[derive(Debug)]
pub struct Standing<'a> {
    pub state: State,
    pub caller: &'a Name,
    /// Whose function it is; a script is nobody's.
    pub developer: Option<&'a Name>,
    /// The owners of the data behind the inputs, as of now.
    pub owners: &'a [Name],
    pub verdicts: &'a Verdicts,
    /// The approvals that the verdicts rest on, as of now.
    pub approvals: &'a [Approval],
    /// What the rules of each owner who has some answer, as of now. Rules that
    /// fail, and whose owner answered this very request in spite of them, are
    /// left out.
    pub rules: &'a BTreeMap<Name, RuleAnswer>,
}

/// Mints leave to run `plan` as `run`.
pub fn mint(
    run: RunId,
    plan: &Plan,
    standing: &Standing<'_>,
    now_ms: i64,
) -> Result<Permits, NoPermit> {
    Ok(Permits {
        run,
        plan: plan.digest(),
        limits: stands(plan, standing, now_ms)?,
        stages: plan.stages.iter().copied().collect(),
    })
}

/// Whether the owners' answers let `plan` run at the time `at_ms`, and within
/// which limits.
///
/// The same is asked before a run and whenever somebody reads what came out of
/// one, then as of the time that it began: what an owner takes back ends both,
/// and what time alone has ended ends neither.
pub fn stands(plan: &Plan, standing: &Standing<'_>, at_ms: i64) -> Result<Limits, NoPermit> {
    if standing.state != State::Approved {
        return Err(NoPermit::State(standing.state));
    }
    if standing
        .owners
        .iter()
        .any(|owner| !standing.verdicts.contains_key(owner))
    {
        return Err(NoPermit::Owners);
    }
    let mut limits = plan.limits;
    for (owner, verdict) in standing.verdicts {
        let Verdict::Approved { grounds } = verdict else {
            return Err(NoPermit::NotApproved(owner.clone()));
        };
        let by_rule = standing.rules.get(owner).unwrap_or(&RuleAnswer::Silent);
        if let RuleAnswer::Forbid { .. } = by_rule {
            return Err(NoPermit::Forbidden(owner.clone()));
        }
        if matches!(by_rule, RuleAnswer::Failed { .. }) && owner != standing.caller {
            return Err(NoPermit::RulesFailed(owner.clone()));
        }
        if let Some(approval) = ground(owner, grounds, plan, standing)? {
            approval
                .still_covers(standing.caller, plan, at_ms)
                .map_err(|why| NoPermit::NotCovered {
                    owner: owner.clone(),
                    why,
                })?;
            limits = limits.smaller(approval.limits_max);
        }
    }
    Ok(limits)
}

fn ground<'a>(
    owner: &Name,
    grounds: &Grounds,
    plan: &Plan,
    standing: &Standing<'a>,
) -> Result<Option<&'a Approval>, NoPermit> {
    match grounds {
        Grounds::Rule { .. } | Grounds::Own if plan.exposes() => {
            Err(NoPermit::ExposeNotNamed(owner.clone()))
        }
        Grounds::OwnExposed => match standing.may_expose_all() {
            true => Ok(None),
            false => Err(NoPermit::ExposeNotNamed(owner.clone())),
        },
        Grounds::Rule { .. } => match standing.rules.get(owner) {
            Some(RuleAnswer::Permit { .. }) => Ok(None),
            _ => Err(NoPermit::RuleGone(owner.clone())),
        },
        Grounds::Own if owner == standing.caller => Ok(None),
        Grounds::Own => Err(NoPermit::NotApproved(owner.clone())),
        Grounds::Approval { approval } => {
            let found = standing
                .approvals
                .iter()
                .find(|a| a.id == *approval && a.owner == *owner);
            found
                .map(Some)
                .ok_or_else(|| NoPermit::ApprovalGone(owner.clone()))
        }
    }
}

impl Standing<'_> {
    fn may_expose_all(&self) -> bool {
        self.developer
            .is_some_and(|developer| request::may_expose_all(self.caller, developer, self.owners))
    }
}

impl Permits {
    /// Leave for a trial run of one's own code on one's own files, which no
    /// other owner has a say in.
    pub fn trial(run: RunId, plan: &Plan) -> Self {
        Self {
            run,
            plan: plan.digest(),
            limits: plan.limits,
            stages: plan.stages.iter().copied().collect(),
        }
    }

    /// The plan's limits, cut down to what every owner allowed. They hold for
    /// all stages together.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The stage that there is leave for next.
    pub fn upcoming(&self) -> Option<Stage> {
        self.stages.front().copied()
    }

    /// Leave for the next stage, within what is left for it.
    pub fn next_stage(&mut self, left: Limits) -> Option<Permit> {
        let stage = self.stages.pop_front()?;
        Some(Permit {
            run: self.run.clone(),
            plan: self.plan,
            stage,
            limits: self.limits.smaller(left),
        })
    }
}

impl Permit {
    /// Leave for the first stage of a trial run.
    pub fn trial(run: RunId, plan: &Plan) -> Self {
        let mut all = Permits::trial(run, plan);
        all.next_stage(plan.limits)
            .expect("a plan has at least one stage")
    }

    pub fn run(&self) -> &RunId {
        &self.run
    }

    pub fn plan(&self) -> Digest {
        self.plan
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The bounds of this stage.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}
