//! The rows of a version, in the format and the part that is asked for, and
//! what can be asked about them.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::stream;
use serde::Deserialize;
use strongroom_core::{
    name::{Name, ObjectName, Reference},
    structure::{Format, RowRange},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::super::{
    problem::{Answer, Refusal},
    query::Version,
    read::{JsonBody, JsonOrDefault, Query, Segments},
};
use crate::{
    api::{DatasetChecked, DatasetDiff, NewCheck, NewDiff},
    app::{Actor, App, AppError, rows::RowStream},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(dataset_rows_get))
        .routes(routes!(dataset_validate))
        .routes(routes!(dataset_diff))
}

/// Which rows, and how they are written.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RowsAsked {
    /// `csv`, `json`, `ndjson` or `parquet`.
    format: Format,
    /// Such as `0..100`: from 0, the end not included; all if absent.
    #[param(value_type = Option<String>)]
    rows: Option<RowRange>,
}

/// Reads rows back, in another format or a part of them
///
/// The file itself, byte by byte, is at `/files/{path}`.
#[utoipa::path(get, path = "/v1/datasets/{owner}/{name}/versions/{version}/rows",
    tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path),
        ("version" = String, Path, description = "`latest`, `~1` or a digest"), RowsAsked),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
async fn dataset_rows_get(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name, version)): Segments<(Name, Name, Version)>,
    Query(asked): Query<RowsAsked>,
    headers: HeaderMap,
) -> Answer<Response> {
    let reference = Reference {
        name: ObjectName { owner, name },
        version: version.0,
    };
    let range = asked.rows.unwrap_or(RowRange::ALL);
    let open = app
        .rows_open(&actor, &reference, asked.format, range)
        .await?;
    let etag = format!("\"{}\"", open.digest);
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known == &*etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let rows = app.rows_read(open).await?;
    let mut response = Response::new(body(rows));
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, plain(asked.format.media_type()));
    headers.insert(header::CONTENT_DISPOSITION, plain("attachment"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, plain("nosniff"));
    headers.insert(header::CACHE_CONTROL, plain("private, no-cache"));
    let etag = HeaderValue::try_from(etag).map_err(AppError::internal("answer with rows"));
    headers.insert(header::ETAG, etag.map_err(Refusal::from)?);
    Ok(response)
}

fn body(rows: RowStream) -> Body {
    let next = async |mut rows: RowStream| {
        let chunk = rows.chunks.recv().await?;
        Some((chunk, rows))
    };
    Body::from_stream(stream::unfold(rows, next))
}

/// Checks every row against a structure
///
/// Against the one that is sent, or else the one that the version was given.
#[utoipa::path(post, path = "/v1/datasets/{owner}/{name}/versions/{version}/validate",
    tag = "datasets",
    params(("owner" = String, Path), ("name" = String, Path),
        ("version" = String, Path, description = "`latest`, `~1` or a digest")),
    request_body = NewCheck, responses((status = 200, body = DatasetChecked)))]
async fn dataset_validate(
    State(app): State<App>,
    actor: Actor,
    Segments((owner, name, version)): Segments<(Name, Name, Version)>,
    JsonOrDefault(new): JsonOrDefault<NewCheck>,
) -> Answer<Json<DatasetChecked>> {
    let reference = Reference {
        name: ObjectName { owner, name },
        version: version.0,
    };
    Ok(Json(app.dataset_check(&actor, &reference, new).await?))
}

/// Compares two versions of your datasets
///
/// By a key, rows belong together whose values of these columns are the same;
/// without one, rows at the same place.
#[utoipa::path(post, path = "/v1/datasets/diff", tag = "datasets",
    request_body = NewDiff, responses((status = 200, body = DatasetDiff)))]
async fn dataset_diff(
    State(app): State<App>,
    actor: Actor,
    JsonBody(new): JsonBody<NewDiff>,
) -> Answer<Json<DatasetDiff>> {
    Ok(Json(app.dataset_diff(&actor, new).await?))
}
