//! The HTTP door: text becomes types here, and refusals become status codes.
//!
//! Every route is registered together with its description, so the document
//! at `/openapi.json` cannot forget one. Every route but `/healthz` and
//! `/openapi.json` asks who is there before it reads anything.

mod access;
mod auth;
pub mod connection;
mod datasets;
mod events;
mod file;
mod functions;
mod impatient;
mod problem;
mod query;
pub(crate) mod read;
mod requests;
mod requests_made;
mod rules;
mod runs;
mod runtimes;
pub(crate) mod scripts;
mod secrets;
mod station;

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
};
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, ResponseBuilder,
    path::Operation,
    schema::Ref,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{api::Problem, app::App};

/// The whole door.
pub fn router(app: App) -> Router {
    let idle = Duration::from_millis(app.config.body.idle_ms_max);
    let (router, _) = routes().split_for_parts();
    router
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyTimeoutLayer::new(idle))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn(logged))
        .with_state(app)
}

/// The description of every route.
pub fn openapi() -> OpenApi {
    let (_, mut document) = routes().split_for_parts();
    let paths = std::mem::take(&mut document.paths.paths);
    for (path, mut item) in paths {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
        ];
        operations.into_iter().flatten().for_each(describe_answers);
        // Only the router knows what a star means.
        document.paths.paths.insert(path.replace("{*", "{"), item);
    }
    document
}

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document())
        .merge(station::routes())
        .merge(access::routes())
        .merge(datasets::routes())
        .merge(functions::routes())
        .merge(runs::routes())
        .merge(runtimes::routes())
        .merge(requests::routes())
        .merge(requests_made::routes())
        .merge(rules::routes())
        .merge(secrets::routes())
        .merge(scripts::routes())
}

fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Strongroom")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Runs other people's code next to your data."))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("srt_…")
        .build();
    let components = ComponentsBuilder::new()
        .schema_from::<Problem>()
        .security_scheme("token", SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]))
        .build()
}

/// Gives every answer a description, as the format demands; and every
/// operation may be refused with a problem document.
fn describe_answers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let reason = status
            .parse::<StatusCode>()
            .ok()
            .and_then(|status| status.canonical_reason());
        if let (RefOr::T(response), Some(reason)) = (response, reason)
            && response.description.is_empty()
        {
            response.description = reason.to_lowercase();
        }
    }
    let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
    let problem = ResponseBuilder::new()
        .description("why it was refused")
        .content("application/problem+json", Content::new(Some(schema)))
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(problem));
}

/// Says what was asked and how it went; never with names, values or secrets.
async fn logged(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let began = std::time::Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let wall_ms = began.elapsed().as_millis() as u64;
    let status = response.status().as_u16();
    tracing::debug!(%method, route, status, wall_ms, "answered");
    response
}
