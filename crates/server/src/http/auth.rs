//! Who is asking: the bearer token of a request.
//!
//! A handler that takes an [`Actor`] cannot be reached without one. It comes
//! before the body in every signature, so nobody's body is ever read.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::problem::Refusal;
use crate::app::{Actor, App};

impl FromRequestParts<App> for Actor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let secret = bearer(parts).ok_or_else(Refusal::unauthorized)?;
        app.actor(secret).await?.ok_or_else(Refusal::unauthorized)
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let mut all = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, secret) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}
