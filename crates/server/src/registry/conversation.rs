//! Questions to one registry about one repository, with whatever it wants to
//! know of us first.

use std::{cell::RefCell, fs::File, io, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use strongroom_run::image::ImageError;
use ureq::{
    Agent, AsSendBody, Body, ResponseExt as _, SendBody,
    http::{Method, Request, Response, StatusCode, Uri},
};

use super::{
    RegistryError, RegistryReference,
    credentials::{self, Login},
    reference::is_here,
};

const CONNECT_MAX: Duration = Duration::from_secs(15);
/// How long a registry may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one answer may take that is a document or a token.
const DOCUMENT_MAX: Duration = Duration::from_secs(300);
/// The slowest that a blob may come or go, on the whole.
const BLOB_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// The longest answer that is a token, and the longest token, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// What is sent along.
pub(super) enum Sent<'a> {
    Nothing,
    /// Nothing either, and a blob of this size is to come.
    NothingFor {
        size: u64,
    },
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
    pub(super) document_max: Duration,
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
            // Nor does one that is reached over TLS lead us to where there is none.
            .https_only(!about.is_here())
            .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")));
        // What is for this machine is shown to no other, so to no proxy.
        let config = match about.is_here() {
            true => config.proxy(None),
            false => config,
        };
        Ok(Self {
            agent: config.build().into(),
            about,
            actions,
            login: credentials::find(about.host(), about.repository())?,
            authorization: RefCell::default(),
            document_max: DOCUMENT_MAX,
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
        // Another host, which the registry led us to, does not learn who we are.
        if answer.status() != StatusCode::UNAUTHORIZED || !self.is_its_own(answer.get_uri()) {
            return self.told(answer, what);
        }
        self.answer_challenge(&answer, what)?;
        let answer = self.once(&method, url, headers, sent)?;
        self.told(answer, what)
    }

    /// Whether something lies on the registry itself.
    fn is_its_own(&self, uri: &Uri) -> bool {
        let base = self.about.base().parse::<Uri>();
        base.is_ok_and(|base| (base.scheme(), base.authority()) == (uri.scheme(), uri.authority()))
    }

    /// How long it may take until everything has come or gone.
    fn patience(&self, sent: &Sent<'_>) -> Duration {
        let size = match sent {
            Sent::NothingFor { size } | Sent::File { size, .. } => *size,
            Sent::Nothing | Sent::Bytes(_) => 0,
        };
        self.document_max + Duration::from_secs(size / BLOB_BYTES_PER_SECOND_MIN)
    }

    fn run<B: AsSendBody>(
        &self,
        request: Request<B>,
        patience: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.configure_request(request);
        self.agent
            .run(request.timeout_global(Some(patience)).build())
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
        let patience = self.patience(sent);
        let answer = match sent {
            Sent::Nothing | Sent::NothingFor { .. } => {
                self.run(request.body(()).map_err(nonsense)?, patience)
            }
            Sent::Bytes(bytes) => {
                request = request.header("content-length", bytes.len());
                self.run(request.body(*bytes).map_err(nonsense)?, patience)
            }
            Sent::File { path, size } => {
                let mut file = File::open(path).map_err(|source| ImageError::Source { source })?;
                let mut exact = io::Read::take(&mut file, *size);
                request = request.header("content-length", *size);
                let body = SendBody::from_reader(&mut exact);
                self.run(request.body(body).map_err(nonsense)?, patience)
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
        if !self.may_be_told(&realm) {
            return Err(self.nonsense("its service for tokens is not reached over TLS"));
        }
        let scope = format!("repository:{}:{}", self.about.repository(), self.actions);
        let request = self.agent.get(&realm).config();
        let request = request.timeout_global(Some(self.document_max)).build();
        let mut request = request.query("scope", scope);
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

    /// Whether credentials may go to a service for tokens: over TLS, or without
    /// leaving a machine that the registry is on as well.
    fn may_be_told(&self, realm: &str) -> bool {
        let Ok(uri) = realm.parse::<Uri>() else {
            return false;
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        match uri.scheme_str() {
            // Before an `@` may stand what looks like another host.
            _ if authority.contains('@') => false,
            Some("https") => true,
            Some("http") => self.about.is_here() && is_here(authority),
            _ => false,
        }
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
