//! How much of a run somebody may see.
//!
//! Two laws, one for its caller and one for the owners of the data. Whether
//! the caller may see what came out is judged here, whenever somebody reads.

use strongroom_core::{approval::Approval, name::Name, permit, request::State, run::Reason};

use super::{RunRow, standing};
use crate::{Connection, Fields, error::StoreError, request as asked, stage::StageRow};

/// Asks the rules again, if an owner's have changed since the run was asked
/// for: those that have not still say what they said when it began.
pub(super) async fn fill_withheld(
    connection: &mut Connection,
    fields: &Fields,
    row: &mut RunRow,
) -> Result<(), StoreError> {
    let Some(started_ms) = row.started_ms.filter(|_| !row.is_withheld) else {
        return Ok(());
    };
    if fields.number("rules_changed")? == 0 {
        return Ok(());
    }
    let asked = asked::load(connection, &row.request).await?;
    let asked = asked.ok_or_else(|| StoreError::corrupt(format!("{} has no request", row.id)))?;
    let standing = standing(connection, &row.kind, &asked, started_ms).await?;
    row.is_withheld = match &asked.plan {
        Some(plan) => permit::stands(plan, &standing.as_core(), started_ms).is_err(),
        None => true,
    };
    Ok(())
}

/// What the caller may see: all of it, unless an owner took his yes back.
pub(crate) fn for_caller(row: RunRow) -> RunRow {
    if !row.is_withheld {
        return row;
    }
    let stages = row.stages.into_iter().map(|stage| StageRow {
        usage: None,
        ..without_text(stage)
    });
    RunRow {
        stages: stages.collect(),
        reason: row.reason.map(code_only),
        usage: None,
        value: None,
        files: Vec::new(),
        ..row
    }
}

/// Whether what came out is withheld from an owner too: what was exposed, and
/// where it may have gone, holds the data of all owners together. It is not,
/// where the data is his alone, or where nobody but he took his yes back.
pub(super) async fn is_withheld_from(
    connection: &mut Connection,
    viewer: &Name,
    row: &RunRow,
) -> Result<bool, StoreError> {
    let Some(started_ms) = row.started_ms.filter(|_| row.is_withheld) else {
        return Ok(false);
    };
    let asked = asked::load(connection, &row.request).await?;
    let asked = asked.ok_or_else(|| StoreError::corrupt(format!("{} has no request", row.id)))?;
    let mut standing = standing(connection, &row.kind, &asked, started_ms).await?;
    standing.owners.retain(|owner| owner != viewer);
    if standing.owners.is_empty() {
        return Ok(false);
    }
    // What the others say alone.
    standing.verdicts.remove(viewer);
    standing.rules.remove(viewer);
    let took_back = |approval: &Approval| approval.owner == *viewer && approval.revoked;
    if standing.state == State::Revoked && standing.approvals.iter().any(took_back) {
        standing.state = State::Approved;
    }
    Ok(match &asked.plan {
        Some(plan) => permit::stands(plan, &standing.as_core(), started_ms).is_err(),
        None => true,
    })
}

/// What an owner of an input may see.
pub(super) fn for_owner(row: RunRow, is_withheld: bool) -> RunRow {
    RunRow {
        stages: row.stages.into_iter().map(without_text).collect(),
        reason: row.reason.map(code_only),
        value: None,
        files: Vec::new(),
        viewer_is_caller: false,
        is_withheld,
        ..row
    }
}

/// A stage without what the guest put into it. A digest tells who can guess.
fn without_text(stage: StageRow) -> StageRow {
    StageRow {
        reason: stage.reason.map(code_only),
        value: None,
        ..stage
    }
}

/// A reason keeps its kind, but not what the guest put into it.
fn code_only(reason: Reason) -> Reason {
    match reason {
        Reason::Failed { .. } => Reason::Failed {
            exit_code: None,
            signal: None,
        },
        Reason::OutputRefused { .. } => Reason::OutputRefused {
            path: String::new(),
            why: String::new(),
        },
        other => other,
    }
}
