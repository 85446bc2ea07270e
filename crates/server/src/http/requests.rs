//! `/v1/requests` and `/v1/approvals`: the owner's desk.

use axum::{Json, extract::State};
use serde::Deserialize;
use strongroom_core::{id::RequestId, request};
use strongroom_store::Role;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    problem::Answer,
    query::{self, Paging},
    read::{JsonOrDefault, Query, Segments},
};
use crate::{
    api::{Approval, NewApproval, Page, Rejection, Request},
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(request_list))
        .routes(routes!(request_show))
        .routes(routes!(request_approve))
        .routes(routes!(request_reject))
        .routes(routes!(request_revoke))
        .routes(routes!(approval_list))
}

/// From which side requests are looked at.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AskedRole {
    /// Those that ask for your data.
    #[default]
    Owner,
    /// Those that you made.
    Caller,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RequestsAsked {
    /// `owner` (if absent): what you are asked. `caller`: what you asked.
    #[serde(default)]
    #[param(inline, value_type = Option<AskedRole>)]
    role: AskedRole,
    /// Only requests in this state.
    state: Option<request::State>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Rows, 1 to 200; 50 if absent.
    limit: Option<u32>,
}

/// Lists requests, newest first
#[utoipa::path(get, path = "/v1/requests", tag = "requests", params(RequestsAsked),
    responses((status = 200, body = Page<Request>)))]
async fn request_list(
    State(app): State<App>,
    actor: Actor,
    Query(asked): Query<RequestsAsked>,
) -> Answer<Json<Page<Request>>> {
    let page = query::page(asked.after, asked.limit)?;
    let role = match asked.role {
        AskedRole::Owner => Role::AsOwner,
        AskedRole::Caller => Role::AsCaller,
    };
    Ok(Json(
        app.request_list(&actor, role, asked.state, page).await?,
    ))
}

/// Shows a request; to those it asks, with the source and what changed in it
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "requests", params(("id" = String, Path)),
    responses((status = 200, body = Request)))]
async fn request_show(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RequestId>,
) -> Answer<Json<Request>> {
    Ok(Json(app.request(&actor, &id).await?))
}

/// Approves a request
///
/// Without a body: exactly this plan, until it is revoked.
#[utoipa::path(post, path = "/v1/requests/{id}/approve", tag = "requests",
    params(("id" = String, Path)), request_body = NewApproval,
    responses((status = 200, body = Request)))]
async fn request_approve(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RequestId>,
    JsonOrDefault(new): JsonOrDefault<NewApproval>,
) -> Answer<Json<Request>> {
    Ok(Json(app.request_approve(&actor, &id, new).await?))
}

/// Rejects a request, which ends it
#[utoipa::path(post, path = "/v1/requests/{id}/reject", tag = "requests",
    params(("id" = String, Path)), request_body = Rejection,
    responses((status = 200, body = Request)))]
async fn request_reject(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RequestId>,
    JsonOrDefault(rejection): JsonOrDefault<Rejection>,
) -> Answer<Json<Request>> {
    Ok(Json(app.request_reject(&actor, &id, rejection).await?))
}

/// Takes a yes back, and kills what runs under it
#[utoipa::path(post, path = "/v1/requests/{id}/revoke", tag = "requests",
    params(("id" = String, Path)), responses((status = 200, body = Request)))]
async fn request_revoke(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RequestId>,
) -> Answer<Json<Request>> {
    Ok(Json(app.request_revoke(&actor, &id).await?))
}

/// Lists the approvals that you gave, newest first
#[utoipa::path(get, path = "/v1/approvals", tag = "requests", params(Paging),
    responses((status = 200, body = Page<Approval>)))]
async fn approval_list(
    State(app): State<App>,
    actor: Actor,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<Approval>>> {
    Ok(Json(app.approval_list(&actor, paging.page()?).await?))
}
