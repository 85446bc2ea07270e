//! `/v1/runs/{id}/requests-made`: what a run asked of the network.

use axum::{Json, extract::State};
use serde::Deserialize;
use strongroom_core::{id::RunId, network::made::RequestMade};
use strongroom_store::REQUESTS_PAGE_MAX;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    problem::Answer,
    read::{Query, Segments},
};
use crate::{
    api::Page,
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(run_requests_made))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Made {
    /// Only those after the one of this number.
    after: Option<u32>,
    /// Rows, 1 to 1001; all if absent.
    limit: Option<u32>,
}

/// Lists what a run asked of the network, and what became of it
#[utoipa::path(get, path = "/v1/runs/{id}/requests-made", tag = "runs",
    params(("id" = String, Path), Made), responses((status = 200, body = Page<RequestMade>)))]
async fn run_requests_made(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
    Query(Made { after, limit }): Query<Made>,
) -> Answer<Json<Page<RequestMade>>> {
    let limit = limit
        .unwrap_or(REQUESTS_PAGE_MAX)
        .clamp(1, REQUESTS_PAGE_MAX);
    let items = app
        .requests_made(&actor, &id, after.unwrap_or(0), limit)
        .await?;
    let next = match items.last() {
        Some(last) if items.len() == limit as usize => Some(last.number.to_string()),
        _ => None,
    };
    Ok(Json(Page { items, next }))
}
