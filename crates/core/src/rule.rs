//! An owner's standing answers to future requests, written in Cedar.
//!
//! One document per owner. A policy may permit or forbid; what no policy
//! speaks of is left to the owner in person, and so is everything when a
//! policy fails while it is evaluated. A document is validated against
//! [`SCHEMA`] when it is written, so a misspelt attribute is an error then and
//! not a rule that never fires. Cedar: <https://docs.cedarpolicy.com/>.

mod nesting;

use std::{str::FromStr as _, sync::LazyLock};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema, ValidationMode,
    Validator,
};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    config::Config,
    digest::Digest,
    limits::Limits,
    name::{Name, ObjectName},
    network::{Answers, HostPattern, Network},
    stage::{Expose, Stage},
};

/// What policies can speak of.
pub const SCHEMA: &str = include_str!("rule.cedarschema");

/// The longest document, in bytes.
pub const LEN_MAX: usize = 64 * 1024;
/// The stack for reading a document: parsing and checking recurse for every
/// bracket and every link of a chain.
const STACK_BYTES: usize = 128 << 20;

/// Why a document cannot be taken, with the place in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rules, line {line}, column {column}: {message}")]
pub struct RuleError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// An owner's validated policies.
#[derive(Debug)]
pub struct RuleSet {
    policies: PolicySet,
}

/// What is asked, as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub caller: &'a Name,
    pub function: &'a ObjectName,
    pub function_digest: Digest,
    pub purpose: &'a str,
    pub args: &'a Value,
    /// The settings, the function's own included.
    pub config: &'a Config,
    pub limits: Limits,
    /// The datasets of this owner that the plan reads.
    pub datasets: &'a [ObjectName],
    /// All datasets that the plan reads, whoever owns them, and those that they
    /// were made of.
    pub inputs: &'a [ObjectName],
    pub stages: &'a [Stage],
    /// What the stage with a network may reach.
    pub network: Option<&'a Network>,
    /// Where that stage has its answers from.
    pub answers: &'a Answers,
    /// What the caller says of a function that exposes data.
    pub expose: Expose,
}

/// A policy that determined an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulePolicy {
    /// Its `@id`, or its place in the document: `policy0`.
    pub name: String,
    pub text: String,
}

/// What a document answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleAnswer {
    Permit {
        policies: Vec<RulePolicy>,
    },
    Forbid {
        policies: Vec<RulePolicy>,
    },
    /// No policy speaks of it.
    Silent,
    /// A policy could not be evaluated; a person has to answer.
    Failed {
        errors: Vec<String>,
    },
}

static PARSED: LazyLock<Schema> = LazyLock::new(|| {
    Schema::from_cedarschema_str(SCHEMA)
        .expect("the schema is a constant that every test of rules parses")
        .0
});

impl RuleSet {
    /// Parses what every document is judged by, so that the first need not wait.
    pub fn get_ready() {
        LazyLock::force(&PARSED);
    }

    /// Parses and validates a document.
    ///
    /// # Errors
    ///
    /// [`RuleError`] for the first fault; its writer is at fault.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        if LEN_MAX < text.len() {
            let message = format!("the document is longer than {LEN_MAX} bytes");
            return Err(at_offset(text, 0, message));
        }
        if let Some((at, why)) = nesting::fault(text) {
            return Err(at_offset(text, at, why));
        }
        stacker::grow(STACK_BYTES, || Self::parse_bounded(text))
    }

    fn parse_bounded(text: &str) -> Result<Self, RuleError> {
        let policies = PolicySet::from_str(text).map_err(|error| fault(text, &error))?;
        if policies.templates().next().is_some() {
            let message = "templates with slots cannot be used here".to_owned();
            return Err(at_offset(text, 0, message));
        }
        let found = Validator::new(PARSED.clone()).validate(&policies, ValidationMode::Strict);
        match found.validation_errors().next() {
            Some(error) => Err(fault(text, error)),
            None => Ok(Self { policies }),
        }
    }

    /// What the document says to `ask` at the time `now_ms`.
    pub fn answer(&self, ask: &Ask<'_>, now_ms: i64) -> RuleAnswer {
        stacker::grow(STACK_BYTES, || self.answer_now(ask, now_ms))
    }

    fn answer_now(&self, ask: &Ask<'_>, now_ms: i64) -> RuleAnswer {
        let (request, entities) = match cedar_request(ask, now_ms) {
            Ok(both) => both,
            Err(error) => {
                return RuleAnswer::Failed {
                    errors: vec![error],
                };
            }
        };
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let errors: Vec<String> = response
            .diagnostics()
            .errors()
            .map(ToString::to_string)
            .collect();
        let mut policies: Vec<RulePolicy> = response
            .diagnostics()
            .reason()
            .map(|id| self.named(id))
            .collect();
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        match response.decision() {
            // A policy that forbids does so whatever became of the others.
            Decision::Deny if !policies.is_empty() => RuleAnswer::Forbid { policies },
            _ if !errors.is_empty() => RuleAnswer::Failed { errors },
            Decision::Allow => RuleAnswer::Permit { policies },
            Decision::Deny => RuleAnswer::Silent,
        }
    }

    fn named(&self, id: &cedar_policy::PolicyId) -> RulePolicy {
        let name = self
            .policies
            .annotation(id, "id")
            .map_or_else(|| id.to_string(), str::to_owned);
        let text = self
            .policies
            .policy(id)
            .map(ToString::to_string)
            .unwrap_or_default();
        RulePolicy { name, text }
    }
}

