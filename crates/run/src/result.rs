//! The returned value: what the guest writes to its descriptor 3.
//!
//! One JSON document and nothing else, read strictly and never longer than
//! the run's bound on outputs, nor than what the station wants to hold in
//! memory. What is wrong with it is said in the station's own words.

use serde_json::Value;
use strongroom_core::{
    json::{self, JsonError},
    run::Reason,
    runtime::Answer,
};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// The longest returned value whatever the limits say, in bytes. What is
/// longer belongs in a file in `/out`.
pub const VALUE_LEN_MAX: u64 = 16 << 20;
/// Values up to this length are parsed where they are read, in bytes.
const PARSED_IN_PLACE_LEN_MAX: usize = 64 * 1024;

/// The bound on a returned value under a bound on outputs, in bytes.
pub(crate) fn value_len_max(out_bytes: u64) -> u64 {
    out_bytes.min(VALUE_LEN_MAX)
}

/// What came through descriptor 3.
#[derive(Debug)]
pub(crate) enum Written {
    Bytes(Vec<u8>),
    /// More than the bound.
    TooLong,
}

/// Reads to the end, or to the first byte over `len_max`.
pub(crate) async fn read(pipe: Receiver, len_max: u64, on_over: impl FnOnce()) -> Written {
    let mut bytes = Vec::new();
    // One more than the bound tells "full" from "too long".
    if let Err(error) = pipe.take(len_max + 1).read_to_end(&mut bytes).await {
        tracing::warn!(%error, "could not read a guest's returned value");
    }
    if len_max < bytes.len() as u64 {
        on_over();
        return Written::TooLong;
    }
    Written::Bytes(bytes)
}

/// Why what a guest returned is no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("not a text in UTF-8; the first other byte is the one after {at}")]
    NoText { at: usize },
}

/// What a guest that ended so has returned, wherever it says that.
pub(crate) async fn value(
    bytes: Vec<u8>,
    answer: Answer,
    ended: &Reason,
) -> Result<Option<Value>, ValueError> {
    match answer {
        Answer::Value => Ok(parse(bytes).await?),
        Answer::Stdout if ended.is_success() => answered(bytes),
        // What a handler said before it failed is no answer.
        Answer::Stdout => Ok(None),
    }
}

/// The answer of a handler that says its body on stdout, as one that calls a
/// function would give it.
fn answered(bytes: Vec<u8>) -> Result<Option<Value>, ValueError> {
    let body = String::from_utf8(bytes).map_err(|error| ValueError::NoText {
        at: error.utf8_error().valid_up_to(),
    })?;
    let answer = serde_json::json!({ "statusCode": 200, "body": body, "headers": {} });
    Ok(Some(answer))
}

/// The value, or `None` when the guest wrote nothing.
pub(crate) async fn parse(bytes: Vec<u8>) -> Result<Option<Value>, JsonError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() <= PARSED_IN_PLACE_LEN_MAX {
        return json::parse(&bytes).map(Some);
    }
    let parsed = tokio::task::spawn_blocking(move || json::parse(&bytes));
    parsed
        .await
        .expect("the parser does not panic and is never aborted")
        .map(Some)
}
