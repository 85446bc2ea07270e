//! `handle(event, context)`: a function that answers a request.
//!
//! The request is a POST of the arguments, and the answer has the same parts
//! on every runtime. A status of 400 or more fails the run after the answer
//! was told. Absent: a listening socket; each call is a run of its own.

use starlark::{
    eval::Evaluator,
    values::{
        Heap, Value,
        dict::{AllocDict, DictRef},
        structs::AllocStruct,
    },
};

use crate::{failure::Failure, guest::Guest, value};

/// What a handler is called.
pub(crate) const NAME: &str = "handle";
/// The file that must have one.
pub(crate) const FILE_NAME: &str = "handler.star";
/// What it is given, by the names of its parameters.
pub(crate) const PARAMETERS: [&str; 2] = ["event", "context"];
/// The first status that is a failure.
const STATUS_FAILED: i32 = 400;

/// An answer, and how the run ends after it.
pub(crate) struct Answer {
    pub(crate) value: Vec<u8>,
    pub(crate) failure: Option<Failure>,
}

/// Asks a handler.
pub(crate) fn ask<'v>(
    function: Value<'v>,
    guest: &Guest,
    eval: &mut Evaluator<'v, '_, '_>,
) -> Result<Value<'v>, AskError> {
    let heap = eval.heap();
    let body = std::str::from_utf8(&guest.arguments)
        .map_err(|_| AskError::Plain(Failure::plain("the arguments are no text in UTF-8")))?;
    let event = heap.alloc(AllocStruct([
        ("body", heap.alloc(body)),
        (
            "headers",
            heap.alloc(AllocDict([("Content-Type", "application/json")])),
        ),
        ("method", heap.alloc("POST")),
        (
            "query",
            heap.alloc(AllocDict(std::iter::empty::<(&str, &str)>())),
        ),
        ("path", heap.alloc("/")),
    ]));
    let context = heap.alloc(AllocStruct([("hostname", heap.alloc(host_name()))]));
    eval.eval_function(function, &[event, context], &[])
        .map_err(AskError::Script)
}

/// Why a handler did not answer.
pub(crate) enum AskError {
    Plain(Failure),
    Script(starlark::Error),
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What a handler returned, with every part there.
///
/// # Errors
///
/// What is no answer.
pub(crate) fn answered<'v>(raw: Value<'v>, heap: Heap<'v>) -> Result<Answer, Failure> {
    let parts = match DictRef::from_value(raw) {
        Some(parts) => Some(parts),
        None if raw.is_none() => None,
        None => {
            let kind = raw.get_type();
            let why = format!("{NAME} returns None or a dict, not {kind}");
            return Err(Failure::plain(why));
        }
    };
    let part = |name: &str| parts.as_ref().and_then(|parts| parts.get_str(name));
    let status = status(part("statusCode"))?;
    let answer = serde_json::json!({
        "statusCode": status,
        "headers": headers(part("headers"))?,
        "body": body(part("body"), heap)?,
    });
    let failed = STATUS_FAILED <= status;
    Ok(Answer {
        value: answer.to_string().into_bytes(),
        failure: failed.then(|| Failure::plain(format!("strongroom: {NAME} answered {status}"))),
    })
}

fn status(raw: Option<Value<'_>>) -> Result<i32, Failure> {
    let Some(raw) = raw else {
        return Ok(200);
    };
    let number = raw.unpack_i32().filter(|_| raw.get_type() == "int");
    number
        .filter(|status| (100..=599).contains(status))
        .ok_or_else(|| {
            let why = format!(
                "statusCode is a number from 100 to 599, not {}",
                raw.to_repr()
            );
            Failure::plain(why)
        })
}

fn headers(raw: Option<Value<'_>>) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    let Some(raw) = raw.filter(|raw| !raw.is_none()) else {
        return Ok(serde_json::Map::new());
    };
    let pairs = DictRef::from_value(raw)
        .ok_or_else(|| Failure::plain(format!("headers are a dict, not {}", raw.get_type())))?;
    let pairs = pairs.iter();
    Ok(pairs
        .map(|(name, value)| (name.to_str(), value.to_str().into()))
        .collect())
}

/// A text, a list or a dict as it is; anything else as its text.
fn body<'v>(raw: Option<Value<'v>>, heap: Heap<'v>) -> Result<serde_json::Value, Failure> {
    let Some(raw) = raw.filter(|raw| !raw.is_none()) else {
        return Ok("".into());
    };
    let is_plain = raw.unpack_bool().is_some() || matches!(raw.get_type(), "int" | "float");
    if is_plain {
        return Ok(raw.to_str().into());
    }
    let told = |why: String| Failure::plain(format!("{NAME} returned: {why}"));
    let mut text = Vec::new();
    value::to_json(raw, heap, &mut text).map_err(|error| told(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| told(error.to_string()))
}
