//! One exact run: digests and values, no names that could come to mean
//! something else.
//!
//! A plan's digest is what an owner approves. Everything that could change
//! what the guest does or sees is inside it; who asks and who gets the result
//! is not, since that belongs to the request.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{self, Config, ConfigError},
    digest::Digest,
    json,
    limits::{Limits, LimitsError},
    manifest::Manifest,
    name::{Name, ObjectName},
    network::{Answers, Network},
    runtime::RuntimeName,
    schema,
    secret::Secrets,
    stage::{self, Expose},
    text,
};

pub use crate::stage::Stage;

/// The most inputs of one plan.
pub const INPUTS_MAX: usize = 64;
/// The most bytes of arguments, as canonical JSON.
pub const ARGS_LEN_MAX: usize = 1 << 20;
/// The deepest nesting of arguments: they are shown inside other documents,
/// which have to be readable too.
pub const ARGS_DEPTH_MAX: usize = 100;

/// The runtime that a plan runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RuntimePin {
    pub name: RuntimeName,
    /// The digest over the interpreter, the main program and what else the
    /// runtime brings.
    pub digest: Digest,
}

/// Where the inputs lie for the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Inputs<T> {
    /// No `/data` at all.
    None,
    /// The files lie directly in `/data`.
    Only(T),
    /// Each lies in `/data/<name>`.
    Named(BTreeMap<Name, T>),
}

impl<T> Inputs<T> {
    /// The inputs with the name of each, if it has one.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&Name>, &T)> {
        let (only, named) = match self {
            Self::None => (None, None),
            Self::Only(input) => (Some((None, input)), None),
            Self::Named(map) => (
                None,
                Some(map.iter().map(|(name, input)| (Some(name), input))),
            ),
        };
        only.into_iter().chain(named.into_iter().flatten())
    }

    /// The same places with other things in them.
    pub fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<Inputs<U>, E> {
        Ok(match self {
            Self::None => Inputs::None,
            Self::Only(input) => Inputs::Only(f(input)?),
            Self::Named(map) => {
                let mut out = BTreeMap::new();
                for (name, input) in map {
                    out.insert(name, f(input)?);
                }
                Inputs::Named(out)
            }
        })
    }
}

impl Inputs<crate::name::Reference> {
    /// Parses `owner/name` or `input=owner/name` texts, as a caller gives them.
    pub fn parse<'a>(raw: impl IntoIterator<Item = &'a str>) -> Result<Self, PlanError> {
        let wrong = |raw: &str, why: String| PlanError::Input {
            raw: raw.to_owned(),
            why,
        };
        let mut only = None;
        let mut named = BTreeMap::new();
        for text in raw {
            match text.split_once('=') {
                None => {
                    let reference = text
                        .parse()
                        .map_err(|e: crate::name::ReferenceError| wrong(text, e.to_string()))?;
                    if only.replace(reference).is_some() {
                        return Err(PlanError::TwoUnnamed);
                    }
                }
                Some((name, reference)) => {
                    let name: Name = name
                        .parse()
                        .map_err(|e: crate::name::NameError| wrong(text, e.to_string()))?;
                    let reference = reference
                        .parse()
                        .map_err(|e: crate::name::ReferenceError| wrong(text, e.to_string()))?;
                    if named.insert(name, reference).is_some() {
                        return Err(wrong(text, "the name is there twice".to_owned()));
                    }
                }
            }
        }
        match (only, named.is_empty()) {
            (None, true) => Ok(Self::None),
            (Some(reference), true) => Ok(Self::Only(reference)),
            (None, false) if named.len() <= INPUTS_MAX => Ok(Self::Named(named)),
            (None, false) => Err(PlanError::TooManyInputs),
            (Some(_), false) => Err(PlanError::TwoUnnamed),
        }
    }
}

/// One version of a dataset, as a request shows it: the digest is what counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InputVersion {
    pub dataset: ObjectName,
    pub version: Digest,
}

/// One exact run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The function version.
    pub function: Digest,
    pub runtime: RuntimePin,
    /// The dataset versions.
    pub inputs: Inputs<Digest>,
    pub args: Value,
    pub limits: Limits,
    /// Each is a sandbox of its own, one after the other.
    pub stages: Vec<Stage>,
    /// What the stage `download` may reach; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<Network>,
    /// The caller's secrets that stages are told, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Vec<String>>))]
    pub secrets: Secrets,
    /// Plain settings that every stage is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub config: Config,
    /// Where the stage `download` has its answers from.
    #[serde(default, skip_serializing_if = "Answers::is_live")]
    pub answers: Answers,
}

