//! Owners' approvals, as rows.
//!
//! A row changes in two ways only: its uses are counted, and it is revoked.

use serde_json::Value;
use strongroom_core::{
    approval::{Approval, Scope},
    id::{ApprovalId, RequestId},
    json,
    name::Name,
    schema,
};

use crate::{
    Connection, Fields, Store, Tx,
    error::StoreError,
    page::{Page, Paged},
    question::query,
};

/// The most approvals of one owner for one caller that are good for anything;
/// each is looked at when that caller asks.
const APPROVALS_MAX: i64 = 1000;

const ADD: &str = "
    INSERT INTO approval (id, owner, caller, request, scope, limits_max, uses_left, until_ms,
                          revoked, at_ms, expose, given_seq)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10,
            (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit))";

/// First those that cost nothing to use, then those that end soonest.
const USABLE: &str = "
    SELECT id, owner, caller, request, scope, expose, limits_max, uses_left, until_ms, revoked,
           at_ms
      FROM approval
     WHERE owner = $1 AND caller = $2 AND revoked = 0
       AND (uses_left IS NULL OR 0 < uses_left) AND (until_ms IS NULL OR $3 < until_ms)
     ORDER BY CASE WHEN uses_left IS NULL THEN 0 ELSE 1 END,
              COALESCE(until_ms, 9223372036854775807), id";

const COUNT: &str = "
    SELECT COUNT(*) AS number FROM approval
     WHERE owner = $1 AND caller = $2 AND revoked = 0
       AND (uses_left IS NULL OR 0 < uses_left) AND (until_ms IS NULL OR $3 < until_ms)";

const OF_REQUEST: &str = "
    SELECT a.id, a.owner, a.caller, a.request, a.scope, a.expose, a.limits_max, a.uses_left, a.until_ms,
           a.revoked, a.at_ms
      FROM verdict v JOIN approval a ON a.id = v.approval WHERE v.request = $1";

/// Whoever gave this very request his yes while his rules stood as they do: the
/// record says so, whatever a clock said.
const IN_PERSON: &str = "
    SELECT a.owner FROM verdict v JOIN approval a ON a.id = v.approval
      JOIN rule u ON u.owner = a.owner
     WHERE v.request = $1 AND a.request = $1 AND u.put_seq < a.given_seq";

const LIST: &str = "
    SELECT id, owner, caller, request, scope, expose, limits_max, uses_left, until_ms, revoked,
           at_ms
      FROM approval WHERE owner = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3";

const REVOKE: &str = "UPDATE approval SET revoked = 1 WHERE id = $1 AND revoked = 0";

impl Store {
    /// An owner's approvals, newest first.
    pub async fn approval_list(
        &self,
        owner: &Name,
        page: Page,
    ) -> Result<Paged<Approval>, StoreError> {
        let mut connection = self.read("list approvals").await?;
        let question = query(LIST)
            .bind(owner.as_str())
            .bind(page.cursor())
            .bind(page.fetch());
        let rows = connection.all(question).await?;
        let approvals = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(page.cut(approvals, |approval: &Approval| approval.id.to_string()))
    }
}

pub(crate) async fn add(tx: &mut Tx, approval: &Approval) -> Result<(), StoreError> {
    if let Scope::Domain { args_schema, .. } = &approval.scope {
        check_together(tx, approval, args_schema).await?;
    }
    let count = query(COUNT)
        .bind(approval.owner.as_str())
        .bind(approval.caller.as_str())
        .bind(approval.at_ms);
    if APPROVALS_MAX <= tx.count(count).await? {
        return Err(StoreError::TooMany {
            what: "approvals of yours for this caller; revoke some",
            max: APPROVALS_MAX,
        });
    }
    let question = query(ADD)
        .bind(approval.id.as_str())
        .bind(approval.owner.as_str())
        .bind(approval.caller.as_str())
        .bind(approval.request.as_str())
        .bind(json::canonical_of(&approval.scope))
        .bind(json::canonical_of(&approval.limits_max))
        .bind(approval.uses_left.map(i64::from))
        .bind(approval.until_ms)
        .bind(approval.at_ms)
        .bind(i64::from(approval.expose));
    tx.execute(question).await.map(drop)
}

/// Refuses a schema which, with those approved before, would be too much to
/// read whenever the caller asks.
async fn check_together(
    tx: &mut Tx,
    approval: &Approval,
    args_schema: &Value,
) -> Result<(), StoreError> {
    let weigh = |schema: &Value| schema::weigh(schema).map_err(StoreError::conflict);
    let mut weight = weigh(args_schema)?;
    let earlier = usable(tx, &approval.owner, &approval.caller, approval.at_ms).await?;
    for earlier in &earlier {
        if let Scope::Domain { args_schema, .. } = &earlier.scope {
            weight = weight.and(weigh(args_schema)?);
        }
    }
    match weight.is_within(schema::TOGETHER_MAX) {
        true => Ok(()),
        false => Err(StoreError::conflict(
            "the schemas that you approved for this caller come to too much together; revoke some",
        )),
    }
}

/// An owner's approvals for a caller that are good for something, in the
/// order they should be used.
pub(crate) async fn usable(
    connection: &mut Connection,
    owner: &Name,
    caller: &Name,
    now_ms: i64,
) -> Result<Vec<Approval>, StoreError> {
    let question = query(USABLE)
        .bind(owner.as_str())
        .bind(caller.as_str())
        .bind(now_ms);
    let rows = connection.all(question).await?;
    rows.iter().map(read).collect()
}

/// The approvals that the answers to a request rest on.
pub(crate) async fn of_request(
    connection: &mut Connection,
    request: &RequestId,
) -> Result<Vec<Approval>, StoreError> {
    let question = query(OF_REQUEST).bind(request.as_str());
    let rows = connection.all(question).await?;
    rows.iter().map(read).collect()
}

/// The owners who answered a request in person, and have put no rules since.
pub(crate) async fn in_person(
    connection: &mut Connection,
    request: &RequestId,
) -> Result<Vec<Name>, StoreError> {
    let rows = connection
        .all(query(IN_PERSON).bind(request.as_str()))
        .await?;
    rows.iter().map(|row| row.parsed("owner")).collect()
}

/// Revokes an approval; whether it was not revoked before.
pub(crate) async fn revoke(tx: &mut Tx, id: &ApprovalId) -> Result<bool, StoreError> {
    let changed = tx.execute(query(REVOKE).bind(id.as_str())).await?;
    Ok(changed != 0)
}

fn read(row: &Fields) -> Result<Approval, StoreError> {
    let uses_left = row.number_maybe("uses_left")?;
    let uses_left = uses_left
        .map(u32::try_from)
        .transpose()
        .map_err(|_| StoreError::corrupt("column uses_left: not a number of uses"))?;
    Ok(Approval {
        id: row.parsed("id")?,
        owner: row.parsed("owner")?,
        caller: row.parsed("caller")?,
        request: row.parsed("request")?,
        scope: row.json("scope")?,
        // Those from before there was `expose` do not name it.
        expose: row.number_maybe("expose")?.is_some_and(|named| named != 0),
        limits_max: row.json("limits_max")?,
        uses_left,
        until_ms: row.number_maybe("until_ms")?,
        revoked: row.flag("revoked")?,
        at_ms: row.number("at_ms")?,
    })
}
