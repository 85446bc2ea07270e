//! The station, over HTTP.
//!
//! A secret is sent to the station it was given for and nowhere else:
//! redirects are not followed, and a station on this machine is reached
//! without a proxy. Every answer has a bound and every silence an end.

pub mod events;

use std::{io::Read, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use strongroom_core::{text::shown, tree::TreePath};
use strongroom_server::api::Problem;
use ureq::{
    Agent, Body, RequestBuilder, SendBody,
    http::{Response, Uri},
};

use crate::login::{Login, LoginError};

/// The longest answer that is held in memory, in bytes.
const ANSWER_BYTES_MAX: u64 = 512 << 20;
/// The longest error document, in bytes.
const PROBLEM_BYTES_MAX: u64 = 1 << 20;
/// The longest that a station may be silent. It answers a wait within 60 s.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// The longest silence where bytes have to reach a disk, or to be read from it.
const UPLOAD_SILENCE_MAX: Duration = Duration::from_secs(900);
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// A station and who asks it.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    login: Login,
}

/// Why a station gave no answer, or said no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("could not reach {url}")]
    Unreachable { url: String, source: ureq::Error },
    #[error("{}", shown(&.0.detail, 2000))]
    Refused(Problem),
    #[error("{url} answered {status}, which is not how a station answers")]
    Status { url: String, status: u16 },
    #[error("{url} answered what this program cannot read")]
    Unreadable { url: String, source: ureq::Error },
    #[error("the connection to the station broke")]
    Broken(#[source] std::io::Error),
}

impl ClientError {
    /// The next step, where we know one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => {
                Some("is it running? `strongroom serve` starts a station".to_owned())
            }
            Self::Refused(problem) => hint_of(&problem.code).map(str::to_owned),
            _ => None,
        }
    }

    /// Whether the station is simply not there (now).
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken(_))
    }
}

fn hint_of(code: &str) -> Option<&'static str> {
    match code {
        "expose_off" => Some("`--expose` asks the owners of the data"),
        "expose_not_named" => Some("`--expose` names it; read first what the request shows"),
        "build_failed" => Some("`strongroom function push` again, once that is put right"),
        "no_installer" => Some("`strongroom doctor` says on the station what is missing"),
        "unauthorized" => Some("`strongroom login` stores a token that is valid"),
        "not_found" => Some("what is not yours to see looks as if it were not there"),
        "digest_mismatch" => Some("a file changed while it was pushed; push again"),
        "structure_broken" => Some("`--structure FILE` gives another one, `--drop structure` none"),
        "bad_args" | "bad_inputs" => {
            Some("`strongroom function show` prints what a function takes")
        }
        _ => None,
    }
}

type Answer<T> = Result<T, ClientError>;

impl Client {
    /// The station that the environment names or that `login` stored.
    pub fn logged_in() -> Result<Self, LoginError> {
        Ok(Self::new(Login::found()?))
    }

