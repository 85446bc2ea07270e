//! `/v1/rules`: an owner's standing answers.

use axum::{Json, extract::State, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{problem::Answer, read::JsonBody};
use crate::{
    api::Rules,
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(rules_show, rules_put, rules_delete))
        .routes(routes!(rules_check))
}

/// Shows your rules
#[utoipa::path(get, path = "/v1/rules", tag = "rules", responses((status = 200, body = Rules)))]
async fn rules_show(State(app): State<App>, actor: Actor) -> Answer<Json<Rules>> {
    Ok(Json(app.rules(&actor).await?))
}

/// Replaces your rules
#[utoipa::path(put, path = "/v1/rules", tag = "rules", request_body = Rules,
    responses((status = 200, body = Rules)))]
async fn rules_put(
    State(app): State<App>,
    actor: Actor,
    JsonBody(rules): JsonBody<Rules>,
) -> Answer<Json<Rules>> {
    Ok(Json(app.rules_put(&actor, rules).await?))
}

/// Removes your rules
#[utoipa::path(delete, path = "/v1/rules", tag = "rules", responses((status = 204)))]
async fn rules_delete(State(app): State<App>, actor: Actor) -> Answer<StatusCode> {
    app.rules_delete(&actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks rules and changes nothing
#[utoipa::path(post, path = "/v1/rules/check", tag = "rules", request_body = Rules,
    responses((status = 204)))]
async fn rules_check(
    State(app): State<App>,
    _actor: Actor,
    JsonBody(rules): JsonBody<Rules>,
) -> Answer<StatusCode> {
    app.rules_check(&rules)?;
    Ok(StatusCode::NO_CONTENT)
}