/// The message of a Cedar error with its line and column, both from 1.
fn fault(text: &str, error: &dyn Diagnostic) -> RuleError {
    let offset = error
        .labels()
        .and_then(|mut labels| labels.next())
        .map_or(0, |label| label.offset().min(text.len()));
    let help = error
        .help()
        .map(|help| format!(" ({help})"))
        .unwrap_or_default();
    at_offset(text, offset, format!("{error}{help}"))
}

fn at_offset(text: &str, offset: usize, message: String) -> RuleError {
    let before = &text.as_bytes()[..offset];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let column = 1 + String::from_utf8_lossy(&before[line_start..])
        .chars()
        .count();
    RuleError {
        line,
        column,
        message,
    }
}

fn cedar_request(ask: &Ask<'_>, now_ms: i64) -> Result<(Request, Entities), String> {
    let schema: &Schema = &PARSED;
    let entity = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    let now = jiff::Timestamp::from_millisecond(now_ms).map_err(|e| e.to_string())?;
    let (texts, numbers) = tags(ask.args.as_object().into_iter().flatten());
    let (settings, setting_numbers) = tags(ask.config);
    let hosts = ask.network.into_iter().flat_map(Network::hosts);
    let answers = match ask.stages.contains(&Stage::Download) {
        true => ask.answers.as_str(),
        false => "",
    };
    let entities = json!([
        { "uid": entity("User", ask.caller.as_str()), "attrs": {}, "parents": [] },
        { "uid": entity("User", ask.function.owner.as_str()), "attrs": {}, "parents": [] },
        { "uid": entity("Texts", "args"), "attrs": {}, "parents": [], "tags": texts },
        { "uid": entity("Numbers", "args"), "attrs": {}, "parents": [], "tags": numbers },
        { "uid": entity("Texts", "config"), "attrs": {}, "parents": [], "tags": settings },
        { "uid": entity("Numbers", "config"), "attrs": {}, "parents": [], "tags": setting_numbers },
        {
            "uid": entity("Function", &ask.function.to_string()),
            "attrs": {
                "developer": { "__entity": entity("User", ask.function.owner.as_str()) },
                "digest": ask.function_digest.to_string(),
            },
            "parents": [],
        },
    ]);
    let context = json!({
        "purpose": ask.purpose,
        "now": { "__extn": { "fn": "datetime", "arg": format!("{now:.3}") } },
        "args": { "__entity": entity("Texts", "args") },
        "numbers": { "__entity": entity("Numbers", "args") },
        "config": { "__entity": entity("Texts", "config") },
        "config_numbers": { "__entity": entity("Numbers", "config") },
        "datasets": texts_of(ask.datasets),
        "inputs": texts_of(ask.inputs),
        "owners": ask.inputs.iter().map(|input| entity("User", input.owner.as_str())).map(|user| json!({ "__entity": user })).collect::<Vec<_>>(),
        "limits": limits(ask.limits),
        "stages": ask.stages.iter().map(|stage| stage.as_str()).collect::<Vec<_>>(),
        "hosts": hosts.map(HostPattern::to_string).collect::<Vec<_>>(),
        "answers": answers,
    });
    let uid =
        |kind: &str, id: &str| EntityUid::from_json(entity(kind, id)).map_err(|e| e.to_string());
    let action = uid("Action", "run")?;
    let context =
        Context::from_json_value(context, Some((schema, &action))).map_err(|e| e.to_string())?;
    let (caller, function) = (
        uid("User", ask.caller.as_str())?,
        uid("Function", &ask.function.to_string())?,
    );
    let request =
        Request::new(caller, action, function, context, Some(schema)).map_err(|e| e.to_string())?;
    let entities =
        Entities::from_json_value(unique(entities), Some(schema)).map_err(|e| e.to_string())?;
    Ok((request, entities))
}

fn texts_of(names: &[ObjectName]) -> Vec<String> {
    names.iter().map(ObjectName::to_string).collect()
}

/// Cedar refuses an entity that is there twice: a caller who is the developer.
fn unique(entities: Value) -> Value {
    let Value::Array(all) = entities else {
        return entities;
    };
    let mut kept: Vec<Value> = Vec::with_capacity(all.len());
    for entity in all {
        if kept.iter().all(|other| other["uid"] != entity["uid"]) {
            kept.push(entity);
        }
    }
    Value::Array(kept)
}

/// The top-level arguments, or the settings: strings as they are, whole numbers
/// as numbers, everything else as canonical JSON text.
fn tags<'a>(
    named: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut texts, mut numbers) = (Map::new(), Map::new());
    for (key, value) in named {
        match value {
            Value::String(text) => {
                texts.insert(key.clone(), json!(text));
            }
            Value::Number(number) if whole(number).is_some() => {
                numbers.insert(key.clone(), json!(whole(number)));
            }
            other => {
                texts.insert(key.clone(), json!(crate::json::canonical(other)));
            }
        }
    }
    (texts, numbers)
}

/// A whole number however it is written: `5.0` is 5, so that it does not slip
/// past a rule about numbers.
fn whole(number: &serde_json::Number) -> Option<i64> {
    /// Up to here a double is exact.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let double = number.as_f64()?;
        (double.fract() == 0.0 && double.abs() <= EXACT_MAX).then_some(double as i64)
    })
}

fn limits(limits: Limits) -> Value {
    let rows = limits.rows().map(|(name, value)| {
        (
            name.to_owned(),
            json!(i64::try_from(value).unwrap_or(i64::MAX)),
        )
    });
    Value::Object(rows.into_iter().collect())
}
