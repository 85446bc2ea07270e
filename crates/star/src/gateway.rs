//! Requests through the station's gateway.
//!
//! Each is written in absolute form to the proxy, also for `https`: the
//! gateway makes it itself, sees it whole and records it. Redirects are
//! followed here, one request each, so that every hop is judged. Absent: any
//! other way out, and names that are looked up.

use std::{pin::pin, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request as HyperRequest, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::network::{Answer, Disabled, Network, NetworkError, Request};

/// The longest body of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The most redirects of one request.
const REDIRECTS_MAX: usize = 10;
/// How long one request may take, redirects included.
const REQUEST_SECONDS_MAX: u64 = 300;
/// The longest reason of a refusal that is shown.
const REASON_BYTES_MAX: usize = 2000;
/// Headers that are this client's to say, and no script's.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Says that the gateway refused, and not the host behind it.
const REFUSED: &str = "strongroom-refused";
/// Says that the gateway got no whole answer.
const FAILED: &str = "strongroom-failed";

/// The gateway that the environment names, or none.
pub fn of_environment() -> Box<dyn Network> {
    let proxy = ["HTTP_PROXY", "http_proxy"].iter();
    let proxy = proxy.filter_map(|name| std::env::var(name).ok()).next();
    let authority = proxy.and_then(|proxy| {
        let uri: Uri = proxy.parse().ok()?;
        Some(uri.authority()?.to_string())
    });
    match authority {
        Some(authority) => Box::new(Gateway { authority }),
        None => Box::new(Disabled),
    }
}

/// The station's proxy.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its address and port.
    authority: String,
}

impl Network for Gateway {
    fn fetch(&self, request: &Request) -> Result<Answer, NetworkError> {
        let failed = |why: String| NetworkError::Failed {
            url: request.url.clone(),
            why,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        runtime.block_on(async {
            let limit = Duration::from_secs(REQUEST_SECONDS_MAX);
            match tokio::time::timeout(limit, self.follow(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(failed(format!(
                    "it took longer than {REQUEST_SECONDS_MAX} s"
                ))),
            }
        })
    }
}

impl Gateway {
    /// Makes the request, and those to which its answers redirect.
    async fn follow(&self, request: &Request) -> Result<Answer, NetworkError> {
        let mut request = request.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.once(&request).await?;
            match redirected(&request, &answer) {
                Some(next) => request = next,
                None => return Ok(answer),
            }
        }
        Err(NetworkError::Failed {
            url: request.url,
            why: format!("more than {REDIRECTS_MAX} redirects"),
        })
    }

    async fn once(&self, request: &Request) -> Result<Answer, NetworkError> {
        let failed = |why: String| NetworkError::Failed {
            url: request.url.clone(),
            why,
        };
        let asked = as_hyper(request).map_err(failed)?;
        let stream = TcpStream::connect(&self.authority).await;
        let stream = stream.map_err(|error| failed(format!("no gateway answers: {error}")))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut connection = pin!(connection);
        let mut exchange = pin!(async {
            let response = sender.send_request(asked).await;
            read(response.map_err(|error| error.to_string())?).await
        });
        let mut is_open = true;
        let answer = loop {
            tokio::select! {
                answer = &mut exchange => break answer,
                _ = &mut connection, if is_open => is_open = false,
            }
        };
        let mut answer = answer.map_err(failed)?;
        answer.url.clone_from(&request.url);
        if let Some(why) = said(&answer, REFUSED) {
            let url = request.url.clone();
            return Err(NetworkError::Refused { url, why });
        }
        match said(&answer, FAILED) {
            Some(why) => Err(failed(why)),
            None => Ok(answer),
        }
    }
}

fn as_hyper(request: &Request) -> Result<HyperRequest<Full<Bytes>>, String> {
    let uri: Uri = request
        .url
        .parse()
        .map_err(|error| format!("it is no URL: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("a URL begins with http:// or https://".to_owned());
    }
    let host = uri.authority().ok_or("the URL names no host")?;
    let plain = host.as_str().rsplit('@').next().unwrap_or_default();
    let mut builder = HyperRequest::builder()
        .method(request.method.as_str())
        .header("host", plain);
    let own = |name: &str| OWN.iter().any(|own| name.eq_ignore_ascii_case(own));
    for (name, value) in request.headers.iter().filter(|(name, _)| !own(name)) {
        let name: HeaderName = name
            .parse()
            .map_err(|_| format!("{name:?} is no header name"))?;
        let value: HeaderValue = value
            .parse()
            .map_err(|_| format!("the header {name} cannot have that value"))?;
        builder = builder.header(name, value);
    }
    let body = Full::new(Bytes::from(request.body.clone()));
    builder
        .uri(uri)
        .body(body)
        .map_err(|error| error.to_string())
}

async fn read(response: Response<Incoming>) -> Result<Answer, String> {
    let (head, mut body) = response.into_parts();
    let mut raw = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        if let Some(part) = frame.data_ref() {
            if ANSWER_BYTES_MAX < raw.len() + part.len() {
                return Err(format!(
                    "the answer is longer than {ANSWER_BYTES_MAX} bytes"
                ));
            }
            raw.extend_from_slice(part);
        }
    }
    Ok(Answer {
        url: String::new(),
        status: head.status.as_u16(),
        headers: headers(&head.headers),
        body: raw,
    })
}

fn headers(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// What the gateway itself says under a header, if it does.
fn said(answer: &Answer, name: &str) -> Option<String> {
    let code = header(answer, name)?;
    let told = &answer.body[..answer.body.len().min(REASON_BYTES_MAX)];
    let told = String::from_utf8_lossy(told);
    Some(match told.trim() {
        "" => code.to_owned(),
        told => format!("{told} ({code})"),
    })
}

/// The request to which an answer redirects.
fn redirected(request: &Request, answer: &Answer) -> Option<Request> {
    let keeps_method = match answer.status {
        301..=303 => false,
        307 | 308 => true,
        _ => return None,
    };
    let target = joined(&request.url, header(answer, "location")?)?;
    let mut next = request.clone();
    if host_of(&target) != host_of(&request.url) {
        let secret = |name: &str| {
            let name = name.to_ascii_lowercase();
            matches!(name.as_str(), "authorization" | "cookie")
        };
        next.headers.retain(|(name, _)| !secret(name));
    }
    next.url = target;
    if !keeps_method && request.method != "HEAD" {
        "GET".clone_into(&mut next.method);
        next.body.clear();
        next.headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    }
    Some(next)
}

fn host_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

/// The absolute URL of a redirect.
fn joined(base: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or_default();
    if target.starts_with("http://") || target.starts_with("https://") {
        return Some(target.to_owned());
    }
    let base: Uri = base.parse().ok()?;
    let scheme = base.scheme_str()?;
    if let Some(rest) = target.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let authority = base.authority()?;
    let folder = base
        .path()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let whole = match target.starts_with('/') {
        true => target.to_owned(),
        false => format!("{folder}/{target}"),
    };
    Some(format!("{scheme}://{authority}{}", without_dots(&whole)))
}

/// A path without its parts `.` and `..`, as RFC 3986 has it.
fn without_dots(path: &str) -> String {
    let (path, query) = path.find('?').map_or((path, ""), |at| path.split_at(at));
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = match path.ends_with("/.") || path.ends_with("/..") {
        true => "/",
        false => "",
    };
    format!("/{}{end}{query}", parts.join("/"))
}
