//! Runs that make the next version of a dataset.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use strongroom_core::{
    id::RunId,
    name::{Name, ObjectName},
    run::State as RunState,
    transform::Mode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    problem::Answer,
    query::{Looking, Waiting},
    read::{self, Query, Segments},
    runs::idempotency_key,
};
use crate::{
    api::{NewTransform, Transform},
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(transform_ask))
        .routes(routes!(transform_show))
}

/// Asks for a run that makes the next version of a dataset
///
/// It is given the newest version, and what it leaves in `/out` is the version
/// after it, if that one is still the newest when it has ended; or, with the
/// mode `apply`, what is shown. Nothing is saved of a run that does not succeed.
#[utoipa::path(post, path = "/v1/datasets/{owner}/{name}/transforms", tag = "datasets",
    request_body = NewTransform,
    params(("owner" = String, Path), ("name" = String, Path), Waiting,
        ("Idempotency-Key" = Option<String>, Header,
            description = "The same key with the same body is the same transform.")),
    responses((status = 202, body = Transform, headers(("Location" = String))),
        (status = 200, body = Transform, description = "something came of it")))]
async fn transform_ask(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
    Query(Waiting { wait }): Query<Waiting>,
    request: Request,
) -> Answer<Response> {
    let dataset = ObjectName { owner, name };
    // Who may not save is told so before anything is read.
    actor.owns(&dataset.owner, "dataset")?;
    let key = idempotency_key(request.headers())?;
    let most = app.config.body.function_json_bytes_max;
    let new: NewTransform = read::json_body(request, &app, most).await?;
    let mut asked = app.transform_ask(&actor, &dataset, new, key).await?;
    if let Some(wait) = wait {
        let patience = tokio::time::sleep(wait);
        let run = asked.run.id.clone();
        let key = Vec::new();
        asked = app
            .transform(&actor, &dataset, &run, (patience, key))
            .await?;
    }
    Ok(accepted(asked))
}

/// Shows a run that makes a version, and what came of it
#[utoipa::path(get, path = "/v1/datasets/{owner}/{name}/transforms/{run}", tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path), ("run" = String, Path), Looking),
    responses((status = 200, body = Transform, description = "something came of it"),
        (status = 202, body = Transform, headers(("Location" = String)))))]
async fn transform_show(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name, run)): Segments<(Name, Name, RunId)>,
    Query(Looking { wait, key }): Query<Looking>,
) -> Answer<Response> {
    let patience = tokio::time::sleep(wait.unwrap_or_default());
    let columns = key.iter().flat_map(|key| key.split(','));
    let key = columns.map(str::to_owned).collect();
    let dataset = ObjectName { owner, name };
    let shown = app
        .transform(&actor, &dataset, &run, (patience, key))
        .await?;
    Ok(accepted(shown))
}

/// `200` once something came of it, `202` with its place until then.
fn accepted(transform: Transform) -> Response {
    let is_over = transform.run.state == RunState::Ended
        && (transform.outcome.is_some() || transform.mode == Mode::Apply);
    if is_over {
        return Json(transform).into_response();
    }
    let (dataset, run) = (&transform.dataset, &transform.run.id);
    let place = format!("/v1/datasets/{dataset}/transforms/{run}");
    let place: [(HeaderName, String); 1] = [(header::LOCATION, place)];
    (StatusCode::ACCEPTED, place, Json(transform)).into_response()
}
