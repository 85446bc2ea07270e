//! A request from what a script passes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use starlark::values::{Heap, Value, dict::DictRef, tuple::TupleRef};

use super::Arguments;
use crate::{
    modules::{
        raw::bytes_of,
        refusal::{argument, malformed},
        tree::Written,
    },
    network::Request,
};

/// What a request carries: at most one of three.
#[derive(Default)]
pub struct Content<'v> {
    pub body: Option<Value<'v>>,
    pub form_body: Option<DictRef<'v>>,
    pub form_encoding: &'v str,
    pub json_body: Option<Value<'v>>,
}

/// Builds the request; nothing is sent.
pub fn build<'v>(
    method: &str,
    url: &str,
    arguments: Arguments<'v>,
    heap: Heap<'v>,
) -> starlark::Result<Request> {
    let mut headers = Vec::new();
    if let Some(given) = &arguments.headers {
        for (name, value) in given.iter() {
            headers.push((header_name(name)?, header_value(value)?));
        }
    }
    if let Some((user, password)) = credentials(arguments.auth)? {
        let token = STANDARD.encode(format!("{user}:{password}"));
        headers.push(("Authorization".to_owned(), format!("Basic {token}")));
    }
    let (content_type, body) = content(arguments.content, heap)?;
    let typed = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let Some(content_type) = content_type.filter(|_| !typed) {
        headers.push(("Content-Type".to_owned(), content_type));
    }
    Ok(Request {
        method: method.to_owned(),
        url: with_params(url, arguments.params)?,
        headers,
        body,
    })
}

/// The address with parameters, sorted by their names.
fn with_params(url: &str, params: Option<DictRef<'_>>) -> starlark::Result<String> {
    let lower = url.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err(malformed(
            "url",
            format_args!("{url:?} begins with neither http:// nor https://"),
        ));
    }
    if url.contains(|character: char| character.is_ascii_control() || character == ' ') {
        return Err(malformed("url", "it holds a space or a control character"));
    }
    let (address, fragment) = url
        .split_once('#')
        .map_or((url, ""), |(url, rest)| (url, rest));
    let query = match params {
        Some(params) => encoded(&pairs(&params)?),
        None => String::new(),
    };
    let fragment = match fragment {
        "" => String::new(),
        fragment => format!("#{fragment}"),
    };
    Ok(match (query.is_empty(), address.contains('?')) {
        (true, _) => url.to_owned(),
        (false, true) => format!("{address}&{query}{fragment}"),
        (false, false) => format!("{address}?{query}{fragment}"),
    })
}

fn encoded(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// The entries of a dict as text, sorted by name.
fn pairs(dict: &DictRef<'_>) -> starlark::Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for (name, value) in dict.iter() {
        let name = name
            .unpack_str()
            .ok_or_else(|| argument(format!("{} is not a string", name.to_repr())))?;
        pairs.push((name.to_owned(), value.to_str()));
    }
    pairs.sort();
    Ok(pairs)
}

fn header_name(name: Value<'_>) -> starlark::Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match name.unpack_str() {
        Some(text) if !text.is_empty() && text.bytes().all(plain) => Ok(text.to_owned()),
        _ => Err(argument(format!(
            "{} is no name of a header",
            name.to_repr()
        ))),
    }
}

fn header_value(value: Value<'_>) -> starlark::Result<String> {
    let text = value.to_str();
    if text
        .bytes()
        .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
    {
        return Err(argument("a header holds a control character"));
    }
    Ok(text)
}

fn credentials(auth: Option<Value<'_>>) -> starlark::Result<Option<(String, String)>> {
    let Some(auth) = auth.filter(|auth| auth.to_bool()) else {
        return Ok(None);
    };
    let parts = TupleRef::from_value(auth).map(TupleRef::content);
    match parts {
        Some([user, password]) if user.unpack_str().is_some_and(|user| !user.contains(':')) => {
            Ok(Some((user.to_str(), password.to_str())))
        }
        _ => Err(argument(
            "auth has to be a tuple of a user name and a password",
        )),
    }
}

/// The type of the content, and the content.
fn content<'v>(
    content: Content<'v>,
    heap: Heap<'v>,
) -> starlark::Result<(Option<String>, Vec<u8>)> {
    let body = content.body.filter(|body| body.to_bool());
    let form = content.form_body.filter(|form| !form.is_empty());
    let json = content.json_body.filter(|json| !json.is_none());
    match (body, form, json) {
        (None, None, None) => Ok((None, Vec::new())),
        (Some(body), None, None) => Ok((None, bytes_of("body", body)?.to_vec())),
        (None, Some(form), None) => form_content(&pairs(&form)?, content.form_encoding),
        (None, None, Some(json)) => {
            let raw = serde_json::to_vec(&Written::new(json, heap))
                .map_err(|error| argument(format!("cannot encode as JSON: {error}")))?;
            Ok((Some("application/json".to_owned()), raw))
        }
        _ => Err(argument(
            "only one of body, form_body and json_body can be sent",
        )),
    }
}

fn form_content(
    pairs: &[(String, String)],
    encoding: &str,
) -> starlark::Result<(Option<String>, Vec<u8>)> {
    match encoding {
        "" | "application/x-www-form-urlencoded" | "application/x-www-form-url-encoded" => {
            let kind = "application/x-www-form-urlencoded".to_owned();
            Ok((Some(kind), encoded(pairs).into_bytes()))
        }
        "multipart/form-data" => multipart(pairs),
        _ => Err(argument(format!(
            "unknown form_encoding {encoding:?}; there are application/x-www-form-urlencoded \
             and multipart/form-data"
        ))),
    }
}

/// The boundary is a digest of the fields, so that the same form is the same
/// bytes and no field can hold its own boundary.
fn multipart(pairs: &[(String, String)]) -> starlark::Result<(Option<String>, Vec<u8>)> {
    let mut digest = Sha256::new();
    for (name, value) in pairs {
        digest.update(format!("{}:{name}{}:{value}", name.len(), value.len()));
    }
    let boundary = hex::encode(digest.finalize());
    let mut body = String::new();
    for (name, value) in pairs {
        let name = name
            .replace('"', "%22")
            .replace('\r', "%0D")
            .replace('\n', "%0A");
        body.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    let kind = format!("multipart/form-data; boundary={boundary}");
    Ok((Some(kind), body.into_bytes()))
}
