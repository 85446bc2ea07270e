//! What a run's guests will see, laid out on this host.
//!
//! The same for all stages of a run, except that a stage without data is given
//! none of the inputs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use strongroom_core::{
    json,
    name::Name,
    plan::Inputs,
    plan::Plan,
    run::Reason,
    stage::Stage,
    transform::TOLD_FILE,
    tree::{Tree, TreeFile, TreePath},
    version::Says,
};
use strongroom_run::{Dependencies, Job, Reach};
use strongroom_store::{ClaimedRun, StoreError};

use super::execute::host_error;
use crate::{
    app::{App, AppError, error::chain, secrets::UnsealError},
    gateway::Mask,
};

/// The runtime whose guests are told what versions say of themselves in a file
/// among the data; others find it in `/stage`. Which it is stands in the plan,
/// and what a version says is under its digest.
const STARLARK: &str = "starlark";

/// What a run's guests will see.
pub struct Laid {
    tenant: Name,
    plan: Plan,
    entry: TreePath,
    function_dir: PathBuf,
    /// The entry alone, where it is a program; gone when this is.
    program: Option<tempfile::TempDir>,
    inputs: Inputs<PathBuf>,
    /// What they say of themselves, as JSON by their names.
    told: Option<Arc<str>>,
    dependencies: Option<Dependencies>,
    /// What each stage is told, unsealed.
    secrets: BTreeMap<Stage, BTreeMap<String, String>>,
    /// Whether the start of the first stage is written down already.
    begun: bool,
    /// Hides all of them, whichever stage they were for.
    pub mask: Mask,
}

impl Laid {
    /// Lays out the function and the inputs of a run.
    pub async fn of(app: &App, claimed: &ClaimedRun) -> Result<Self, Reason> {
        let wrong =
            |error: StoreError| host_error("could not lay out the function and its inputs", &error);
        let content = app
            .store
            .function_content(&claimed.plan.function)
            .await
            .map_err(wrong)?;
        let content = content.ok_or_else(|| wrong(StoreError::NotFound))?;
        let blobs = app.store.blobs();
        let function_dir = blobs.view(&content.tree).await.map_err(wrong)?;
        let dependencies = app
            .dependencies_of(&claimed.caller, &content)
            .await
            .map_err(not_installed)?;
        let program = program(app, &claimed.plan, &content.manifest.entry, &function_dir).await?;
        let mut folders = Vec::new();
        let mut all_told = Map::new();
        for (name, version) in claimed.plan.inputs.iter() {
            let mut tree = app.store.dataset_tree(version).await.map_err(wrong)?;
            let told = told_of(app.store.version_says(version).await.map_err(wrong)?);
            match claimed.plan.runtime.name.as_str() == STARLARK {
                _ if told.is_empty() => {}
                true => tree = with_told(app, &told, tree).await.map_err(wrong)?,
                false => {
                    let name = name.map_or("", Name::as_str).to_owned();
                    all_told.insert(name, Value::Object(told));
                }
            }
            folders.push(blobs.view(&tree).await.map_err(wrong)?);
        }
        let mut folders = folders.into_iter();
        let inputs = claimed
            .plan
            .inputs
            .clone()
            .try_map(|_| folders.next().ok_or_else(|| wrong(StoreError::NotFound)))?;
        let mut secrets = BTreeMap::new();
        for (stage, names) in &claimed.plan.secrets {
            let told = app.secrets_unsealed(&claimed.caller, names).await;
            secrets.insert(*stage, told.map_err(|error| untold(&error))?);
        }
        let values = secrets.values().flat_map(BTreeMap::values);
        Ok(Self {
            mask: Mask::new(values.map(String::as_str)),
            secrets,
            tenant: claimed.caller.clone(),
            begun: claimed.begun,
            plan: claimed.plan.clone(),
            entry: content.manifest.entry.clone(),
            function_dir,
            program,
            inputs,
            told: (!all_told.is_empty()).then(|| json::canonical_of(&all_told).into()),
            dependencies,
        })
    }

    /// What the inputs of a stage say of themselves, where it has some that do.
    pub fn told(&self, stage: Stage) -> Option<Arc<str>> {
        self.told.clone().filter(|_| stage.sees_data())
    }

