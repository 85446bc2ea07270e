//! Each owner's answer to each request, and the uses of approvals they cost.
//!
//! A use is spent when an answer is written that rests on an approval, and
//! given back if the run ends without having started. Both happen inside the
//! change that causes them, so the count is right whenever it is read.

use strongroom_core::{
    id::{ApprovalId, RequestId},
    json,
    name::Name,
    request::{Grounds, Verdict, Verdicts},
    run::Reason,
};

use crate::{Connection, Tx, error::StoreError, question::query};

const OF: &str = "SELECT owner, content FROM verdict WHERE request = $1 ORDER BY owner";

const PUT: &str = "
    INSERT INTO verdict (request, owner, answer, approval, content) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (request, owner) DO UPDATE
       SET answer = excluded.answer, approval = excluded.approval, content = excluded.content";

const SPEND: &str = "
    UPDATE approval SET uses_left = uses_left - 1 WHERE id = $1 AND 0 < uses_left";

const GIVE_BACK: &str = "
    UPDATE approval SET uses_left = uses_left + 1
     WHERE uses_left IS NOT NULL
       AND id IN (SELECT approval FROM verdict WHERE request = $1 AND approval IS NOT NULL)";

pub(crate) async fn of(
    connection: &mut Connection,
    request: &RequestId,
) -> Result<Verdicts, StoreError> {
    let rows = connection.all(query(OF).bind(request.as_str())).await?;
    rows.iter()
        .map(|row| Ok((row.parsed("owner")?, row.json("content")?)))
        .collect()
}

/// Writes an answer, in place of an earlier one.
pub(crate) async fn put(
    tx: &mut Tx,
    request: &RequestId,
    owner: &Name,
    verdict: &Verdict,
) -> Result<(), StoreError> {
    let question = query(PUT)
        .bind(request.as_str())
        .bind(owner.as_str())
        .bind(verdict.as_str())
        .bind(approval_of(verdict).map(|approval| approval.to_string()))
        .bind(json::canonical_of(verdict));
    tx.execute(question).await.map(drop)
}

/// The approval that an answer rests on.
pub(crate) fn approval_of(verdict: &Verdict) -> Option<&ApprovalId> {
    match verdict {
        Verdict::Approved {
            grounds: Grounds::Approval { approval },
        } => Some(approval),
        _ => None,
    }
}

/// Counts one use of an approval. One without a bound has nothing to count.
pub(crate) async fn spend(tx: &mut Tx, approval: &ApprovalId) -> Result<(), StoreError> {
    let question = query(SPEND).bind(approval.as_str());
    tx.execute(question).await.map(drop)
}

/// Gives back what a request has spent, once, as its run ends without having started.
pub(crate) async fn give_back(tx: &mut Tx, request: &RequestId) -> Result<(), StoreError> {
    let question = query(GIVE_BACK).bind(request.as_str());
    tx.execute(question).await.map(drop)
}

/// Why the run of a rejected request ended.
pub(crate) fn refusal(verdicts: &Verdicts) -> Option<Reason> {
    verdicts.iter().find_map(|(owner, verdict)| match verdict {
        // A rule's reason says whose rule it is.
        Verdict::Rejected { reason, policies } if !policies.is_empty() => Some(Reason::Refused {
            why: reason.clone(),
        }),
        Verdict::Rejected { reason, .. } if reason.is_empty() => Some(Reason::Refused {
            why: format!("rejected by {owner}"),
        }),
        Verdict::Rejected { reason, .. } => Some(Reason::Refused {
            why: format!("rejected by {owner}: {reason}"),
        }),
        _ => None,
    })
}
