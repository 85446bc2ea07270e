//! What must hold for a run before it is asked for.

use strongroom_core::{plan::Inputs, request, secret, stage::Expose};

use super::{NewRun, OPEN, RUNS_OPEN_MAX};
use crate::{
    Tx,
    content::{self, FunctionContent},
    dataset,
    error::StoreError,
    function, judge,
    labels::Labels,
    question::query,
    run::Kind,
};

/// Whether all that the run names exists and belongs together. What it names
/// never changes, so this holds for good.
pub(super) async fn check(tx: &mut Tx, new: &NewRun) -> Result<(), StoreError> {
    let open = query(OPEN).bind(new.caller.as_str());
    if RUNS_OPEN_MAX <= tx.count(open).await? {
        return Err(StoreError::TooMany {
            what: "runs of yours that have not ended",
            max: RUNS_OPEN_MAX,
        });
    }
    let Ok(versions) = new
        .inputs
        .clone()
        .try_map(|input| Ok::<_, std::convert::Infallible>(input.version));
    if versions != new.plan.inputs {
        let what = "the plan has other inputs than those that were named";
        return Err(StoreError::conflict(what));
    }
    let function = &new.plan.function;
    let exists = match &new.kind {
        Kind::Function { name } if new.script.is_some() => {
            let sent = new.script.as_ref();
            let sent = sent.map(|(tree, manifest)| FunctionContent::version_of(tree, manifest));
            name.owner == new.caller && sent == Some(*function)
        }
        Kind::Function { name } => function::has_version(tx, name, function).await?,
        Kind::Script { .. } if new.inputs != Inputs::None => {
            return Err(StoreError::conflict("a script has no inputs"));
        }
        Kind::Script { .. } => content::exists(tx, function).await?,
    };
    if !exists {
        let what = format!("there is no such function version {function}");
        return Err(StoreError::Conflict { what });
    }
    for (_, input) in new.inputs.iter() {
        if !dataset::has_version(tx, &input.dataset, &input.version).await? {
            let what = format!("{} has no version {}", input.dataset, input.version);
            return Err(StoreError::Conflict { what });
        }
    }
    Ok(())
}

/// Whether a caller who says that he may expose all of the data owns it, and
/// wrote the function.
pub(super) fn check_expose(new: &NewRun, labels: &Labels) -> Result<(), StoreError> {
    let (Expose::AllDatasets, Kind::Function { name }) = (new.expose, &new.kind) else {
        return Ok(());
    };
    let owners = judge::owners(&new.inputs, labels);
    match request::may_expose_all(&new.caller, &name.owner, owners.keys()) {
        true => Ok(()),
        false => Err(StoreError::conflict(
            "only who owns all of the data and wrote the function exposes it without asking",
        )),
    }
}

/// Whether no stage would be told a secret of the caller and see data of others.
pub(super) fn check_secrets(new: &NewRun, labels: &Labels) -> Result<(), StoreError> {
    let (secrets, stages) = (&new.plan.secrets, &new.plan.stages);
    let owners = judge::owners(&new.inputs, labels);
    match secret::meets_data_of_others(secrets, stages, &new.caller, owners.keys()) {
        None => Ok(()),
        Some(stage) => Err(StoreError::conflict(format!(
            "the stage {} would be told your secrets and see data of others, which no stage does",
            stage.as_str()
        ))),
    }
}
