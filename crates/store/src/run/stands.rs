//! Whether the owners' answers still let a run go on.
//!
//! Asked inside the very change that writes down that a guest begins, so that
//! no answer which was given before that change comes too late for it. Time
//! counts as it did when the run began: what time alone has ended stops nothing.

use strongroom_core::{id::RunId, permit};

use super::{load, standing};
use crate::{Tx, error::StoreError, request as asked};

/// # Errors
///
/// [`StoreError::Refused`] when the run must not go on.
pub(crate) async fn check(tx: &mut Tx, id: &RunId, now_ms: i64) -> Result<(), StoreError> {
    let row = load(tx, id).await?.ok_or(StoreError::NotFound)?;
    if let Some(by) = &row.cancel_requested_by {
        let why = format!("{by} wants it to end");
        return Err(StoreError::Refused { why });
    }
    let asked = asked::load(tx, &row.request).await?;
    let asked = asked.ok_or_else(|| StoreError::corrupt(format!("{id} has no request")))?;
    let at_ms = row.started_ms.unwrap_or(now_ms);
    let standing = standing(tx, &row.kind, &asked, at_ms).await?;
    let plan = asked.plan.expect("a request is loaded with its plan");
    permit::stands(&plan, &standing.as_core(), at_ms)
        .map(drop)
        .map_err(|why| StoreError::Refused {
            why: why.to_string(),
        })
}
