//! `/v1/blobs` and `/v1/datasets`.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use strongroom_core::{
    digest::Digest,
    name::{Name, ObjectName, Reference},
    tree::TreePath,
};
use utoipa_axum::{router::OpenApiRouter, routes};

mod rows;
mod transforms;

use super::{
    file,
    problem::{Answer, Refusal},
    query::{Force, Message, Paging, Version},
    read::{self, JsonBody, JsonOrDefault, Query, Segments},
};
use crate::{
    api::{
        BlobsAsked, BlobsMissing, Dataset, DatasetRemoved, DatasetVersion, NewDatasetVersion,
        NewName, NewRestore, Page,
    },
    app::{Actor, App},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(blob_missing))
        .routes(routes!(blob_put))
        .routes(routes!(dataset_list))
        .routes(routes!(dataset_show, dataset_remove))
        .routes(routes!(dataset_log, dataset_push))
        .routes(routes!(dataset_version_show))
        .routes(routes!(dataset_file_get))
        .routes(routes!(dataset_rename))
        .routes(routes!(dataset_restore))
        .merge(rows::routes())
        .merge(transforms::routes())
}

/// Tells which files you have still to upload
#[utoipa::path(post, path = "/v1/blobs/missing", tag = "datasets", request_body = BlobsAsked,
    responses((status = 200, body = BlobsMissing)))]
async fn blob_missing(
    State(app): State<App>,
    actor: Actor,
    JsonBody(asked): JsonBody<BlobsAsked>,
) -> Answer<Json<BlobsMissing>> {
    Ok(Json(app.blobs_missing(&actor, asked).await?))
}

/// Uploads a file under its digest
///
/// The body is the file, of any size that the disk holds.
#[utoipa::path(put, path = "/v1/blobs/{digest}", tag = "datasets",
    params(("digest" = String, Path, description = "`sha256:` and 64 hex digits")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 204)))]
async fn blob_put(
    State(app): State<App>,
    actor: Actor,
    Segments(digest): Segments<Digest>,
    request: Request,
) -> Answer<StatusCode> {
    let body = read::incoming(request, app.config.body.blob_bytes_max)?;
    app.blob_put(&actor, digest, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists your datasets
#[utoipa::path(get, path = "/v1/datasets", tag = "datasets", params(Paging),
    responses((status = 200, body = Page<Dataset>)))]
async fn dataset_list(
    State(app): State<App>,
    actor: Actor,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<Dataset>>> {
    Ok(Json(app.dataset_list(&actor, paging.page()?).await?))
}

/// Shows a dataset and its newest version
#[utoipa::path(get, path = "/v1/datasets/{owner}/{name}", tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Dataset)))]
async fn dataset_show(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
) -> Answer<Json<Dataset>> {
    Ok(Json(
        app.dataset(&actor, &ObjectName { owner, name }).await?,
    ))
}

/// Lists a dataset's versions, newest first
#[utoipa::path(get, path = "/v1/datasets/{owner}/{name}/versions", tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path), Paging),
    responses((status = 200, body = Page<DatasetVersion>)))]
async fn dataset_log(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<DatasetVersion>>> {
    Ok(Json(
        app.dataset_log(&actor, &ObjectName { owner, name }, paging.page()?)
            .await?,
    ))
}

/// Pushes a version of a dataset
///
/// As JSON that names uploaded files by digest, or as a tar archive of any
/// size with regular files and folders only.
#[utoipa::path(post, path = "/v1/datasets/{owner}/{name}/versions", tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path), Message),
    request_body(content((NewDatasetVersion = "application/json"), (Vec<u8> = "application/x-tar"))),
    responses((status = 201, body = DatasetVersion),
        (status = 200, body = DatasetVersion, description = "the newest version is the same")))]
