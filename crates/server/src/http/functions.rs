//! `/v1/functions`.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use strongroom_core::name::{Name, ObjectName, Reference};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    datasets::is_tar,
    problem::Answer,
    query::{Paging, Pushed, Version},
    read::{self, Query, Segments},
};
use crate::{
    api::{Function, FunctionVersion, NewFunctionVersion, Page},
    app::{Actor, App, source, tar},
    dependencies::Relock,
};

/// What an archive's headers and padding may add to the files themselves.
const ARCHIVE_OVERHEAD_BYTES: u64 = 8 << 20;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(function_list))
        .routes(routes!(function_show))
        .routes(routes!(function_log, function_push))
        .routes(routes!(function_version_show))
}

/// Lists all functions
#[utoipa::path(get, path = "/v1/functions", tag = "functions", params(Paging),
    responses((status = 200, body = Page<Function>)))]
async fn function_list(
    State(app): State<App>,
    _actor: Actor,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<Function>>> {
    Ok(Json(app.function_list(paging.page()?).await?))
}

/// Shows a function and its newest version
#[utoipa::path(get, path = "/v1/functions/{owner}/{name}", tag = "functions",
    params(("owner" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Function)))]
async fn function_show(
    State(app): State<App>,
    _actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
) -> Answer<Json<Function>> {
    Ok(Json(app.function(&ObjectName { owner, name }).await?))
}

/// Lists a function's versions, newest first
#[utoipa::path(get, path = "/v1/functions/{owner}/{name}/versions", tag = "functions",
    params(("owner" = String, Path), ("name" = String, Path), Paging),
    responses((status = 200, body = Page<FunctionVersion>)))]
async fn function_log(
    State(app): State<App>,
    _actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<FunctionVersion>>> {
    Ok(Json(
        app.function_log(&ObjectName { owner, name }, paging.page()?)
            .await?,
    ))
}

/// Pushes a version of a function
///
/// As JSON with the files, or as a tar archive of at most 16 MiB.
#[utoipa::path(post, path = "/v1/functions/{owner}/{name}/versions", tag = "functions",
    params(("owner" = String, Path), ("name" = String, Path), Pushed),
    request_body(content((NewFunctionVersion = "application/json"), (Vec<u8> = "application/x-tar"))),
    responses((status = 201, body = FunctionVersion),
        (status = 200, body = FunctionVersion, description = "the newest version is the same")))]
async fn function_push(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
    Query(query): Query<Pushed>,
    request: Request,
) -> Answer<(StatusCode, Json<FunctionVersion>)> {
    let name = ObjectName { owner, name };
    // Who may not push is told so before anything is read.
    actor.owns(&name.owner, "function")?;
    let limits = &app.config.body;
    let (files, message, relock) = if is_tar(&request) {
        let most = limits.function_bytes_max + ARCHIVE_OVERHEAD_BYTES;
        let bytes = read::whole_body(request, &app, most).await?;
        (
            tar::function_files(&bytes, limits.function_bytes_max)?,
            query.message,
            query.relock,
        )
    } else {
        let most = limits.function_json_bytes_max;
        let new: NewFunctionVersion = read::json_body(request, &app, most).await?;
        (source::parse(new.files)?, new.message, new.relock)
    };
    let relock = match relock {
        true => Relock::Yes,
        false => Relock::No,
    };
    let pushed = app
        .function_push(&actor, &name, files, (&message, relock))
        .await?;
    let status = if pushed.unchanged {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(pushed)))
}

/// Shows one version; its source to its developer only
#[utoipa::path(get, path = "/v1/functions/{owner}/{name}/versions/{version}", tag = "functions",
    params(("owner" = String, Path), ("name" = String, Path),
        ("version" = String, Path, description = "`latest`, `~1` or a digest")),
    responses((status = 200, body = FunctionVersion)))]
async fn function_version_show(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name, version)): Segments<(Name, Name, Version)>,
) -> Answer<Json<FunctionVersion>> {
    let reference = Reference {
        name: ObjectName { owner, name },
        version: version.0,
    };
    Ok(Json(app.function_version(&actor, &reference).await?))
}
