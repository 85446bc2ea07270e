//! `/v1/secrets`: set and removed, listed by name, never shown.

use axum::{Json, extract::State, http::StatusCode};
use strongroom_core::secret::SecretName;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    problem::Answer,
    read::{JsonBody, Segments},
};
use crate::{
    api::{NewSecret, Page, Secret},
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(secret_list))
        .routes(routes!(secret_set, secret_remove))
}

/// Lists your secrets by name
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets",
    responses((status = 200, body = Page<Secret>)))]
async fn secret_list(State(app): State<App>, actor: Actor) -> Answer<Json<Page<Secret>>> {
    Ok(Json(app.secret_list(&actor).await?))
}

/// Sets a secret; it is never shown again
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets",
    params(("name" = String, Path)), request_body = NewSecret,
    responses((status = 200, body = Secret)))]
async fn secret_set(
    State(app): State<App>,
    actor: Actor,
    Segments(name): Segments<SecretName>,
    JsonBody(new): JsonBody<NewSecret>,
) -> Answer<Json<Secret>> {
    Ok(Json(app.secret_set(&actor, &name, new).await?))
}

/// Removes a secret
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets",
    params(("name" = String, Path)), responses((status = 204)))]
async fn secret_remove(
    State(app): State<App>,
    actor: Actor,
    Segments(name): Segments<SecretName>,
) -> Answer<StatusCode> {
    app.secret_remove(&actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
