//! Runs, as rows: what is known of each, and who may see how much of it.
//!
//! A caller sees all of his run, as long as the owners of what it was computed
//! from allow him. That is judged each time somebody reads, by the same law as
//! before a launch: if one of them takes his approval back, removes the rule
//! that it rested on, or comes to forbid it, the caller sees how it ended and
//! no text. An owner of an input sees that it ran and how it ended,
//! but not what it returned, wrote or named its files. For anybody else there
//! is no such run.

mod shown;
pub(crate) mod stands;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strongroom_core::{
    approval::Approval,
    digest::Digest,
    id::{RequestId, RunId, TokenId},
    name::{Name, ObjectName},
    permit,
    plan::Inputs,
    request::{self, Verdicts},
    rule::RuleAnswer,
    run::{Enforced, OutputFile, Reason, State, Usage},
    stage::Expose,
};

pub(crate) use shown::for_caller;

use crate::{
    Connection, Fields, Store, approval,
    error::StoreError,
    judge,
    labels::{self, Labels},
    page::{Page, Paged},
    question::query,
    request::{self as asked, RequestRow},
    stage::{self, StageRow},
};

/// What a run is a run of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    Function {
        name: ObjectName,
    },
    /// A script of the script API, for the token that sent it.
    Script {
        token: TokenId,
        client: String,
        script_name: String,
    },
}

/// What is known of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    pub id: RunId,
    pub request: RequestId,
    pub caller: Name,
    pub kind: Kind,
    pub plan: Digest,
    pub state: State,
    /// Whose answer it waits for.
    pub waits_for: Vec<Name>,
    pub reason: Option<Reason>,
    pub at_ms: i64,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub usage: Option<Usage>,
    /// Absent in lists.
    pub value: Option<Value>,
    /// Empty in lists.
    pub files: Vec<OutputFile>,
    pub enforced: Option<Enforced>,
    /// Somebody wants it to end, and its guest still runs.
    pub cancel_requested_by: Option<Name>,
    /// Whether all of it is shown, or only what an owner of an input may see.
    pub viewer_is_caller: bool,
    /// An owner of what it was computed from does not allow it any more.
    pub is_withheld: bool,
    /// The original versions behind its inputs; empty in lists.
    pub labels: Labels,
    /// Empty for a run of one stage, and in lists.
    pub stages: Vec<StageRow>,
}

impl RunRow {
    /// The function, unless it is a script.
    pub fn function(&self) -> Option<&ObjectName> {
        match &self.kind {
            Kind::Function { name } => Some(name),
            Kind::Script { .. } => None,
        }
    }
}

/// All that decides whether a run may be launched now.
#[derive(Clone, Debug)]
pub struct Standing {
    pub state: request::State,
    pub caller: Name,
    /// Whose function it is.
    pub developer: Option<Name>,
    /// The owners of the data behind the inputs.
    pub owners: Vec<Name>,
    pub verdicts: Verdicts,
    /// The approvals that the verdicts rest on.
    pub approvals: Vec<Approval>,
    /// What the rules of each owner answer now.
    pub rules: BTreeMap<Name, RuleAnswer>,
}

impl Standing {
    /// As [`permit::mint`] takes it.
    pub fn as_core(&self) -> permit::Standing<'_> {
        permit::Standing {
            state: self.state,
            caller: &self.caller,
            developer: self.developer.as_ref(),
            owners: &self.owners,
            verdicts: &self.verdicts,
            approvals: &self.approvals,
            rules: &self.rules,
        }
    }
}

const FIND: &str = "
    SELECT r.id, r.request, r.caller, r.kind, r.plan, r.state, r.at_ms, r.started_ms, r.ended_ms,
           r.cancel_by, r.reason, r.usage, r.value, r.files, r.enforced, q.state AS asked,
           (SELECT COUNT(*) FROM verdict v JOIN approval a ON a.id = v.approval
             WHERE v.request = r.request AND a.revoked <> 0) AS taken_back,
           (SELECT COUNT(*) FROM verdict v LEFT JOIN rule u ON u.owner = v.owner
             WHERE v.request = r.request AND v.owner <> r.caller
               AND ((u.owner IS NULL AND v.approval IS NULL) OR q.asked_seq < u.put_seq))
               AS rules_changed,
           (SELECT COUNT(*) FROM run_stage s WHERE s.run = r.id) AS stages, q.inputs, q.labels
      FROM run r JOIN request q ON q.id = r.request WHERE r.id = $1";

