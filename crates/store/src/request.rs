//! Requests: what was asked, and where each owner stands.
//!
//! A request is shown to its caller and to the owners it asks, and does not
//! exist for anybody else. Scripts read nobody's data and ask nobody, so they
//! are in no list of requests.

use strongroom_core::{
    digest::Digest,
    id::{RequestId, RunId},
    name::{Name, ObjectName},
    plan::{InputVersion, Inputs, Plan},
    request::{State, Verdict, Verdicts},
};

use crate::{
    Connection, Fields, Store, Tx,
    error::StoreError,
    labels::{self, Labels},
    page::{Page, Paged},
    plan,
    question::query,
    verdict,
};

/// A request with every owner's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRow {
    pub id: RequestId,
    pub state: State,
    pub caller: Name,
    pub run: RunId,
    pub purpose: String,
    /// Absent for a script.
    pub function: Option<ObjectName>,
    pub function_version: Digest,
    pub plan_digest: Digest,
    /// Absent in lists.
    pub plan: Option<Plan>,
    pub inputs: Inputs<InputVersion>,
    /// The original versions behind the inputs.
    pub labels: Labels,
    pub at_ms: i64,
    pub verdicts: Verdicts,
}

impl RequestRow {
    /// Whose answer it waits for.
    pub fn waits_for(&self) -> Vec<Name> {
        if self.state != State::Pending {
            return Vec::new();
        }
        let open = |verdict: &Verdict| matches!(verdict, Verdict::Pending { .. });
        let waited = self.verdicts.iter().filter(|(_, verdict)| open(verdict));
        waited.map(|(owner, _)| owner.clone()).collect()
    }

    /// Everybody whom it concerns.
    pub(crate) fn parties(&self) -> Vec<&Name> {
        self.verdicts.keys().chain([&self.caller]).collect()
    }
}

/// In which role somebody looks at requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Those that ask him.
    AsOwner,
    /// Those that he asked.
    AsCaller,
}

const FIND: &str = "
    SELECT id, state, caller, run, function, function_version, plan, inputs, labels, purpose,
           at_ms
      FROM request WHERE id = $1";

const LIST_AS_OWNER: &str = "
    SELECT r.id, r.state, r.caller, r.run, r.function, r.function_version, r.plan, r.inputs,
           r.labels, r.purpose, r.at_ms
      FROM verdict v JOIN request r ON r.id = v.request
     WHERE v.owner = $1 AND ($2 = '' OR r.state = $2) AND ($3 = '' OR r.id < $3)
       AND r.function IS NOT NULL
     ORDER BY r.id DESC LIMIT $4";

const LIST_AS_CALLER: &str = "
    SELECT id, state, caller, run, function, function_version, plan, inputs, labels, purpose,
           at_ms
      FROM request
     WHERE caller = $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR id < $3)
       AND function IS NOT NULL
     ORDER BY id DESC LIMIT $4";

/// An approval given in person is one that was given to this very request.
const APPROVED_BEFORE: &str = "
    SELECT r.function_version
      FROM verdict v
      JOIN request r ON r.id = v.request
      JOIN approval a ON a.id = v.approval AND a.request = r.id
     WHERE v.owner = $1 AND v.answer = 'approved' AND r.function = $2 AND r.id <> $3
     ORDER BY a.at_ms DESC, r.id DESC LIMIT 1";

const SET_STATE: &str = "UPDATE request SET state = $2 WHERE id = $1";

impl Store {
    /// A request with its plan, unless `viewer` may not know of it.
    pub async fn request_find(
        &self,
        viewer: &Name,
        id: &RequestId,
    ) -> Result<Option<RequestRow>, StoreError> {
        let mut connection = self.read("look for a request").await?;
        let found = load(&mut connection, id).await?;
        Ok(found.filter(|row| row.caller == *viewer || row.verdicts.contains_key(viewer)))
    }

    /// Requests that concern `viewer` in this role, newest first, without plans.
    pub async fn request_list(
        &self,
        viewer: &Name,
        role: Role,
        state: Option<State>,
        page: Page,
    ) -> Result<Paged<RequestRow>, StoreError> {
        let mut connection = self.read("list requests").await?;
        let text = match role {
            Role::AsOwner => LIST_AS_OWNER,
            Role::AsCaller => LIST_AS_CALLER,
        };
        let question = query(text)
            .bind(viewer.as_str())
            .bind(state.map_or("", State::as_str))
            .bind(page.cursor())
            .bind(page.fetch());
        let mut rows = Vec::new();
        for fields in connection.all(question).await? {
            let mut row = read(&fields)?;
            row.verdicts = verdict::of(&mut connection, &row.id).await?;
            rows.push(row);
        }
        Ok(page.cut(rows, |row: &RequestRow| row.id.to_string()))
    }

    /// The version of `function` that `owner` in person approved last, other
    /// than by answering `except`.
    pub async fn function_approved_before(
        &self,
        owner: &Name,
        function: &ObjectName,
        except: &RequestId,
    ) -> Result<Option<Digest>, StoreError> {
        let mut connection = self.read("look for an earlier approval").await?;
        let question = query(APPROVED_BEFORE)
            .bind(owner.as_str())
            .bind(function.to_string())
            .bind(except.as_str());
        let row = connection.one(question).await?;
        row.map(|row| row.parsed("function_version")).transpose()
    }
}

/// A request with its answers and its plan.
pub(crate) async fn load(
    connection: &mut Connection,
    id: &RequestId,
) -> Result<Option<RequestRow>, StoreError> {
    let found = connection.one(query(FIND).bind(id.as_str())).await?;
    let Some(fields) = found else {
        return Ok(None);
    };
    let mut row = read(&fields)?;
    row.verdicts = verdict::of(connection, id).await?;
    row.plan = Some(plan::find(connection, &row.plan_digest).await?);
    Ok(Some(row))
}

/// Moves a request to `next`.
///
/// # Errors
///
/// [`StoreError::Conflict`] where core's law does not lead there.
pub(crate) async fn become_state(
    tx: &mut Tx,
    id: &RequestId,
    from: State,
    next: State,
) -> Result<(), StoreError> {
    if !from.may_become(next) {
        let what = format!("the request is {}", from.as_str());
        return Err(StoreError::conflict(what));
    }
    let question = query(SET_STATE).bind(id.as_str()).bind(next.as_str());
    tx.execute(question).await.map(drop)
}

fn read(row: &Fields) -> Result<RequestRow, StoreError> {
    let inputs = row.json("inputs")?;
    let labels = row.json_maybe("labels")?;
    Ok(RequestRow {
        id: row.parsed("id")?,
        state: row.parsed("state")?,
        caller: row.parsed("caller")?,
        run: row.parsed("run")?,
        purpose: row.text("purpose")?,
        function: row.parsed_maybe("function")?,
        function_version: row.parsed("function_version")?,
        plan_digest: row.parsed("plan")?,
        plan: None,
        labels: labels.unwrap_or_else(|| labels::plain(&inputs)),
        inputs,
        at_ms: row.number("at_ms")?,
        verdicts: Verdicts::new(),
    })
}
