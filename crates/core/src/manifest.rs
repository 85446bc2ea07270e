//! What a function says of itself: `strongroom.toml`, or the same keys inline.
//!
//! An unknown key is an error, never ignored: a misspelt limit would
//! otherwise be no limit. What this station cannot do (outputs held back) is
//! refused here, when the function is pushed, and not when somebody needs the
//! result.

mod entry;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{self, Config, ConfigError},
    dependency::{Dependencies, Wishes},
    inline::{self, InlineError},
    limits::{Limits, LimitsAsked, LimitsError},
    name::Name,
    network::Network,
    runtime::{Kinds, RuntimeName, executable::ExecutableError},
    secret::{self, Secrets, SecretsError},
    stage::{self, Stage, StagesError},
    tree::{TreeError, TreePath},
};

/// The file that holds a folder's manifest.
pub const FILE_NAME: &str = "strongroom.toml";

/// What a function says of itself, checked and complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub runtime: RuntimeName,
    /// The file that is run.
    pub entry: TreePath,
    pub description: String,
    /// The inputs by name, with what each is for; `None` takes whatever the caller gives.
    pub inputs: Option<BTreeMap<Name, String>>,
    /// A JSON Schema (2020-12) that the arguments must satisfy.
    pub args: Option<Value>,
    /// Every bound, with the defaults filled in.
    pub limits: Limits,
    /// In the order in which they run.
    #[serde(default = "stage::plain", skip_serializing_if = "stage::is_plain")]
    pub stages: Vec<Stage>,
    /// What the stage `download` may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<Network>,
    /// Secrets that its stages want to be told, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Vec<String>>))]
    pub secrets: Secrets,
    /// Plain settings, which a caller may set otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub config: Config,
    /// The packages that it is run with; filled in when it was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
}

