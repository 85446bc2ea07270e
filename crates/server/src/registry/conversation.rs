//! Questions to one registry about one repository, with whatever it wants to
//! know of us first.

use std::{cell::RefCell, fs::File, io, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use strongroom_run::image::ImageError;
use ureq::{
    Agent, Body, SendBody,
    http::{Method, Request, Response, StatusCode},
};

use super::{
    RegistryError, RegistryReference,
    credentials::{self, Login},
    reference::is_here,
};

const CONNECT_MAX: Duration = Duration::from_secs(15);
/// How long a registry may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The longest answer that is a token, and the longest token, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// What is sent along.
pub(super) enum Sent<'a> {
    Nothing,
    Bytes(&'a [u8]),
    File {
        path: &'a std::path::Path,
        size: u64,
    },
}

/// A talk with one registry.
pub(super) struct Conversation<'a> {
    agent: Agent,
    pub(super) about: &'a RegistryReference,
    /// What we want to do: `pull` or `pull,push`.
    actions: &'static str,
    login: Option<Login>,
    /// What is sent as `Authorization` since it was asked for.
    authorization: RefCell<Option<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        about: &'a RegistryReference,
        actions: &'static str,
    ) -> Result<Self, RegistryError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_recv_response(Some(SILENCE_MAX))
            .timeout_per_read(Some(SILENCE_MAX))
            .timeout_per_write(Some(SILENCE_MAX))
            // Blobs are compared with their length, so nobody packs them.
            .accept_encoding("identity")
            .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")));
        Ok(Self {
            agent: config.build().into(),
            about,
            actions,
            login: credentials::find(about.host(), about.repository())?,
            authorization: RefCell::default(),
        })
    }

    /// Where something of the repository lies.
    pub(super) fn url(&self, path: &str) -> String {
        format!(
            "{}/v2/{}/{path}",
            self.about.base(),
            self.about.repository()
        )
    }

    /// Asks, and once more when the registry wants to know who does.
    pub(super) fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        sent: &Sent<'_>,
        what: &str,
    ) -> Result<Response<Body>, RegistryError> {
        let answer = self.once(&method, url, headers, sent)?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.told(answer, what);
        }
        self.answer_challenge(&answer, what)?;
        let answer = self.once(&method, url, headers, sent)?;
        self.told(answer, what)
    }

    fn once(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        sent: &Sent<'_>,
    ) -> Result<Response<Body>, RegistryError> {
        let mut request = Request::builder().method(method.clone()).uri(url);
        // What was asked for by the registry stays with the registry.
        if url.starts_with(&format!("{}/", self.about.base()))
            && let Some(authorization) = &*self.authorization.borrow()
        {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let nonsense = |_| self.nonsense("it leads to what is no URL");
        let answer = match sent {
            Sent::Nothing => self.agent.run(request.body(()).map_err(nonsense)?),
            Sent::Bytes(bytes) => {
                request = request.header("content-length", bytes.len());
                self.agent.run(request.body(*bytes).map_err(nonsense)?)
            }
            Sent::File { path, size } => {
                let mut file = File::open(path).map_err(|source| ImageError::Source { source })?;
                let mut exact = io::Read::take(&mut file, *size);
                request = request.header("content-length", *size);
                let body = SendBody::from_reader(&mut exact);
                self.agent.run(request.body(body).map_err(nonsense)?)
            }
        };
        answer.map_err(|source| RegistryError::Unreachable {
            registry: self.about.host().to_owned(),
            source: Box::new(source),
        })
    }

    fn told(&self, answer: Response<Body>, what: &str) -> Result<Response<Body>, RegistryError> {
        let (registry, what) = (self.about.host().to_owned(), what.to_owned());
        Err(match answer.status().as_u16() {
            200..=299 => return Ok(answer),
            401 => RegistryError::Unknown { registry, what },
            403 => RegistryError::Denied { registry, what },
            404 => RegistryError::NotThere { registry, what },
            429 => RegistryError::TooOften {
                registry,
                seconds: header(&answer, "retry-after").and_then(|raw| raw.parse().ok()),
            },
            status => RegistryError::Answered {
                registry,
                what,
                status,
            },
        })
    }

    /// Does what a `WWW-Authenticate` asks for.
    fn answer_challenge(&self, answer: &Response<Body>, what: &str) -> Result<(), RegistryError> {
        let unknown = || RegistryError::Unknown {
            registry: self.about.host().to_owned(),
            what: what.to_owned(),
        };
        let challenge = header(answer, "www-authenticate").ok_or_else(unknown)?;
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((&challenge, ""));
        let authorization = if scheme.eq_ignore_ascii_case("basic") {
            self.basic().ok_or_else(unknown)?
        } else if scheme.eq_ignore_ascii_case("bearer") {
            format!("Bearer {}", self.token(rest, what)?)
        } else {
            return Err(unknown());
        };
        let again = self.authorization.replace(Some(authorization.clone()));
        match again.as_deref() == Some(&authorization) {
            // The same once more would get the same answer.
            true => Err(unknown()),
            false => Ok(()),
        }
    }

    fn basic(&self) -> Option<String> {
        let login = self.login.as_ref()?;
        let pair = format!("{}:{}", login.user, login.password);
        Some(format!("Basic {}", STANDARD.encode(pair)))
    }

    /// A token from the service that the registry names.
    fn token(&self, challenge: &str, what: &str) -> Result<String, RegistryError> {
        let realm = parameter(challenge, "realm");
        let realm = realm.ok_or_else(|| self.nonsense("it names no service for tokens"))?;
        let plain = realm.strip_prefix("http://");
        let plain_host = plain.map(|rest| rest.split('/').next().unwrap_or_default());
        if !realm.starts_with("https://") && !plain_host.is_some_and(is_here) {
            return Err(self.nonsense("its service for tokens is not reached over TLS"));
        }
        let scope = format!("repository:{}:{}", self.about.repository(), self.actions);
        let mut request = self.agent.get(&realm).query("scope", scope);
        if let Some(service) = parameter(challenge, "service") {
            request = request.query("service", service);
        }
        if let Some(basic) = self.basic() {
            request = request.header("authorization", basic);
        }
        let answer = request
            .call()
            .map_err(|source| RegistryError::Unreachable {
                registry: self.about.host().to_owned(),
                source: Box::new(source),
            })?;
        let answer = self.told(answer, what)?;
        let body = answer.into_body().into_with_config().limit(TOKEN_BYTES_MAX);
        let token: Token = body
            .read_json()
            .map_err(|_| self.nonsense("its token cannot be read"))?;
        let token = token.token.or(token.access_token);
        let token = token.filter(|token| token.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        token.ok_or_else(|| self.nonsense("its token cannot be read"))
    }

    pub(super) fn nonsense(&self, why: &'static str) -> RegistryError {
        RegistryError::Nonsense {
            registry: self.about.host().to_owned(),
            why,
        }
    }
}

/// A header that is text.
pub(super) fn header(answer: &Response<Body>, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// One parameter of a challenge, as `realm` in `realm="…",service="…"`.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim_matches([',', ' ']).eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after;
    }
    None
}
