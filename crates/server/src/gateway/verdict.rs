//! Why a request was refused or came to nothing, in words and in a code.
//!
//! A refusal is status 403 with the header `Strongroom-Refused`, a failure 502
//! or 504 with `Strongroom-Failed`; so a guest can tell them from what a
//! server said, and no server can say them (its headers of these names go).

use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode, header::HeaderValue};
use strongroom_core::network::{Host, address::Kept, made::Outcome};

use super::body::Body;

/// The header that says why a request was refused, by its code.
pub const REFUSED: &str = "strongroom-refused";
/// The header that says why there is no answer, by its code.
pub const FAILED: &str = "strongroom-failed";

/// Why a request does not get out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("this is a proxy: ask it for a whole URL, as in `GET https://host/path`")]
    NotAbsolute,
    #[error("only http and https URLs are fetched")]
    Scheme,
    #[error("the URL names no host that could be dialled, or carries a user or a password")]
    Target,
    #[error("the plan does not name {host} at port {port}")]
    Host { host: Host, port: u16 },
    #[error("the plan does not allow {0}")]
    Method(String),
    #[error(
        "the plan allows no tunnels, in which nobody sees what is asked for; ask for the whole \
         URL instead (`GET https://…` to the proxy), as strongroom's own clients do"
    )]
    Tunnel,
    /// Which address it was is not said: names inside of the operator's network
    /// are not for guests to look up.
    #[error("{host} is at an address that is {}; only public addresses are dialled", .kept.as_str())]
    Private { host: Host, kept: ReasonKept },
    #[error("this download has made {0} requests, and may make no more")]
    TooMany(u32),
    #[error("the run that is replayed had no answer (left) to this method, URL and body")]
    NotRecorded,
}

/// Why an address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonKept {
    Range(Kept),
    /// This very host.
    Own,
    /// By the operator's word.
    Operator,
}

impl ReasonKept {
    fn as_str(self) -> &'static str {
        match self {
            Self::Range(kept) => kept.as_str(),
            Self::Own => "the station's own",
            Self::Operator => "closed by the operator",
        }
    }
}

impl Refused {
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAbsolute => "not_absolute",
            Self::Scheme => "scheme",
            Self::Target => "target",
            Self::Host { .. } => "host",
            Self::Method(_) => "method",
            Self::Tunnel => "tunnel",
            Self::Private { .. } => "private_address",
            Self::TooMany(_) => "too_many_requests",
            Self::NotRecorded => "not_recorded",
        }
    }
}

/// Why a request that got out has no whole answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    #[error("the host's name could not be resolved")]
    Resolve,
    #[error("could not connect: {0}")]
    Connect(String),
    #[error("could not speak TLS with the host: {0}")]
    Tls(String),
    #[error("{0} took too long")]
    TooSlow(&'static str),
    #[error("the host did not answer as HTTP asks: {0}")]
    Answer(String),
    #[error("the answer broke off before its end: {0}")]
    BrokenOff(String),
    #[error("the answer is longer than {0} bytes")]
    TooLong(u64),
    #[error("this download has received or sent as much as it may")]
    Spent,
    #[error("the guest did not take the whole answer")]
    NotTaken,
    #[error("the guest did not send its whole request")]
    NotSent,
    #[error("the answer could not be kept or found again")]
    Kept,
    #[error("the request could not be noted, and what is not noted is not made")]
    NotNoted,
}

impl Failed {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::TooSlow(_) => "too_slow",
            Self::Answer(_) => "answer",
            Self::BrokenOff(_) => "broken_off",
            Self::TooLong(_) => "too_long",
            Self::Spent => "spent",
            Self::NotTaken => "not_taken",
            Self::NotSent => "not_sent",
            Self::Kept => "kept",
            Self::NotNoted => "not_noted",
        }
    }
}

/// Why there is no answer to pass on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    Refused(Refused),
    Failed(Failed),
}

impl From<Refused> for NoAnswer {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Failed> for NoAnswer {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl NoAnswer {
    /// What is noted of it.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refused) => Outcome::Refused {
                code: refused.code().to_owned(),
                why: refused.to_string(),
            },
            Self::Failed(failed) => Outcome::Failed {
                code: failed.code().to_owned(),
                why: failed.to_string(),
            },
        }
    }

    /// What the guest is told.
    pub fn response(&self) -> Response<Body> {
        let (status, name, code, why) = match self {
            Self::Refused(refused) => (
                StatusCode::FORBIDDEN,
                REFUSED,
                refused.code(),
                refused.to_string(),
            ),
            Self::Failed(failed @ Failed::TooSlow(_)) => (
                StatusCode::GATEWAY_TIMEOUT,
                FAILED,
                failed.code(),
                failed.to_string(),
            ),
            Self::Failed(failed) => (
                StatusCode::BAD_GATEWAY,
                FAILED,
                failed.code(),
                failed.to_string(),
            ),
        };
        let mut response = Response::new(Body::whole(Bytes::from(format!("strongroom: {why}\n"))));
        *response.status_mut() = status;
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(code));
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(hyper::header::CONTENT_TYPE, plain);
        response
    }
}