/// Why a manifest cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{file}: {message}")]
    Toml { file: String, message: String },
    #[error("{file}")]
    Inline { file: String, source: InlineError },
    #[error("there is no runtime `{}` here; there are {have}", crate::text::shown(.raw, 40))]
    Runtime { raw: String, have: String },
    #[error("say which `runtime` runs this; `{entry}` is none of {suffixes}")]
    NoRuntime { entry: TreePath, suffixes: String },
    #[error("say which file is the `entry`; there is no `{0}`")]
    NoEntry(String),
    #[error("`{one}` and `{other}` could both be the entry; say which is the `entry`")]
    TwoEntries { one: TreePath, other: TreePath },
    #[error("`{entry}` cannot run as a program by itself")]
    Executable {
        entry: TreePath,
        source: ExecutableError,
    },
    #[error("the entry `{0}` is not among the files")]
    EntryMissing(TreePath),
    #[error("entry")]
    Entry(#[source] TreeError),
    #[error("limits")]
    Limits(#[source] LimitsError),
    #[error("args is not a JSON Schema: {0}")]
    Args(String),
    #[error("input `{}`", crate::text::shown(.name, 80))]
    Input {
        name: String,
        source: crate::name::NameError,
    },
    #[error("stages")]
    Stages(#[source] StagesError),
    #[error("secrets")]
    Secrets(#[source] SecretsError),
    #[error("config")]
    Config(#[source] ConfigError),
    #[error("`[download]` is for a function with the stage `download`")]
    NothingToDownload,
    #[error("{0}")]
    NotHere(&'static str),
}

/// The file as written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Written {
    runtime: Option<String>,
    entry: Option<String>,
    description: Option<String>,
    inputs: Option<BTreeMap<String, String>>,
    args: Option<Value>,
    #[serde(default)]
    limits: LimitsAsked,
    stages: Option<Vec<String>>,
    download: Option<Network>,
    #[serde(default)]
    secrets: Secrets,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    dependencies: Wishes,
    release: Option<Release>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    mode: ReleaseMode,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ReleaseMode {
    AtOnce,
    Held,
}

/// The keys of PEP 723 that a single file may have beside `[tool.strongroom]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInline {
    #[serde(rename = "requires-python")]
    _requires_python: Option<String>,
    #[serde(rename = "dependencies", default)]
    _dependencies: Vec<String>,
    #[serde(default)]
    tool: BTreeMap<String, toml::Value>,
}

const NO_HELD: &str = "this station releases results at once to whom the owners approved; \
    `release.mode` must be \"at_once\"";

/// A function's files, small enough to be held in memory.
pub type Files = BTreeMap<TreePath, Vec<u8>>;

impl Manifest {
    /// Reads the manifest of `files`: from `strongroom.toml`, or else from
    /// the inline metadata of the only file, or else from its name. `kinds`
    /// are the runtimes that there are.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] says which file and key; the developer is at fault.
    pub fn of_files(files: &Files, kinds: &Kinds) -> Result<Self, ManifestError> {
        let written = Self::written(files, kinds)?;
        if written
            .release
            .as_ref()
            .is_some_and(|release| release.mode == ReleaseMode::Held)
        {
            return Err(ManifestError::NotHere(NO_HELD));
        }
        let (runtime, entry) =
            entry::runtime_and_entry(&written.runtime, &written.entry, files, kinds)?;
        let stages = stages(&written, &entry, files)?;
        if written.download.is_some() && !stages.contains(&Stage::Download) {
            return Err(ManifestError::NothingToDownload);
        }
        secret::check(&written.secrets, &stages).map_err(ManifestError::Secrets)?;
        let limits = written
            .limits
            .over(Limits::DEFAULT)
            .map_err(ManifestError::Limits)?;
        if let Some(schema) = &written.args {
            crate::schema::compile(schema).map_err(ManifestError::Args)?;
        }
        Ok(Self {
            runtime,
            entry,
            description: written.description.unwrap_or_default(),
            inputs: written.inputs.map(input_names).transpose()?,
            args: written.args,
            limits: limits.checked(Limits::MAX).map_err(ManifestError::Limits)?,
            stages,
            download: written.download,
            secrets: written.secrets,
            config: config::checked(written.config).map_err(ManifestError::Config)?,
            dependencies: None,
        })
    }

    /// What the manifest of `files` says of how packages are had.
    ///
    /// # Errors
    ///
    /// Those of [`Manifest::of_files`].
    pub fn wishes(files: &Files, kinds: &Kinds) -> Result<Wishes, ManifestError> {
        Ok(Self::written(files, kinds)?.dependencies)
    }

    fn written(files: &Files, kinds: &Kinds) -> Result<Written, ManifestError> {
        let own: TreePath = FILE_NAME.parse().expect("a constant, plain name");
        if let Some(bytes) = files.get(&own) {
            let text = utf8(FILE_NAME, bytes)?;
            return from_toml(FILE_NAME, text, 0);
        }
        match entry::single_file(files, kinds) {
            Some((path, bytes)) => written_inline(path.as_str(), utf8(path.as_str(), bytes)?),
            None => Ok(Written::default()),
        }
    }
}

fn utf8<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, ManifestError> {
    std::str::from_utf8(bytes).map_err(|error| ManifestError::Toml {
        file: file.to_owned(),
        message: format!("not UTF-8 at byte {}", error.valid_up_to()),
    })
}

fn from_toml<T: serde::de::DeserializeOwned>(
    file: &str,
    text: &str,
    lines_before: usize,
) -> Result<T, ManifestError> {
    toml::from_str(text).map_err(|error| {
        let message = toml_fault(text, lines_before, &error);
        ManifestError::Toml {
            file: file.to_owned(),
            message,
        }
    })
}

/// What is wrong with a text, and in which line.
pub(crate) fn toml_fault(text: &str, lines_before: usize, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = lines_before + 1 + text[..at].matches('\n').count();
    format!("line {line}: {}", error.message())
}

fn written_inline(file: &str, source: &str) -> Result<Written, ManifestError> {
    let wrong = |source| ManifestError::Inline {
        file: file.to_owned(),
        source,
    };
    let Some((text, lines_before)) = inline::block(source).map_err(wrong)? else {
        return Ok(Written::default());
    };
    let whole: WrittenInline = from_toml(file, &text, lines_before)?;
    match whole.tool.get("strongroom") {
        None => Ok(Written::default()),
        Some(table) => table.clone().try_into().map_err(|error: toml::de::Error| {
            let message = format!("[tool.strongroom]: {}", error.message());
            ManifestError::Toml {
                file: file.to_owned(),
                message,
            }
        }),
    }
}

/// The stages that the manifest names, or else those that the entry defines.
fn stages(written: &Written, entry: &TreePath, files: &Files) -> Result<Vec<Stage>, ManifestError> {
    let named = match &written.stages {
        Some(named) => named.iter().map(|raw| raw.parse()).collect(),
        None => Ok(found_stages(entry, files, written.download.is_some())),
    };
    let stages = named.and_then(|named: Vec<Stage>| stage::ordered(named));
    stages.map_err(ManifestError::Stages)
}

/// The stages of an entry in a language where the first column tells which
/// functions it defines, or exports. A script may have functions of these names
/// for itself, unless it says otherwise.
fn found_stages(entry: &TreePath, files: &Files, has_network: bool) -> Vec<Stage> {
    let ends = |suffix| entry.file_name().ends_with(suffix);
    let is_star = ends(".star");
    let is_javascript = [".js", ".mjs", ".cjs"].into_iter().any(ends);
    let Some(source) = files.get(entry) else {
        return stage::plain();
    };
    if !is_star && !is_javascript && !ends(".py") {
        return stage::plain();
    }
    let source = String::from_utf8_lossy(source);
    let functions = match is_javascript {
        true => stage::exports_of(&source),
        false => stage::functions_of(&source),
    };
    let defines = |stage: &Stage| functions.contains(&stage.as_str());
    // A script of steps defines none of them, and may have steps that download.
    if is_star && !Stage::ALL.iter().any(defines) {
        return match stage::has_download_step(&source) {
            true => vec![Stage::Download, Stage::Transform],
            false => stage::plain(),
        };
    }
    if !is_star && !has_network && !defines(&Stage::Transform) {
        return stage::plain();
    }
    let has = |stage: &Stage| *stage == Stage::Transform || defines(stage);
    Stage::ALL.into_iter().filter(has).collect()
}

fn input_names(raw: BTreeMap<String, String>) -> Result<BTreeMap<Name, String>, ManifestError> {
    raw.into_iter()
        .map(|(name, what)| match name.parse() {
            Ok(parsed) => Ok((parsed, what)),
            Err(source) => Err(ManifestError::Input { name, source }),
        })
        .collect()
}
