//! What a request was answered with.

use std::fmt;

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    collections::SmallMap,
    environment::{Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module, starlark_simple_value,
    values::{NoSerialize, StarlarkValue, Value, starlark_value},
};

use crate::{
    modules::{json, raw::text_or_bytes, refusal::malformed},
    network::Answer,
};

/// An answer, read whole.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Response(#[allocative(skip)] pub Answer);

starlark_simple_value!(Response);

impl fmt::Display for Response {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "<response {} of {}>", self.0.status, self.0.url)
    }
}

impl Response {
    /// The headers by their usual spelling; several of one name are joined.
    fn headers(&self) -> SmallMap<String, String> {
        let mut joined: SmallMap<String, String> = SmallMap::new();
        for (name, value) in &self.0.headers {
            let name = usual_spelling(name);
            match joined.get_mut(name.as_str()) {
                Some(known) => {
                    known.push(',');
                    known.push_str(value);
                }
                None => drop(joined.insert(name, value.clone())),
            }
        }
        joined
    }
}

/// `content-type` as `Content-Type`.
fn usual_spelling(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let lower = word.to_ascii_lowercase();
        match lower.char_indices().nth(1) {
            Some((rest, _)) => lower[..rest].to_ascii_uppercase() + &lower[rest..],
            None => lower.to_ascii_uppercase(),
        }
    });
    words.collect::<Vec<_>>().join("-")
}

starlark::methods_static!(RESPONSE_METHODS = methods);

#[starlark_value(type = "response")]
impl<'v> StarlarkValue<'v> for Response {
    fn get_methods() -> Option<&'static Methods> {
        Some(RESPONSE_METHODS.methods())
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    /// Where the answer came from, after redirects.
    #[starlark(attribute)]
    fn url(this: &Response) -> starlark::Result<String> {
        Ok(this.0.url.clone())
    }

    #[starlark(attribute)]
    fn status_code(this: &Response) -> starlark::Result<i32> {
        Ok(this.0.status.into())
    }

    #[starlark(attribute)]
    fn headers(this: &Response) -> starlark::Result<SmallMap<String, String>> {
        Ok(this.headers())
    }

    /// How the answer was encoded on its way.
    #[starlark(attribute)]
    fn encoding(this: &Response) -> starlark::Result<String> {
        let headers = this.headers();
        Ok(headers
            .get("Transfer-Encoding")
            .cloned()
            .unwrap_or_default())
    }

    /// The answer as a string, or as bytes when it is not UTF-8.
    fn body<'v>(this: &Response, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        Ok(text_or_bytes(this.0.body.clone(), eval.heap()))
    }

    /// The answer, read as JSON.
    fn json<'v>(this: &Response, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        json::parse(&this.0.body, eval.heap()).map_err(|error| malformed("JSON", error))
    }
}
