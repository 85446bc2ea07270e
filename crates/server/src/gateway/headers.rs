//! What of a head is passed on, in either direction.
//!
//! A head is for one connection or for the whole way. What is for one
//! connection stays; how a body is framed is decided anew on each side, so no
//! two readers can disagree on where a message ends.

use hyper::{
    HeaderMap,
    header::{self, HeaderName},
};

use super::verdict::{FAILED, REFUSED};

/// For one connection, by the rules of HTTP or by habit.
const OF_ONE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const BY_HABIT: [&str; 2] = ["keep-alive", "proxy-connection"];

/// Takes out what is for one connection, and what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_ONE_CONNECTION) {
        headers.remove(name);
    }
    for name in BY_HABIT {
        headers.remove(name);
    }
}

/// The head of a request for its host. Its body's length is set by who sends it.
pub fn of_request(headers: &mut HeaderMap) {
    strip(headers);
    for name in [header::HOST, header::EXPECT, header::CONTENT_LENGTH] {
        headers.remove(name);
    }
}

/// The head of an answer for the guest.
pub fn of_answer(headers: &mut HeaderMap) {
    strip(headers);
    for name in [REFUSED, FAILED] {
        headers.remove(name);
    }
}
