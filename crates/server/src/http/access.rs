//! `/v1/me`, `/v1/users` and `/v1/tokens`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use strongroom_core::{id::TokenId, name::Name};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    problem::Answer,
    query::Paging,
    read::{JsonBody, Query, Segments},
};
use crate::{
    api::{Me, NewToken, NewUser, Page, Token, User},
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me_show))
        .routes(routes!(user_list, user_add))
        .routes(routes!(token_list, token_add))
        .routes(routes!(token_revoke))
}

/// Shows whose token this is
#[utoipa::path(get, path = "/v1/me", tag = "access", responses((status = 200, body = Me)))]
async fn me_show(actor: Actor) -> Json<Me> {
    Json(Me {
        user: actor.user,
        admin: actor.admin,
        token: actor.token,
    })
}

/// Lists the users; for an admin
#[utoipa::path(get, path = "/v1/users", tag = "access", params(Paging),
    responses((status = 200, body = Page<User>)))]
async fn user_list(
    State(app): State<App>,
    actor: Actor,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<User>>> {
    Ok(Json(app.user_list(&actor, paging.page()?).await?))
}

/// Adds a user; for an admin
#[utoipa::path(post, path = "/v1/users", tag = "access", request_body = NewUser,
    responses((status = 201, body = User)))]
async fn user_add(
    State(app): State<App>,
    actor: Actor,
    JsonBody(new): JsonBody<NewUser>,
) -> Answer<(StatusCode, Json<User>)> {
    Ok((StatusCode::CREATED, Json(app.user_add(&actor, new).await?)))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// Whose tokens; only an admin may name another.
    #[param(value_type = Option<String>)]
    user: Option<Name>,
}

/// Lists your tokens, without their secrets
#[utoipa::path(get, path = "/v1/tokens", tag = "access", params(Whose),
    responses((status = 200, body = Page<Token>)))]
async fn token_list(
    State(app): State<App>,
    actor: Actor,
    Query(whose): Query<Whose>,
) -> Answer<Json<Page<Token>>> {
    Ok(Json(app.token_list(&actor, whose.user).await?))
}

/// Makes a token; its secret is in this answer and never again
#[utoipa::path(post, path = "/v1/tokens", tag = "access", request_body = NewToken,
    responses((status = 201, body = Token)))]
async fn token_add(
    State(app): State<App>,
    actor: Actor,
    JsonBody(new): JsonBody<NewToken>,
) -> Answer<(StatusCode, Json<Token>)> {
    Ok((StatusCode::CREATED, Json(app.token_add(&actor, new).await?)))
}

/// Revokes a token
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "access",
    params(("id" = String, Path)), responses((status = 204)))]
async fn token_revoke(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<TokenId>,
) -> Answer<StatusCode> {
    app.token_revoke(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
