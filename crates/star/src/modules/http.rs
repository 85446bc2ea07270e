//! `http.star`: requests to the world, through the gateway.
//!
//! Only the download stage has a network. Everywhere else each function here
//! answers with the same error before it looks at anything else.

mod request;
mod response;

use starlark::{
    environment::GlobalsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{Value, dict::DictRef},
};

use self::request::Content;
pub use self::response::Response;
use super::refusal::argument;
use crate::{host::Host, network::Request};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("http", |builder| {
        for function in [get, head, put, post, patch, delete, options] {
            function(builder);
        }
    });
}

/// Fetches an address for a module that reads what is there.
///
/// # Errors
///
/// When there is no network, no answer, or an answer that is no success.
pub fn fetch(url: &str, eval: &Evaluator<'_, '_, '_>) -> starlark::Result<Vec<u8>> {
    let request = Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        ..Request::default()
    };
    let answer = Host::of(eval)?
        .network
        .fetch(&request)
        .map_err(starlark::Error::new_value)?;
    match answer.status {
        200..300 => Ok(answer.body),
        status => Err(argument(format!("{url} answered with status {status}"))),
    }
}

/// The arguments of every function but the address.
struct Arguments<'v> {
    params: Option<DictRef<'v>>,
    headers: Option<DictRef<'v>>,
    auth: Option<Value<'v>>,
    content: Content<'v>,
}

fn send<'v>(
    method: &str,
    url: &str,
    arguments: Arguments<'v>,
    eval: &Evaluator<'v, '_, '_>,
) -> starlark::Result<Response> {
    let host = Host::of(eval)?;
    let request = request::build(method, url, arguments, eval.heap())?;
    let answer = host.network.fetch(&request);
    Ok(Response(answer.map_err(starlark::Error::new_value)?))
}

/// A method that takes content.
macro_rules! method {
    ($name:ident, $method:literal) => {
        #[starlark_module]
        fn $name(builder: &mut GlobalsBuilder) {
            fn $name<'v>(
                url: &str,
                params: Option<DictRef<'v>>,
                headers: Option<DictRef<'v>>,
                body: Option<Value<'v>>,
                form_body: Option<DictRef<'v>>,
                #[starlark(default = "")] form_encoding: &'v str,
                json_body: Option<Value<'v>>,
                auth: Option<Value<'v>>,
                eval: &mut Evaluator<'v, '_, '_>,
            ) -> starlark::Result<Response> {
                let content = Content {
                    body,
                    form_body,
                    form_encoding,
                    json_body,
                };
                let arguments = Arguments {
                    params,
                    headers,
                    auth,
                    content,
                };
                send($method, url, arguments, eval)
            }
        }
    };
}

method!(get, "GET");
method!(put, "PUT");
method!(post, "POST");
method!(patch, "PATCH");
method!(delete, "DELETE");
method!(options, "OPTIONS");

#[starlark_module]
fn head(builder: &mut GlobalsBuilder) {
    fn head<'v>(
        url: &str,
        params: Option<DictRef<'v>>,
        headers: Option<DictRef<'v>>,
        auth: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Response> {
        let content = Content::default();
        let arguments = Arguments {
            params,
            headers,
            auth,
            content,
        };
        send("HEAD", url, arguments, eval)
    }
}