const LIST: &str = "
    SELECT r.id, r.request, r.caller, r.kind, r.plan, r.state, r.at_ms, r.started_ms, r.ended_ms,
           r.cancel_by, r.reason, r.usage, CAST(NULL AS TEXT) AS value,
           CAST(NULL AS TEXT) AS files, r.enforced, q.state AS asked,
           (SELECT COUNT(*) FROM verdict v JOIN approval a ON a.id = v.approval
             WHERE v.request = r.request AND a.revoked <> 0) AS taken_back,
           (SELECT COUNT(*) FROM verdict v LEFT JOIN rule u ON u.owner = v.owner
             WHERE v.request = r.request AND v.owner <> r.caller
               AND ((u.owner IS NULL AND v.approval IS NULL) OR q.asked_seq < u.put_seq))
               AS rules_changed
      FROM run r JOIN request q ON q.id = r.request
     WHERE r.caller = $1 AND ($2 = '' OR r.state = $2) AND ($3 = '' OR r.id < $3)
     ORDER BY r.id DESC LIMIT $4";

const IS_OWNER: &str = "
    SELECT COUNT(*) AS number FROM verdict WHERE request = $1 AND owner = $2";

const WAITS_FOR: &str = "
    SELECT owner FROM verdict WHERE request = $1 AND answer = 'pending' ORDER BY owner";

const OWNERS: &str = "
    SELECT v.owner FROM run r JOIN verdict v ON v.request = r.request WHERE r.id = $1";

const PARTIES: &str = "
    SELECT caller AS party FROM run WHERE id = $1
     UNION
    SELECT v.owner AS party FROM run r JOIN verdict v ON v.request = r.request WHERE r.id = $1";

impl Store {
    /// A run, as `viewer` may see it.
    pub async fn run_find(&self, viewer: &Name, id: &RunId) -> Result<Option<RunRow>, StoreError> {
        let mut connection = self.read("look for a run").await?;
        seen(&mut connection, viewer, id).await
    }

    /// A caller's runs, newest first, without values and files.
    pub async fn run_list(
        &self,
        caller: &Name,
        state: Option<State>,
        page: Page,
    ) -> Result<Paged<RunRow>, StoreError> {
        let mut connection = self.read("list runs").await?;
        let question = query(LIST)
            .bind(caller.as_str())
            .bind(state.map_or("", State::as_str))
            .bind(page.cursor())
            .bind(page.fetch());
        let mut rows = Vec::new();
        for fields in connection.all(question).await? {
            let mut row = read(&fields)?;
            shown::fill_withheld(&mut connection, &fields, &mut row).await?;
            fill_waits_for(&mut connection, &mut row).await?;
            rows.push(for_caller(row));
        }
        Ok(page.cut(rows, |row: &RunRow| row.id.to_string()))
    }

    /// Whose answer a run waits for.
    pub async fn run_waits_for(&self, id: &RunId) -> Result<Vec<Name>, StoreError> {
        let mut connection = self.read("look whom a run waits for").await?;
        let row = load(&mut connection, id).await?;
        Ok(row.ok_or(StoreError::NotFound)?.waits_for)
    }

    /// What a permit for this run has to be minted from, as of now.
    pub async fn run_standing(&self, id: &RunId, now_ms: i64) -> Result<Standing, StoreError> {
        let mut connection = self.read("look at a run's approvals").await?;
        let row = load(&mut connection, id).await?;
        let row = row.ok_or(StoreError::NotFound)?;
        let found = asked::load(&mut connection, &row.request).await?;
        let found = found.ok_or_else(|| StoreError::corrupt(format!("{id} has no request")))?;
        standing(&mut connection, &row.kind, &found, now_ms).await
    }
}

/// What a permit for the run of this request has to be minted from.
pub(crate) async fn standing(
    connection: &mut Connection,
    kind: &Kind,
    asked: &RequestRow,
    now_ms: i64,
) -> Result<Standing, StoreError> {
    let mut standing = Standing {
        state: asked.state,
        caller: asked.caller.clone(),
        developer: asked.function.as_ref().map(|name| name.owner.clone()),
        owners: judge::owners(&asked.inputs, &asked.labels)
            .into_keys()
            .collect(),
        verdicts: asked.verdicts.clone(),
        approvals: Vec::new(),
        rules: BTreeMap::new(),
    };
    // Where nobody has a say, nobody's answers are looked for.
    if standing.owners.is_empty() && standing.verdicts.is_empty() {
        return Ok(standing);
    }
    standing.approvals = approval::of_request(connection, &asked.id).await?;
    if let (Kind::Function { name }, Some(plan)) = (kind, &asked.plan) {
        // All of them are labels here, whose names rules see like inputs'.
        let mut versions = labels::plain(&asked.inputs);
        versions.extend(asked.labels.iter().cloned());
        let versions = labels::called_now(connection, &asked.caller, &versions).await?;
        let question = judge::Asked {
            caller: &asked.caller,
            function: name,
            plan,
            inputs: &Inputs::None,
            labels: &versions,
            purpose: &asked.purpose,
            expose: Expose::Off,
        };
        standing.rules = question.rules(connection, now_ms).await?;
        leave_out_answered(connection, &asked.id, &mut standing).await?;
    }
    Ok(standing)
}

