//! A request that a download made, or was not let make: what is kept of it.
//!
//! Every one is noted by the station, which saw it, and never by the guest.
//! What it was told comes from strangers: texts are bounded and made fit to be
//! shown before they come here, and secrets are masked.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The longest URL and the longest explanation that are kept, in characters.
pub const TEXT_CHARS_MAX: usize = 2048;

/// One request, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestMade {
    /// From 1, in the order in which they were begun.
    pub number: u32,
    pub at_ms: i64,
    /// As the guest wrote it.
    pub method: String,
    /// With secrets masked; the host and port alone where it was a tunnel.
    pub url: String,
    pub outcome: Outcome,
    /// Of the answer.
    pub status: Option<u16>,
    /// Bytes of the request's body, or all that went into a tunnel.
    pub sent_bytes: u64,
    /// Over the body of the request, where its answer is kept and it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Digest>,
    /// Bytes of the answer's body, or all that came out of a tunnel.
    pub received_bytes: u64,
    /// Over the body of the answer as it came, if it came to its end.
    pub digest: Option<Digest>,
    pub duration_ms: u64,
    /// The answer itself, where answers are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Answer>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// It is about to be let out, or was when the station broke off: what
    /// became of it is not known.
    Begun,
    /// An answer came to its end.
    Answered,
    /// An earlier answer was given again; nothing left the station.
    Replayed,
    /// It was not let out; nothing left the station on its account.
    Refused { code: String, why: String },
    /// It was let out, and no whole answer came back.
    Failed { code: String, why: String },
}

/// An answer that can be given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub headers: Vec<(String, String)>,
    /// The file that holds its body.
    pub body: Digest,
}
