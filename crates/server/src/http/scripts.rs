//! `/run-file`, `/run-json` and `/status/{id}`: the script API.
//!
//! A call blocks until the script has ended and answers 200 whatever its exit
//! code. With `Prefer: respond-async` it answers 202 at once and says where to
//! look. A trailing slash changes nothing.

use axum::{
    Json,
    extract::{FromRequest as _, Multipart, Request, State, multipart::MultipartError},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use strongroom_core::{
    id::RunId,
    manifest::Files,
    run::State as RunState,
    text,
    tree::{TreeError, TreePath},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    problem::{Answer, Refusal},
    read::{self, Segments},
};
use crate::{
    api::{ScriptJson, ScriptStatus},
    app::{Actor, App, scripts::Script},
};

/// What the parts of a multipart body add to the files themselves.
const MULTIPART_OVERHEAD_BYTES: u64 = 1 << 20;
/// The most parts of a multipart body.
const PARTS_MAX: usize = 1000;
const FILES: &str = "files[]";
const CLIENT: &str = "client";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(script_run_file))
        .routes(routes!(script_run_json))
        .routes(routes!(script_status))
        .route("/run-file/", post(script_run_file))
        .route("/run-json/", post(script_run_json))
        .route("/status/{id}/", get(script_status))
}

/// The form of `/run-file`.
#[derive(ToSchema)]
#[allow(dead_code)]
struct ScriptForm {
    /// Files that end in `.py`; `main.py` or the only one is run.
    #[schema(rename = "files[]", value_type = Vec<String>, format = Binary)]
    files: Vec<Vec<u8>>,
    client: Option<String>,
}

/// Runs uploaded Python files
#[utoipa::path(post, path = "/run-file", tag = "scripts",
    params(("Prefer" = Option<String>, Header, description = "`respond-async`: do not block")),
    request_body(content = ScriptForm, content_type = "multipart/form-data"),
    responses((status = 200, body = ScriptStatus),
        (status = 202, body = ScriptStatus, headers(("Location" = String)))))]
async fn script_run_file(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    request: Request,
) -> Answer<Response> {
    let most = app.config.script.upload_bytes_max + MULTIPART_OVERHEAD_BYTES;
    let script = script_of_form(request, most).await?;
    run(&app, &actor, &headers, script).await
}

/// Runs a Python script
#[utoipa::path(post, path = "/run-json", tag = "scripts", request_body = ScriptJson,
    params(("Prefer" = Option<String>, Header, description = "`respond-async`: do not block")),
    responses((status = 200, body = ScriptStatus),
        (status = 202, body = ScriptStatus, headers(("Location" = String)))))]
async fn script_run_json(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    request: Request,
) -> Answer<Response> {
    let most = app.config.script.upload_bytes_max + MULTIPART_OVERHEAD_BYTES;
    let body: ScriptJson = read::json_body(request, &app, most).await?;
    run(&app, &actor, &headers, Script::of_json(body)?).await
}

/// Shows what became of a script
#[utoipa::path(get, path = "/status/{id}", tag = "scripts", params(("id" = String, Path)),
    responses((status = 200, body = ScriptStatus)))]
async fn script_status(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
) -> Answer<Json<ScriptStatus>> {
    Ok(Json(app.script(&actor, &id).await?))
}

async fn run(app: &App, actor: &Actor, headers: &HeaderMap, script: Script) -> Answer<Response> {
    let begun = app.script_submit(actor, script).await?;
    let id = begun.id().clone();
    let at_once = prefers_async(headers);
    let status = match at_once {
        true => app.script(actor, &id).await?,
        false => app.script_ended(actor, begun).await?,
    };
    if !at_once && status.state == RunState::Ended {
        return Ok(Json(status).into_response());
    }
    let place = [(header::LOCATION, format!("/status/{id}"))];
    let mut response = (StatusCode::ACCEPTED, place, Json(status)).into_response();
    if at_once {
        let applied = HeaderValue::from_static("respond-async");
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

fn prefers_async(headers: &HeaderMap) -> bool {
    let all = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut preferences = all.flat_map(|value| value.split(','));
    preferences.any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

/// Reads a form of at most `most` bytes.
pub async fn script_of_form(request: Request, most: u64) -> Answer<Script> {
    let request = read::bounded(request, most)?;
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| {
            Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_multipart",
                error.body_text(),
            )
        })?;
    let (mut files, mut client) = (Files::new(), None);
    for _ in 0..PARTS_MAX {
        let Some(field) = form.next_field().await.map_err(bad_form)? else {
            return Ok(Script::new(client.as_deref().unwrap_or_default(), files)?);
        };
        match field.name() {
            Some(FILES) => {
                let name = field.file_name().unwrap_or_default().to_owned();
                let path: TreePath = name.parse().map_err(crate::app::AppError::from)?;
                let bytes = field.bytes().await.map_err(bad_form)?;
                if files.insert(path, bytes.to_vec()).is_some() {
                    return Err(crate::app::AppError::from(TreeError::Twice(name)).into());
                }
            }
            Some(CLIENT) if client.is_none() => {
                client = Some(field.text().await.map_err(bad_form)?);
            }
            other => {
                let shown = text::shown(other.unwrap_or_default(), 80);
                let detail =
                    format!("the form has a part `{shown}`; it takes `{FILES}` and one `{CLIENT}`");
                return Err(Refusal::malformed("bad_form", detail));
            }
        }
    }
    Err(Refusal::malformed(
        "bad_form",
        format!("the form has more than {PARTS_MAX} parts"),
    ))
}

fn bad_form(error: MultipartError) -> Refusal {
    match read::fault_of(&error) {
        Some(fault) => fault.into(),
        None => Refusal::malformed("bad_form", text::shown(&error.body_text(), 200)),
    }
}
