//! Reading what a client sends: path, query and body.
//!
//! Each dies here if it is malformed, with an answer that says what and
//! where. A body has a bound in bytes and in time, and JSON is read by the
//! strict parser: no key twice, no deep nesting, no unknown field.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use strongroom_core::{json, text};
use tower_http::timeout::TimeoutError;

use super::problem::Refusal;
use crate::app::{
    App,
    incoming::{Incoming, IncomingError},
};

/// The slowest that a body may come on average.
const BYTES_PER_SECOND_MIN: u64 = 1024;
/// How long a body is given before its pace counts.
const PACE_GRACE: Duration = Duration::from_secs(60);

/// The parts of a path, parsed.
pub struct Segments<T>(pub T);

/// The query, parsed.
pub struct Query<T>(pub T);

/// A small JSON body, parsed.
pub struct JsonBody<T>(pub T);

/// A small JSON body, or none for the default.
pub struct JsonOrDefault<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let found = axum::extract::Path::<T>::from_request_parts(parts, app).await;
        found
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| {
                let why = match &rejection {
                    PathRejection::FailedToDeserializePathParams(failed) => failed.body_text(),
                    other => other.body_text(),
                };
                Refusal::malformed("bad_path", text::shown(&why, 300))
            })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let found = axum::extract::Query::<T>::from_request_parts(parts, app).await;
        found
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| {
                Refusal::malformed("bad_query", text::shown(&rejection.body_text(), 300))
            })
    }
}

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        json_body(request, app, app.config.body.json_bytes_max)
            .await
            .map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for JsonOrDefault<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = whole_body(request, app, app.config.body.json_bytes_max).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !kind.is_some_and(|kind| is_json(kind.to_str().unwrap_or_default())) {
            return Err(not_json());
        }
        of_json(&bytes).map(Self)
    }
}

/// Reads a JSON body of at most `bytes_max`.
pub async fn json_body<T: DeserializeOwned>(
    request: Request,
    app: &App,
    bytes_max: u64,
) -> Result<T, Refusal> {
    if !is_json(content_type(request.headers())) {
        return Err(not_json());
    }
    let bytes = whole_body(request, app, bytes_max).await?;
    of_json(&bytes)
}

fn not_json() -> Refusal {
    let detail = "the body must be JSON, with `Content-Type: application/json`";
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail)
}

/// The media type without its parameters, or the empty text.
pub fn content_type(headers: &HeaderMap) -> &str {
    let raw = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    raw.unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads a JSON document as a `T`, and says where it is none.
pub fn of_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let value =
        json::parse(bytes).map_err(|error| Refusal::malformed("bad_json", error.to_string()))?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." {
            "body".to_owned()
        } else {
            text::shown(&path, 120)
        };
        let why = text::shown(&error.into_inner().to_string(), 300);
        Refusal::malformed("bad_body", format!("{place}: {why}"))
    })
}

/// Reads a whole body of at most `bytes_max`.
pub async fn whole_body(request: Request, app: &App, bytes_max: u64) -> Result<Vec<u8>, Refusal> {
    let most = Duration::from_millis(app.config.body.whole_ms_max);
    let read = async {
        let mut chunks = std::pin::pin!(chunks(request, bytes_max)?);
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    };
    tokio::time::timeout(most, read)
        .await
        .unwrap_or(Err(IncomingError::Idle.into()))
}

/// A body of any length up to `bytes_max`, while it arrives.
pub fn incoming(request: Request, bytes_max: u64) -> Result<Incoming, Refusal> {
    Ok(Incoming::new(chunks(request, bytes_max)?))
}

fn chunks(
    request: Request,
    bytes_max: u64,
) -> Result<impl futures::Stream<Item = Result<bytes::Bytes, IncomingError>> + Send, Refusal> {
    let too_large = IncomingError::TooLarge { max: bytes_max };
    let body = request.into_body();
    if bytes_max < axum::body::HttpBody::size_hint(&body).lower() {
        return Err(too_large.into());
    }
    let (mut pace, mut began) = (Pace::default(), None);
    Ok(body.into_data_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| fault_of(&error).unwrap_or(IncomingError::Broken))?;
        let elapsed = began.get_or_insert_with(Instant::now).elapsed();
        pace.goes_on(chunk.len() as u64, elapsed)?;
        match pace.bytes <= bytes_max {
            true => Ok(chunk),
            false => Err(too_large.clone()),
        }
    }))
}

/// How fast a body has come so far.
#[derive(Default)]
struct Pace {
    bytes: u64,
}

impl Pace {
    /// Counts a chunk that came `elapsed` after the first; refuses a body that
    /// only trickles.
    fn goes_on(&mut self, bytes: u64, elapsed: Duration) -> Result<(), IncomingError> {
        self.bytes = self.bytes.saturating_add(bytes);
        match PACE_GRACE < elapsed && self.bytes < elapsed.as_secs() * BYTES_PER_SECOND_MIN {
            true => Err(IncomingError::Idle),
            false => Ok(()),
        }
    }
}

/// What was wrong with the arriving body, if that is why something failed.
pub fn fault_of(error: &(dyn std::error::Error + 'static)) -> Option<IncomingError> {
    let mut cause = Some(error);
    while let Some(next) = cause {
        if next.is::<TimeoutError>() {
            return Some(IncomingError::Idle);
        }
        if let Some(fault) = next.downcast_ref::<IncomingError>() {
            return Some(fault.clone());
        }
        cause = next.source();
    }
    None
}

/// The same request with a body that ends at `bytes_max`, for multipart.
pub fn bounded(request: Request, bytes_max: u64) -> Result<Request, Refusal> {
    let (parts, body) = request.into_parts();
    let chunks = chunks(Request::from_parts(parts.clone(), body), bytes_max)?;
    Ok(Request::from_parts(parts, Body::from_stream(chunks)))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
