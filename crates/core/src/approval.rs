//! An owner's yes that may cover more than the run it was asked for.
//!
//! An approval covers one caller and either one exact plan, or one exact
//! function on the same inputs with any arguments that a JSON Schema allows.
//! Where a download has its answers from is pinned with the function, since
//! answers that a caller kept go in as much as arguments do.
//! It can be bounded by a number of uses, by time and by limits, and it can
//! be taken back. It never covers another function version, not by one byte.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::Config,
    digest::Digest,
    id::{ApprovalId, RequestId},
    limits::Limits,
    name::Name,
    network::{Answers, Network},
    plan::{self, Inputs, Plan, RuntimePin},
    stage::{self, Stage},
};

/// What an approval covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// Exactly this plan.
    Plan { plan: Digest },
    /// This function on these inputs, with arguments in a domain.
    Domain {
        function: Digest,
        runtime: RuntimePin,
        inputs: Inputs<Digest>,
        stages: Vec<Stage>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        download: Option<Box<Network>>,
        /// Where the stage `download` has its answers from.
        #[serde(default, skip_serializing_if = "Answers::is_live")]
        answers: Answers,
        #[serde(default, skip_serializing_if = "Config::is_empty")]
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        config: Box<Config>,
        args_schema: Box<Value>,
    },
}

impl Scope {
    /// The scope that covers `plan` with any arguments that satisfy `args_schema`.
    pub fn domain(plan: &Plan, args_schema: Value) -> Self {
        Self::Domain {
            function: plan.function,
            runtime: plan.runtime.clone(),
            inputs: plan.inputs.clone(),
            stages: plan.stages.clone(),
            download: plan.download.clone().map(Box::new),
            answers: plan.answers.clone(),
            config: Box::new(plan.config.clone()),
            args_schema: Box::new(args_schema),
        }
    }
}

/// An owner's yes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approval {
    pub id: ApprovalId,
    pub owner: Name,
    /// Who may run it and gets the result.
    pub caller: Name,
    /// The request it answered.
    pub request: RequestId,
    pub scope: Scope,
    /// The owner named `expose`: what it makes of his data may reach a network.
    #[serde(default)]
    pub expose: bool,
    /// A covered run is cut down to these, where they are smaller than its plan's.
    pub limits_max: Limits,
    /// Runs that may still start; `None` is without bound.
    pub uses_left: Option<u32>,
    /// The time it ends, in milliseconds since 1970; `None` is never.
    pub until_ms: Option<i64>,
    pub revoked: bool,
    pub at_ms: i64,
}

/// Why an approval does not cover a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCovered {
    #[error("the approval was revoked")]
    Revoked,
    #[error("the approval has expired")]
    Expired,
    #[error("the approval is used up")]
    UsedUp,
    #[error("the approval is for another caller")]
    OtherCaller,
    #[error("the approval is for another plan")]
    OtherPlan,
    #[error("the arguments are outside what was approved")]
    ArgsOutside,
    #[error("{}, and the approval does not name it", stage::EXPOSE_OFF)]
    ExposeNotNamed,
}

impl Approval {
    /// Whether a new run of `plan` by `caller` may begin under this approval.
    pub fn covers_new(&self, caller: &Name, plan: &Plan, now_ms: i64) -> Result<(), NotCovered> {
        if self.uses_left == Some(0) {
            return Err(NotCovered::UsedUp);
        }
        self.still_covers(caller, plan, now_ms)
    }

    /// Whether a run that has already been counted as a use may start now.
    pub fn still_covers(&self, caller: &Name, plan: &Plan, now_ms: i64) -> Result<(), NotCovered> {
        if self.revoked {
            return Err(NotCovered::Revoked);
        }
        if self.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Err(NotCovered::Expired);
        }
        if self.caller != *caller {
            return Err(NotCovered::OtherCaller);
        }
        self.scope.covers(plan)?;
        match self.expose || !plan.exposes() {
            true => Ok(()),
            false => Err(NotCovered::ExposeNotNamed),
        }
    }
}

impl Scope {
    fn covers(&self, of: &Plan) -> Result<(), NotCovered> {
        match self {
            Self::Plan { plan } if *plan == of.digest() => Ok(()),
            Self::Plan { .. } => Err(NotCovered::OtherPlan),
            Self::Domain {
                function,
                runtime,
                inputs,
                stages,
                download,
                answers,
                config,
                args_schema,
            } => {
                let same = *function == of.function
                    && *runtime == of.runtime
                    && *inputs == of.inputs
                    && *stages == of.stages
                    && download.as_deref() == of.download.as_ref()
                    && *answers == of.answers
                    && **config == of.config;
                if !same {
                    return Err(NotCovered::OtherPlan);
                }
                plan::check_args(args_schema, &of.args).map_err(|_| NotCovered::ArgsOutside)
            }
        }
    }
}