/// Leaves out rules that fail and whose owner answered this very request in
/// person when they stood there already: he was asked because they fail.
async fn leave_out_answered(
    connection: &mut Connection,
    request: &RequestId,
    standing: &mut Standing,
) -> Result<(), StoreError> {
    let failed = |answer: &RuleAnswer| matches!(answer, RuleAnswer::Failed { .. });
    if !standing.rules.values().any(failed) {
        return Ok(());
    }
    for owner in approval::in_person(connection, request).await? {
        if standing.rules.get(&owner).is_some_and(failed) {
            standing.rules.remove(&owner);
        }
    }
    Ok(())
}

/// Everybody who has a say in a run.
pub(crate) async fn owners(
    connection: &mut Connection,
    id: &RunId,
) -> Result<Vec<Name>, StoreError> {
    let rows = connection.all(query(OWNERS).bind(id.as_str())).await?;
    rows.iter().map(|row| row.parsed("owner")).collect()
}

/// Everybody whom a run concerns: its caller and the owners of its inputs.
pub(crate) async fn parties(
    connection: &mut Connection,
    id: &RunId,
) -> Result<Vec<Name>, StoreError> {
    let rows = connection.all(query(PARTIES).bind(id.as_str())).await?;
    rows.iter().map(|row| row.parsed("party")).collect()
}

/// A run, as `viewer` may see it.
pub(crate) async fn seen(
    connection: &mut Connection,
    viewer: &Name,
    id: &RunId,
) -> Result<Option<RunRow>, StoreError> {
    let Some(row) = load(connection, id).await? else {
        return Ok(None);
    };
    if row.caller == *viewer {
        return Ok(Some(for_caller(row)));
    }
    let question = query(IS_OWNER)
        .bind(row.request.as_str())
        .bind(viewer.as_str());
    match connection.count(question).await? {
        0 => Ok(None),
        _ => {
            let is_withheld = shown::is_withheld_from(connection, viewer, &row).await?;
            Ok(Some(shown::for_owner(row, is_withheld)))
        }
    }
}

/// All of a run, whoever may see it.
pub(crate) async fn load(
    connection: &mut Connection,
    id: &RunId,
) -> Result<Option<RunRow>, StoreError> {
    let question = query(FIND).bind(id.as_str());
    let Some(fields) = connection.one(question).await? else {
        return Ok(None);
    };
    let mut row = read(&fields)?;
    row.labels = match fields.json_maybe("labels")? {
        Some(labels) => labels,
        None => labels::plain(&fields.json("inputs")?),
    };
    if fields.number("stages")? != 0 {
        row.stages = stage::of(connection, id).await?;
    }
    shown::fill_withheld(connection, &fields, &mut row).await?;
    fill_waits_for(connection, &mut row).await?;
    Ok(Some(row))
}

async fn fill_waits_for(connection: &mut Connection, row: &mut RunRow) -> Result<(), StoreError> {
    if row.state == State::Waiting {
        let question = query(WAITS_FOR).bind(row.request.as_str());
        for fields in connection.all(question).await? {
            row.waits_for.push(fields.parsed("owner")?);
        }
    }
    Ok(())
}

fn read(row: &Fields) -> Result<RunRow, StoreError> {
    let asked: request::State = row.parsed("asked")?;
    let taken_back = asked == request::State::Revoked || row.number("taken_back")? != 0;
    let started_ms = row.number_maybe("started_ms")?;
    Ok(RunRow {
        id: row.parsed("id")?,
        request: row.parsed("request")?,
        caller: row.parsed("caller")?,
        kind: row.json("kind")?,
        plan: row.parsed("plan")?,
        state: row.parsed("state")?,
        waits_for: Vec::new(),
        reason: row.json_maybe("reason")?,
        at_ms: row.number("at_ms")?,
        started_ms,
        ended_ms: row.number_maybe("ended_ms")?,
        usage: row.json_maybe("usage")?,
        value: row.json_maybe("value")?,
        files: row.json_maybe("files")?.unwrap_or_default(),
        enforced: row.json_maybe("enforced")?,
        cancel_requested_by: row.parsed_maybe("cancel_by")?,
        viewer_is_caller: true,
        // What never began has only the station's own words.
        is_withheld: taken_back && started_ms.is_some(),
        labels: Labels::new(),
        stages: Vec::new(),
    })
}