async fn dataset_push(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
    Query(Message { message }): Query<Message>,
    request: Request,
) -> Answer<(StatusCode, Json<DatasetVersion>)> {
    let name = ObjectName { owner, name };
    // Who may not push is told so before anything is read.
    actor.owns(&name.owner, "dataset")?;
    let pushed = if is_tar(&request) {
        let body = read::incoming(request, u64::MAX)?;
        app.dataset_push_tar(&actor, &name, &message, body).await?
    } else {
        let most = app.config.body.dataset_json_bytes_max;
        let new: NewDatasetVersion = read::json_body(request, &app, most).await?;
        app.dataset_push(&actor, &name, new).await?
    };
    Ok((added(&pushed), Json(pushed)))
}

/// Whether the body is a tar archive.
pub fn is_tar(request: &Request) -> bool {
    read::content_type(request.headers()).eq_ignore_ascii_case("application/x-tar")
}

/// Gives a dataset another name
///
/// Its versions stay what they are. Refused while requests that name it are
/// open.
#[utoipa::path(post, path = "/v1/datasets/{owner}/{name}/rename", tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path)),
    request_body = NewName, responses((status = 200, body = Dataset)))]
async fn dataset_rename(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
    JsonBody(new): JsonBody<NewName>,
) -> Answer<Json<Dataset>> {
    let from = ObjectName { owner, name };
    Ok(Json(app.dataset_rename(&actor, &from, &new.name).await?))
}

/// Removes a dataset
///
/// Refused while open requests or derived versions need it, unless it is
/// forced: then the requests are revoked and their runs ended.
#[utoipa::path(delete, path = "/v1/datasets/{owner}/{name}", tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path), Force),
    responses((status = 200, body = DatasetRemoved)))]
async fn dataset_remove(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name)): Segments<(Name, Name)>,
    Query(Force { force }): Query<Force>,
) -> Answer<Json<DatasetRemoved>> {
    let name = ObjectName { owner, name };
    let removed = app.dataset_remove(&actor, &name, force).await?;
    Ok(Json(removed))
}

/// Brings a version back as the newest
#[utoipa::path(post, path = "/v1/datasets/{owner}/{name}/versions/{version}/restore",
    tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path),
        ("version" = String, Path, description = "`latest`, `~1` or a digest")),
    request_body = NewRestore, responses((status = 201, body = DatasetVersion),
        (status = 200, body = DatasetVersion, description = "the newest version is the same")))]
async fn dataset_restore(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name, version)): Segments<(Name, Name, Version)>,
    JsonOrDefault(new): JsonOrDefault<NewRestore>,
) -> Answer<(StatusCode, Json<DatasetVersion>)> {
    let from = Reference {
        name: ObjectName { owner, name },
        version: version.0,
    };
    let restored = app.dataset_restore(&actor, &from, new.message).await?;
    Ok((added(&restored), Json(restored)))
}

fn added(version: &DatasetVersion) -> StatusCode {
    match version.unchanged {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    }
}

/// Shows one version with its files
#[utoipa::path(get, path = "/v1/datasets/{owner}/{name}/versions/{version}", tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path),
        ("version" = String, Path, description = "`latest`, `~1` or a digest")),
    responses((status = 200, body = DatasetVersion)))]
async fn dataset_version_show(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name, version)): Segments<(Name, Name, Version)>,
) -> Answer<Json<DatasetVersion>> {
    let reference = Reference {
        name: ObjectName { owner, name },
        version: version.0,
    };
    Ok(Json(app.dataset_version(&actor, &reference).await?))
}

/// Reads one file back, whole or one range of it
#[utoipa::path(get, path = "/v1/datasets/{owner}/{name}/versions/{version}/files/{*path}",
    tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path),
        ("version" = String, Path, description = "`latest`, `~1` or a digest"),
        ("path" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
async fn dataset_file_get(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name, version, path)): Segments<(Name, Name, Version, TreePath)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let reference = Reference {
        name: ObjectName { owner, name },
        version: version.0,
    };
    let open = app
        .dataset_file(&actor, &reference, &path)
        .await
        .map_err(Refusal::from)?;
    file::send(open, &headers).await
}
