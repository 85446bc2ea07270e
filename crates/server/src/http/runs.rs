//! `/v1/runs`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use strongroom_core::{id::RunId, run::State as RunState, text, tree::TreePath};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    file,
    problem::{Answer, Refusal},
    query::{self, After, Waiting},
    read::{JsonBody, Query, Segments},
};
use crate::{
    api::{LogLine, NewRun, Page, Run, RunStep},
    app::{Actor, App, runs::KEY_LEN_MAX},
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(run_list, run_ask))
        .routes(routes!(run_show))
        .routes(routes!(run_cancel))
        .routes(routes!(run_log))
        .routes(routes!(run_steps))
        .routes(routes!(run_exposed))
        .routes(routes!(super::events::run_events))
        .routes(routes!(run_file_get))
}

/// Asks to run a function
///
/// Answers at once with the run, whose owners may have to be waited for. With
/// `wait` it answers when the run has ended, or when the wait is over.
#[utoipa::path(post, path = "/v1/runs", tag = "runs", request_body = NewRun,
    params(Waiting, ("Idempotency-Key" = Option<String>, Header,
        description = "The same key with the same body is the same run.")),
    responses((status = 202, body = Run, headers(("Location" = String))),
        (status = 200, body = Run, description = "it has ended")))]
async fn run_ask(
    State(app): State<App>,
    actor: Actor,
    Query(Waiting { wait }): Query<Waiting>,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<NewRun>,
) -> Answer<Response> {
    let key = idempotency_key(&headers)?;
    let begun = app.run_ask(&actor, asked, key).await?;
    let run = match wait {
        None => begun.shown(),
        Some(wait) => {
            let patience = tokio::time::sleep(wait);
            app.begun_ended(&actor, begun, patience).await?
        }
    };
    Ok(accepted(run))
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Answer<Option<String>> {
    let Some(key) = query::header(headers, IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    if key.is_empty() || KEY_LEN_MAX < key.len() {
        let detail = format!("{IDEMPOTENCY_KEY}: 1 to {KEY_LEN_MAX} characters");
        return Err(Refusal::malformed("bad_header", detail));
    }
    Ok(Some(key.to_owned()))
}

/// `200` for what has ended, `202` with its place for what has not.
fn accepted(run: Run) -> Response {
    if run.state == RunState::Ended {
        return Json(run).into_response();
    }
    let place: [(HeaderName, String); 1] = [(header::LOCATION, format!("/v1/runs/{}", run.id))];
    (StatusCode::ACCEPTED, place, Json(run)).into_response()
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RunsAsked {
    /// Only runs in this state.
    state: Option<RunState>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Rows, 1 to 200; 50 if absent.
    limit: Option<u32>,
}

/// Lists your runs, newest first
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(RunsAsked),
    responses((status = 200, body = Page<Run>)))]
async fn run_list(
    State(app): State<App>,
    actor: Actor,
    Query(asked): Query<RunsAsked>,
) -> Answer<Json<Page<Run>>> {
    let page = query::page(asked.after, asked.limit)?;
    Ok(Json(app.run_list(&actor, asked.state, page).await?))
}

/// Shows a run
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id" = String, Path), Waiting),
    responses((status = 200, body = Run)))]
async fn run_show(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
    Query(Waiting { wait }): Query<Waiting>,
) -> Answer<Json<Run>> {
    Ok(Json(match wait {
        None => app.run(&actor, &id).await?,
        Some(wait) => app.run_ended(&actor, &id, tokio::time::sleep(wait)).await?,
    }))
}

/// Cancels a run, whatever its state
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path)),
    responses((status = 202, body = Run), (status = 200, body = Run, description = "it has ended")))]
async fn run_cancel(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
) -> Answer<Response> {
    Ok(accepted(app.run_cancel(&actor, &id).await?))
}

/// Reads log lines
#[utoipa::path(get, path = "/v1/runs/{id}/log", tag = "runs", params(("id" = String, Path), After),
    responses((status = 200, body = Page<LogLine>)))]
async fn run_log(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
    Query(after): Query<After>,
) -> Answer<Json<Page<LogLine>>> {
    let (after, limit) = after.bounds()?;
    let items = app.run_log(&actor, &id, after, limit).await?;
    let next = match items.last() {
        Some(last) if items.len() == limit as usize => Some(last.seq.to_string()),
        _ => None,
    };
    Ok(Json(Page { items, next }))
}

/// Reads what the guest told of its steps
#[utoipa::path(get, path = "/v1/runs/{id}/steps", tag = "runs", params(("id" = String, Path), After),
    responses((status = 200, body = Page<RunStep>)))]
async fn run_steps(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
    Query(after): Query<After>,
) -> Answer<Json<Page<RunStep>>> {
    let (after, limit) = after.bounds()?;
    let items = app.run_steps(&actor, &id, after, limit).await?;
    let next = match items.last() {
        Some(last) if items.len() == limit as usize => Some(last.seq.to_string()),
        _ => None,
    };
    Ok(Json(Page { items, next }))
}

/// Reads what the run's stage `expose` handed to its stage with a network
///
/// For the caller and for the owners of the data; to the byte.
#[utoipa::path(get, path = "/v1/runs/{id}/exposed", tag = "runs", params(("id" = String, Path)),
    responses((status = 200, content_type = "application/json", body = serde_json::Value)))]
async fn run_exposed(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
) -> Answer<Response> {
    let exposed = app.run_exposed(&actor, &id).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], exposed).into_response())
}

/// Reads a file that the run wrote, whole or one range of it
#[utoipa::path(get, path = "/v1/runs/{id}/files/{*path}", tag = "runs",
    params(("id" = String, Path), ("path" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
async fn run_file_get(
    State(app): State<App>,
    actor: Actor,
    Segments((id, path)): Segments<(RunId, TreePath)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let open = app.run_file(&actor, &id, &path).await?;
    file::send(open, &headers).await
}

/// The number of the last line that a listener has seen.
pub(super) fn last_event_id(headers: &HeaderMap) -> Answer<i64> {
    let Some(raw) = query::header(headers, "last-event-id")? else {
        return Ok(0);
    };
    match raw.parse() {
        Ok(seq) if 0 <= seq => Ok(seq),
        _ => {
            let detail = format!(
                "last-event-id: `{}` is no line's number",
                text::shown(raw, 40)
            );
            Err(Refusal::malformed("bad_header", detail))
        }
    }
}