/// Why a plan cannot be made; the caller is at fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("input `{}`: {why}", text::shown(.raw, 120))]
    Input { raw: String, why: String },
    #[error("only a lone input may go without a name; give each as NAME=OWNER/DATASET")]
    TwoUnnamed,
    #[error("there are more than {INPUTS_MAX} inputs")]
    TooManyInputs,
    #[error("the function takes the inputs {wanted}, not {found}")]
    Inputs { wanted: String, found: String },
    #[error("the arguments are longer than {ARGS_LEN_MAX} bytes")]
    ArgsTooLong,
    #[error("the arguments are nested deeper than {ARGS_DEPTH_MAX}")]
    ArgsTooDeep,
    #[error("{}: {}", argument(.place), text::shown(.why, 300))]
    Args { place: String, why: String },
    #[error("{}", stage::EXPOSE_OFF)]
    ExposeOff,
    #[error("config")]
    Config(#[source] ConfigError),
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

/// What is at fault, as people say it.
fn argument(place: &str) -> String {
    match place.is_empty() {
        true => "the arguments".to_owned(),
        false => format!("argument {}", text::shown(place, 120)),
    }
}

impl Plan {
    /// What is approved: the digest over everything in the plan.
    pub fn digest(&self) -> Digest {
        Digest::of(json::canonical_of(self).as_bytes())
    }

    /// Whether something of the data goes to the stage with a network.
    pub fn exposes(&self) -> bool {
        self.stages.contains(&Stage::Expose)
    }

    /// The same plan with settings of the caller's laid over the function's.
    ///
    /// # Errors
    ///
    /// [`PlanError::Config`] for one that the function does not take.
    pub fn configured(mut self, asked: Config) -> Result<Self, PlanError> {
        self.config = config::over(&self.config, asked).map_err(PlanError::Config)?;
        Ok(self)
    }

    /// The plan, if the caller who wants it wants `expose` where it has one.
    ///
    /// # Errors
    ///
    /// [`PlanError::ExposeOff`] otherwise.
    pub fn wanted(self, expose: Expose) -> Result<Self, PlanError> {
        match expose {
            Expose::Off if self.exposes() => Err(PlanError::ExposeOff),
            _ => Ok(self),
        }
    }
}

/// Pins what a caller asked for into a plan.
///
/// `limits_asked` is what the caller wants (already laid over the function's
/// own limits), `limits_max` what the station grants.
///
/// # Errors
///
/// [`PlanError`] says which input, argument or limit is not as the function
/// or the station takes it.
pub fn pin(
    manifest: &Manifest,
    function: Digest,
    runtime: RuntimePin,
    inputs: Inputs<Digest>,
    args: Value,
    limits_asked: Limits,
    limits_max: Limits,
) -> Result<Plan, PlanError> {
    check_inputs(manifest, &inputs)?;
    if ARGS_LEN_MAX < json::canonical(&args).len() {
        return Err(PlanError::ArgsTooLong);
    }
    if ARGS_DEPTH_MAX < json::depth(&args) {
        return Err(PlanError::ArgsTooDeep);
    }
    if let Some(schema) = &manifest.args {
        check_args(schema, &args)?;
    }
    let limits = limits_asked.checked(limits_max)?;
    Ok(Plan {
        function,
        runtime,
        inputs,
        args,
        limits,
        stages: manifest.stages.clone(),
        download: manifest.download.clone(),
        secrets: manifest.secrets.clone(),
        config: manifest.config.clone(),
        answers: Answers::Live,
    })
}

fn check_inputs<T>(manifest: &Manifest, inputs: &Inputs<T>) -> Result<(), PlanError> {
    let Some(wanted) = &manifest.inputs else {
        return Ok(());
    };
    let found: BTreeSet<&Name> = inputs.iter().filter_map(|(name, _)| name).collect();
    let lone = matches!(inputs, Inputs::Only(_)) && wanted.len() == 1;
    if lone
        || (wanted.keys().collect::<BTreeSet<_>>() == found && !matches!(inputs, Inputs::Only(_)))
    {
        return Ok(());
    }
    let list = |names: Vec<&Name>| match names.as_slice() {
        [] => "(none)".to_owned(),
        names => names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    };
    let found = match inputs {
        Inputs::Only(_) => "one without a name".to_owned(),
        _ => list(found.into_iter().collect()),
    };
    Err(PlanError::Inputs {
        wanted: list(wanted.keys().collect()),
        found,
    })
}

/// Checks arguments against a JSON Schema.
///
/// # Errors
///
/// [`PlanError::Args`] with the place of the first fault, as a JSON pointer.
pub fn check_args(schema: &Value, args: &Value) -> Result<(), PlanError> {
    let compiled = schema::compile(schema).map_err(|why| PlanError::Args {
        place: "schema".to_owned(),
        why,
    })?;
    compiled
        .check(args)
        .map_err(|schema::Fault { place, why }| PlanError::Args { place, why })
}
