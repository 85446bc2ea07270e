//! Sending a file's bytes: whole, or one range of it so that a download can
//! be taken up where it broke off.
//!
//! A file is a stranger's, so a browser is told to save it and never to show
//! or guess what it is.

use std::io::SeekFrom;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::problem::{Answer, Refusal};
use crate::app::{AppError, data::OpenFile};

/// Bytes read from the disk at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The first and last byte that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part { first: u64, last: u64 },
    Nothing,
}

/// Sends `open`, or what the request's `Range` and `If-None-Match` leave of it.
pub async fn send(open: OpenFile, headers: &HeaderMap) -> Answer<Response> {
    let OpenFile {
        mut file,
        digest,
        size_bytes,
        ..
    } = open;
    let etag = format!("\"{digest}\"");
    let response = Response::builder()
        .header(header::ETAG, &etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_DISPOSITION, "attachment")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CACHE_CONTROL, "private, no-cache");
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|wanted| wanted == &*etag)
    {
        return finish(response.status(StatusCode::NOT_MODIFIED), Body::empty());
    }
    let same = headers
        .get(header::IF_RANGE)
        .is_none_or(|wanted| wanted == &*etag);
    let range = headers.get(header::RANGE).filter(|_| same);
    let (status, first, length) = match range.map_or(Wanted::Whole, |r| wanted(r, size_bytes)) {
        Wanted::Whole => (StatusCode::OK, 0, size_bytes),
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Nothing => {
            let detail = format!("the file has {size_bytes} bytes");
            return Err(Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "bad_range",
                detail,
            ));
        }
    };
    let mut response = response
        .status(status)
        .header(header::CONTENT_LENGTH, length);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = first + length - 1;
        response = response.header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{last}/{size_bytes}"),
        );
        file.seek(SeekFrom::Start(first))
            .await
            .map_err(AppError::internal("read a file"))?;
    }
    finish(
        response,
        Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK_BYTES)),
    )
}

fn finish(response: axum::http::response::Builder, body: Body) -> Answer<Response> {
    response
        .body(body)
        .map_err(|error| AppError::internal("answer with a file")(error).into())
}

/// Reads `bytes=first-last`, `bytes=first-` or `bytes=-count`; anything else
/// asks for the whole, as RFC 9110 lets a server decide.
fn wanted(range: &HeaderValue, size: u64) -> Wanted {
    let parsed = range
        .to_str()
        .ok()
        .and_then(|raw| raw.strip_prefix("bytes="));
    let Some((first, last)) = parsed.and_then(|raw| raw.split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |raw: &str| raw.parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first), _) if size <= first => Wanted::Nothing,
        (Some(first), None) if last.is_empty() => Wanted::Part {
            first,
            last: size - 1,
        },
        (Some(first), Some(last)) if first <= last => Wanted::Part {
            first,
            last: last.min(size - 1),
        },
        (None, Some(count)) if first.is_empty() && 0 < count && 0 < size => Wanted::Part {
            first: size.saturating_sub(count),
            last: size - 1,
        },
        (None, Some(_)) if first.is_empty() => Wanted::Nothing,
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
