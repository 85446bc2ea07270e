//! `/v1/runtimes`.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use strongroom_core::runtime::RuntimeName;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    problem::Answer,
    query::Force,
    read::{self, Query, Segments},
};
use crate::{
    api::{Installed, NewRuntime, Page, Runtime},
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(runtime_list, runtime_add))
        .routes(routes!(runtime_show, runtime_remove))
        .routes(routes!(runtime_build))
}

/// Lists all runtimes, the shipped ones first
#[utoipa::path(get, path = "/v1/runtimes", tag = "runtimes",
    responses((status = 200, body = Page<Runtime>)))]
async fn runtime_list(State(app): State<App>, _actor: Actor) -> Answer<Json<Page<Runtime>>> {
    let items = app.runtime_list().await?;
    Ok(Json(Page { items, next: None }))
}

/// Adds a runtime; for an admin
///
/// The files are uploaded before, as those of a dataset are. Owners approve
/// runtimes by their content: one that is replaced is another to them.
#[utoipa::path(post, path = "/v1/runtimes", tag = "runtimes", request_body = NewRuntime,
    responses((status = 201, body = Runtime),
        (status = 200, body = Runtime, description = "it is the same already")))]
async fn runtime_add(
    State(app): State<App>,
    actor: Actor,
    request: Request,
) -> Answer<(StatusCode, Json<Runtime>)> {
    // Who may not add one is told so before anything is read.
    actor.admin("page")?;
    let most = app.config.body.dataset_json_bytes_max;
    let new: NewRuntime = read::json_body(request, &app, most).await?;
    let added = app.runtime_add(&actor, new).await?;
    let status = if added.unchanged {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(added)))
}

/// Shows a runtime with its files
#[utoipa::path(get, path = "/v1/runtimes/{name}", tag = "runtimes",
    params(("name" = String, Path)), responses((status = 200, body = Runtime)))]
async fn runtime_show(
    State(app): State<App>,
    _actor: Actor,
    Segments(name): Segments<RuntimeName>,
) -> Answer<Json<Runtime>> {
    Ok(Json(app.runtime_show(&name).await?))
}

/// Installs the packages that functions on a runtime are run with; for an admin
///
/// The first push of such a function would do it otherwise.
#[utoipa::path(post, path = "/v1/runtimes/{name}/build", tag = "runtimes",
    params(("name" = String, Path)), responses((status = 200, body = Installed)))]
async fn runtime_build(
    State(app): State<App>,
    actor: Actor,
    Segments(name): Segments<RuntimeName>,
) -> Answer<Json<Installed>> {
    Ok(Json(app.runtime_build(&actor, &name).await?))
}

/// Removes a runtime; for an admin
///
/// What runs on it goes on. While a function has a version on it, it stays
/// unless `force` is true.
#[utoipa::path(delete, path = "/v1/runtimes/{name}", tag = "runtimes",
    params(("name" = String, Path), Force), responses((status = 204)))]
async fn runtime_remove(
    State(app): State<App>,
    actor: Actor,
    Segments(name): Segments<RuntimeName>,
    Query(Force { force }): Query<Force>,
) -> Answer<StatusCode> {
    actor.admin("runtime")?;
    app.runtime_remove(&actor, &name, force).await?;
    Ok(StatusCode::NO_CONTENT)
}
