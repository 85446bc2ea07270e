//! How a refusal is told: RFC 9457 problem documents with a stable `code`.
//!
//! The only place that knows status codes. What the database or the kernel
//! said is logged here, once, with its whole chain, and never leaves.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use strongroom_store::Lack;

use crate::{
    api::Problem,
    app::{AppError, error::chain, incoming::IncomingError},
};

/// A refusal on its way out.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What every handler answers.
pub type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            header: None,
        }
    }

    /// Something in the request that cannot be read.
    pub fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Nobody who is known: the one answer to every bad token.
    pub fn unauthorized() -> Self {
        let detail = "a valid token is needed: `Authorization: Bearer srt_…`";
        let mut refusal = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        refusal.header = Some((
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"strongroom\""),
        ));
        refusal
    }

    fn internal() -> Self {
        let detail = "the station could not do this; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<AppError> for Refusal {
    fn from(error: AppError) -> Self {
        let detail = error.to_string();
        match error {
            AppError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            AppError::TokenGone => Self::unauthorized(),
            AppError::Withheld => Self::new(StatusCode::FORBIDDEN, "withheld", detail),
            AppError::Malformed { code, .. } => Self::new(StatusCode::BAD_REQUEST, code, detail),
            AppError::Invalid { code, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
            }
            AppError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", detail),
            AppError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            AppError::TooMany(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", detail),
            AppError::Lacking(lack) => {
                tracing::error!(%lack, "request failed");
                let (status, code) = match lack {
                    Lack::Disk => (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
                    Lack::Writing => (StatusCode::SERVICE_UNAVAILABLE, "read_only"),
                    Lack::Descriptors => (StatusCode::SERVICE_UNAVAILABLE, "no_descriptors"),
                };
                Self::new(status, code, detail)
            }
            AppError::Incoming(fault) => fault.into(),
            AppError::Internal { .. } => {
                tracing::error!(error = chain(&error), "request failed");
                Self::internal()
            }
        }
    }
}

impl From<IncomingError> for Refusal {
    fn from(fault: IncomingError) -> Self {
        let detail = fault.to_string();
        match fault {
            IncomingError::Idle => Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail),
            IncomingError::Broken => Self::malformed("broken_body", detail),
            IncomingError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: self
                .status
                .canonical_reason()
                .unwrap_or_default()
                .to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // What is left of the body is not waited for.
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// `404` for a path that is none.
pub async fn no_route() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no such page")
}

/// `405` for a method that a path does not have.
pub async fn no_method() -> Refusal {
    let detail = "this page does not have this method";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// `500` for a handler that panicked; the panic itself is in the log.
pub fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Refusal::internal().into_response()
}