    pub fn new(login: Login) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_per_read(Some(SILENCE_MAX))
            .timeout_per_write(Some(SILENCE_MAX))
            .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&login.url) {
            config = config.proxy(None);
        }
        Self {
            agent: config.build().into(),
            login,
        }
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Answer<T> {
        let pairs = query.iter().map(|(key, value)| (*key, value.as_str()));
        let request = self.authorized(self.agent.get(self.place(path)));
        self.read(self.told(request.query_pairs(pairs).call())?)
    }

    /// A `GET` whose answer may be long in coming, since files have to be read.
    pub fn get_patiently<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Answer<T> {
        let pairs = query.iter().map(|(key, value)| (*key, value.as_str()));
        let request = self.authorized(self.agent.get(self.place(path)));
        let request = request.query_pairs(pairs).config();
        let request = request.timeout_per_read(Some(UPLOAD_SILENCE_MAX)).build();
        self.read(self.told(request.call())?)
    }

    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answer<T> {
        let request = self.authorized(self.agent.post(self.place(path)));
        self.read(self.told(request.send_json(body))?)
    }

    /// A `POST` whose answer may be long in coming, since files have to be read.
    pub fn post_patiently<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Answer<T> {
        let request = self.authorized(self.agent.post(self.place(path)));
        let request = request
            .config()
            .timeout_per_read(Some(UPLOAD_SILENCE_MAX))
            .build();
        self.read(self.told(request.send_json(body))?)
    }

    /// A `POST` that counts once, however often it is sent with this key.
    pub fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        key: Option<&str>,
        body: &impl Serialize,
    ) -> Answer<T> {
        let mut request = self.authorized(self.agent.post(self.place(path)));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.read(self.told(request.send_json(body))?)
    }

    /// A `POST` whose answer has no body.
    pub fn post_quietly(&self, path: &str, body: &impl Serialize) -> Answer<()> {
        let request = self.authorized(self.agent.post(self.place(path)));
        self.told(request.send_json(body)).map(drop)
    }

    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answer<T> {
        let request = self.authorized(self.agent.put(self.place(path)));
        self.read(self.told(request.send_json(body))?)
    }

    pub fn delete(&self, path: &str) -> Answer<()> {
        let request = self.authorized(self.agent.delete(self.place(path)));
        self.told(request.call()).map(drop)
    }

    /// A `DELETE` that tells what went.
    pub fn delete_telling<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Answer<T> {
        let pairs = query.iter().map(|(key, value)| (*key, value.as_str()));
        let request = self.authorized(self.agent.delete(self.place(path)));
        self.read(self.told(request.query_pairs(pairs).call())?)
    }

    /// Sends a file's bytes, without holding them.
    pub fn upload(&self, path: &str, size_bytes: u64, from: &mut dyn Read) -> Answer<()> {
        let request = self.authorized(self.agent.put(self.place(path)));
        let request = request
            .header("Content-Type", "application/octet-stream")
            .header("Content-Length", size_bytes.to_string())
            .config()
            .timeout_per_read(Some(UPLOAD_SILENCE_MAX))
            .build();
        self.told(request.send(SendBody::from_reader(from)))
            .map(drop)
    }

    /// A file's bytes, as they come.
    pub fn download(&self, path: &str) -> Answer<impl Read + use<>> {
        let request = self.authorized(self.agent.get(self.place(path)));
        let request = request
            .config()
            .timeout_per_read(Some(UPLOAD_SILENCE_MAX))
            .build();
        let answer = self.told(request.call())?;
        // Whoever asks for a file knows its size and reads no further.
        Ok(answer
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader())
    }

    fn place(&self, path: &str) -> String {
        format!("{}{path}", self.login.url)
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        request.header("Authorization", format!("Bearer {}", self.login.token))
    }

    /// The answer, if it is a yes.
    fn told(&self, answer: Result<Response<Body>, ureq::Error>) -> Answer<Response<Body>> {
        let url = || self.login.url.clone();
        let mut answer =
            answer.map_err(|source| ClientError::Unreachable { url: url(), source })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(PROBLEM_BYTES_MAX);
        match body.read_json() {
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(ClientError::Status { url: url(), status }),
        }
    }

    fn read<T: DeserializeOwned>(&self, mut answer: Response<Body>) -> Answer<T> {
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_json().map_err(|source| ClientError::Unreadable {
            url: self.login.url.clone(),
            source,
        })
    }
}

/// Whether a station is on this machine.
pub fn is_loopback(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let ip: Option<std::net::IpAddr> = address.parse().ok();
    host == "localhost" || ip.is_some_and(|ip| ip.is_loopback())
}

/// A tree's path inside a URL.
pub fn encoded(path: &TreePath) -> String {
    let mut out = String::with_capacity(path.as_str().len());
    for byte in path.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for here in [
            "http://127.0.0.1:7878",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for away in [
            "http://127.0.0.1.example.org",
            "http://10.0.0.1",
            "nonsense",
            "",
        ] {
            assert!(!is_loopback(away), "{away}");
        }
    }

    #[test]
    fn a_path_cannot_leave_its_place_in_a_url() {
        let path: TreePath = "a b/ü?#%.csv".parse().unwrap();
        assert_eq!(encoded(&path), "a%20b/%C3%BC%3F%23%25.csv");
    }
}
