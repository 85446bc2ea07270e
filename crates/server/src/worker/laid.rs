//! What a run's guests will see, laid out on this host.
//!
//! The same for all stages of a run, except that a stage without data is given
//! none of the inputs.

use std::{collections::BTreeMap, path::PathBuf};

use strongroom_core::{
    name::Name, plan::Inputs, plan::Plan, run::Reason, stage::Stage, tree::TreePath,
};
use strongroom_run::{Job, Reach};
use strongroom_store::{ClaimedRun, StoreError};

use super::execute::host_error;
use crate::{
    app::{App, error::chain, secrets::UnsealError},
    gateway::Mask,
};

/// What a run's guests will see.
pub struct Laid {
    tenant: Name,
    plan: Plan,
    entry: TreePath,
    function_dir: PathBuf,
    inputs: Inputs<PathBuf>,
    /// What each stage is told, unsealed.
    secrets: BTreeMap<Stage, BTreeMap<String, String>>,
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
        let mut folders = Vec::new();
        for (_, version) in claimed.plan.inputs.iter() {
            let tree = app.store.dataset_tree(version).await.map_err(wrong)?;
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
            plan: claimed.plan.clone(),
            entry: content.manifest.entry.clone(),
            function_dir,
            inputs,
        })
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
            reach: match stage.has_network() && self.plan.download.is_some() {
                true => Reach::Gateway,
                false => Reach::Nothing,
            },
            secrets: self.secrets.get(&stage).cloned().unwrap_or_default(),
        }
    }
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
