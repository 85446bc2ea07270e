//! The station itself: `/healthz`, `/openapi.json`, `/v1/doctor`, `/v1/audit`.

use std::sync::OnceLock;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{problem::Answer, query::After, read::Query};
use crate::{
    api::{Audited, Health, Page, Wall},
    app::{Actor, App},
    doctor::stand,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(openapi_json))
        .routes(routes!(doctor))
        .routes(routes!(audit))
}

/// Says whether the station can do its work
#[utoipa::path(get, path = "/healthz", tag = "station", security(()),
    responses((status = 200, body = Health)))]
async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: if stand(&app.walls) { "ok" } else { "degraded" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tier: app.tier.clone(),
    })
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "station", security(()),
    responses((status = 200, body = Object)))]
async fn openapi_json() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| super::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// Says of each wall whether it stands; for an admin
#[utoipa::path(get, path = "/v1/doctor", tag = "station", responses((status = 200, body = Vec<Wall>)))]
async fn doctor(State(app): State<App>, actor: Actor) -> Answer<Json<Vec<Wall>>> {
    Ok(Json(app.doctor(&actor)?))
}

/// Reads the audit record: your part of it, or all of it as an admin
#[utoipa::path(get, path = "/v1/audit", tag = "station", params(After),
    responses((status = 200, body = Page<Audited>)))]
async fn audit(
    State(app): State<App>,
    actor: Actor,
    Query(after): Query<After>,
) -> Answer<Json<Page<Audited>>> {
    let (after, limit) = after.bounds()?;
    let items = app.audit(&actor, after, limit).await?;
    let next = match items.last() {
        Some(last) if items.len() == limit as usize => Some(last.event.seq.to_string()),
        _ => None,
    };
    Ok(Json(Page { items, next }))
}