    /// The job of one stage, whose guest finds `stage_dir` as `/stage`.
    pub fn job(&self, stage: Stage, stage_dir: Option<PathBuf>) -> Job {
        Job {
            tenant: self.tenant.clone(),
            plan: self.plan.clone(),
            entry: self.entry.clone(),
            function_dir: self.function_dir.clone(),
            inputs: match stage.sees_data() {
                true => self.inputs.clone(),
                false => Inputs::None,
            },
            stage_dir,
            program_dir: self.program.as_ref().map(|folder| folder.path().into()),
            terminal: None,
            reach: match stage.has_network() && self.plan.download.is_some() {
                true => Reach::Gateway,
                false => Reach::Nothing,
            },
            secrets: self.secrets.get(&stage).cloned().unwrap_or_default(),
            dependencies: self.dependencies.clone(),
            begun: self.begun && self.plan.stages.first() == Some(&stage),
        }
    }
}

/// Why a run that needs packages does not begin.
fn not_installed(error: AppError) -> Reason {
    match error {
        AppError::Invalid { detail, .. } => Reason::BuildFailed {
            step: format!("install: {detail}"),
        },
        other => {
            const WHAT: &str = "could not install the packages of the function";
            tracing::error!(error = chain(&other), WHAT);
            Reason::HostError {
                what: WHAT.to_owned(),
            }
        }
    }
}

/// What a version says of itself, part by part.
fn told_of(says: Says) -> Map<String, Value> {
    let parts = [
        ("meta", says.meta.map(|meta| json!(meta))),
        ("readme", says.readme.map(|readme| json!(readme))),
        (
            "structure",
            says.structure.map(|structure| json!(structure)),
        ),
    ];
    let told = parts
        .into_iter()
        .filter_map(|(name, part)| Some((name.to_owned(), part?)));
    told.collect()
}

/// The files of a version, and with them what it says, unless there is a file
/// of that name.
async fn with_told(app: &App, told: &Map<String, Value>, tree: Tree) -> Result<Tree, StoreError> {
    let path: TreePath = TOLD_FILE.parse().expect("a constant, plain path");
    if tree.get(&path).is_some() {
        return Ok(tree);
    }
    let text = json::canonical_of(told);
    let put = app.store.blobs().put_bytes(text.as_bytes()).await?;
    let file = TreeFile {
        digest: put.digest,
        size_bytes: put.size_bytes,
    };
    let files = tree.files().map(|(path, file)| (path.clone(), *file));
    // One more than there may be, or a name like it, and it is not told.
    Ok(Tree::new(files.chain([(path, file)])).unwrap_or(tree))
}

/// The entry alone, where the runtime of the plan runs programs.
async fn program(
    app: &App,
    plan: &Plan,
    entry: &TreePath,
    function_dir: &Path,
) -> Result<Option<tempfile::TempDir>, Reason> {
    let attempt = "could not lay out the function's program";
    let runtime = app.runtimes.all().into_iter();
    let mut runtime = runtime.filter(|one| *one.name() == plan.runtime.name);
    if !runtime.next().is_some_and(|one| one.runs_programs()) {
        return Ok(None);
    }
    let folder = app.store.blobs().scratch();
    let folder = folder.map_err(|error| host_error(attempt, &error))?;
    let (function_dir, entry) = (function_dir.to_owned(), entry.clone());
    let laying = tokio::task::spawn_blocking(move || {
        strongroom_run::lay_program(&function_dir, &entry, folder.path()).map(|()| folder)
    });
    let failed = |error: &dyn std::error::Error| {
        tracing::error!(error = chain(error), "{attempt}");
        let what = attempt.to_owned();
        Reason::HostError { what }
    };
    let laid = laying.await.map_err(|error| failed(&error))?;
    laid.map(Some).map_err(|error| failed(&error))
}

/// Why a run that wants secrets does not begin.
fn untold(error: &UnsealError) -> Reason {
    match error {
        UnsealError::Missing(_) => Reason::Refused {
            why: error.to_string(),
        },
        other => {
            tracing::error!(error = chain(other), "could not unseal a secret");
            Reason::HostError {
                what: other.to_string(),
            }
        }
    }
}
