//! A question to the owners of some data: may this plan run, and may this
//! caller have the result?
//!
//! Every run asks; most questions are answered on the spot, by the caller
//! owning the data, by an earlier approval, or by an owner's rules. A request
//! is born `pending` and ends; nothing leads back, except that what was
//! approved may still be revoked. One rejection ends it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    approval::Approval,
    id::ApprovalId,
    name::Name,
    plan::Plan,
    rule::{Ask, RuleAnswer, RulePolicy, RuleSet},
    stage::Expose,
};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RequestState))]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Approved,
    Rejected,
    /// An owner took the yes back.
    Revoked,
    /// Nobody answered in time.
    Expired,
    /// The caller no longer wants it.
    Withdrawn,
}

impl State {
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Revoked,
        Self::Expired,
        Self::Withdrawn,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether a request in this state may come to be in `next`.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => next != Self::Pending,
            Self::Approved => next == Self::Revoked,
            _ => false,
        }
    }
}

impl std::str::FromStr for State {
    type Err = crate::run::UnknownState;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == raw);
        found.ok_or_else(|| crate::run::UnknownState(raw.to_owned()))
    }
}

/// What a yes rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Grounds {
    /// The caller owns the data.
    Own,
    /// The caller owns all of the data, wrote the function, and said that what
    /// it exposes may reach a network.
    OwnExposed,
    /// An approval, given now or earlier.
    Approval { approval: ApprovalId },
    /// The owner's standing rules, with the policies that determined it.
    Rule { policies: Vec<RulePolicy> },
}

/// One owner's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    Pending {
        /// Why the owner's rules could not answer, when they failed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rule_errors: Vec<String>,
    },
    Approved {
        grounds: Grounds,
    },
    Rejected {
        reason: String,
        /// The policies that forbade it; empty when a person said no.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policies: Vec<RulePolicy>,
    },
}

impl Verdict {
    pub const PENDING: Self = Self::Pending {
        rule_errors: Vec::new(),
    };

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
        }
    }
}

/// The state that the owners' answers add up to.
pub fn state_of<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> State {
    let mut state = State::Approved;
    for verdict in verdicts {
        match verdict {
            Verdict::Rejected { .. } => return State::Rejected,
            Verdict::Pending { .. } => state = State::Pending,
            Verdict::Approved { .. } => {}
        }
    }
    state
}

/// One owner of some of the inputs, with what he said before.
#[derive(Debug)]
pub struct Desk<'a> {
    pub owner: &'a Name,
    pub rules: Option<&'a RuleSet>,
    /// His approvals for this caller, in the order they should be used.
    pub approvals: &'a [Approval],
}

/// What one owner answers without being asked in person.
///
/// A rule that forbids comes first, even for the owner's own data; then
/// ownership, then an approval that covers the plan, then a rule that permits.
/// A plan that exposes data is covered by an approval that names `expose`, and
/// neither by a rule nor by ownership alone.
/// Rules that fail might have forbidden it, so that a person has to answer,
/// whatever was approved earlier; the owner himself answers by asking.
pub fn judge(desk: &Desk<'_>, ask: &Ask<'_>, plan: &Plan, now_ms: i64) -> Verdict {
    let by_rule = desk
        .rules
        .map_or(RuleAnswer::Silent, |rules| rules.answer(ask, now_ms));
    if let RuleAnswer::Forbid { policies } = by_rule {
        let reason = format!("forbidden by the rules of {}", desk.owner);
        return Verdict::Rejected { reason, policies };
    }
    if let Some(grounds) = own(desk, ask, plan) {
        return Verdict::Approved { grounds };
    }
    if let RuleAnswer::Failed { errors } = by_rule {
        return Verdict::Pending {
            rule_errors: errors,
        };
    }
    let covering = desk
        .approvals
        .iter()
        .find(|approval| approval.covers_new(ask.caller, plan, now_ms).is_ok());
    if let Some(approval) = covering {
        return Verdict::Approved {
            grounds: Grounds::Approval {
                approval: approval.id.clone(),
            },
        };
    }
    match by_rule {
        RuleAnswer::Permit { policies } if !plan.exposes() => Verdict::Approved {
            grounds: Grounds::Rule { policies },
        },
        RuleAnswer::Permit { .. }
        | RuleAnswer::Silent
        | RuleAnswer::Failed { .. }
        | RuleAnswer::Forbid { .. } => Verdict::PENDING,
    }
}

/// What a caller's own data lets him do without being asked.
fn own(desk: &Desk<'_>, ask: &Ask<'_>, plan: &Plan) -> Option<Grounds> {
    if desk.owner != ask.caller {
        return None;
    }
    if !plan.exposes() {
        return Some(Grounds::Own);
    }
    let owners = ask.inputs.iter().map(|input| &input.owner);
    let may = ask.expose == Expose::AllDatasets
        && may_expose_all(ask.caller, &ask.function.owner, owners);
    may.then_some(Grounds::OwnExposed)
}

/// Whether a caller may expose whatever the function reads: all of it is his
/// own, and so is the function.
pub fn may_expose_all<'a>(
    caller: &Name,
    developer: &Name,
    owners: impl IntoIterator<Item = &'a Name>,
) -> bool {
    developer == caller && owners.into_iter().all(|owner| owner == caller)
}

/// Every owner's answer to one request.
pub type Verdicts = BTreeMap<Name, Verdict>;
