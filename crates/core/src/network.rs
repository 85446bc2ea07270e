//! Where a download may go: hosts, ports and methods, said in the plan.
//!
//! A [`Network`] is part of what is approved. Everything in it has one
//! spelling: lower-case names, canonical addresses, no default left open; so
//! two plans that mean the same hosts have the same digest. What a pattern
//! matches is decided here; whether the address behind a name may be dialled
//! is [`address`]'s, since a name may come to mean anything.
//! Deliberately absent: paths, and patterns of ports.

pub mod address;
pub mod made;

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{id::RunId, text};

/// The most hosts of one plan.
pub const HOSTS_MAX: usize = 64;
/// The port of a host that names none.
pub const PORT_DEFAULT: u16 = 443;
/// The longest name of a host, and of one of its labels.
const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;

/// Why a text names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("`{}` is no host name: letters a-z, digits and `-`, in labels of 1 to 63 parted by `.`", text::shown(.0, 80))]
    Name(String),
    #[error("`{}` is no address as it is usually written", text::shown(.0, 80))]
    Address(String),
    #[error("`{}` is no port from 1 to 65535", text::shown(.0, 20))]
    Port(String),
    #[error("`{}`: a `*` stands for whole labels, first and before two others at least, as in `*.example.org`", text::shown(.0, 80))]
    Wildcard(String),
}

/// Why a download cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("a download names its `hosts`, 1 to {HOSTS_MAX} of them")]
    Hosts,
    #[error("a download has `methods`, at least one")]
    NoMethod,
    #[error(
        "`tunnel` hides what is asked for, so it takes every method: {}",
        methods()
    )]
    Tunnel,
}

/// A host as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

impl FromStr for Host {
    type Err = HostError;

    /// Reads a lower-case name, an IPv4 address, or an IPv6 address in brackets.
    fn from_str(raw: &str) -> Result<Self, HostError> {
        let address = || HostError::Address(raw.to_owned());
        if let Some(inner) = raw.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(address)?;
            let found: Ipv6Addr = inner.parse().map_err(|_| address())?;
            return match found.to_string() == inner {
                true => Ok(Self::Address(found.into())),
                false => Err(address()),
            };
        }
        let labels = || raw.split('.');
        if NAME_LEN_MAX < raw.len() || !labels().all(is_label) {
            return Err(HostError::Name(raw.to_owned()));
        }
        // Resolvers take `127.1`, `0x7f.1` and `2130706433` for addresses.
        let last = labels().next_back().unwrap_or_default();
        let like_number = last.starts_with(|c: char| c.is_ascii_digit());
        if like_number && (is_number(last) || last.starts_with("0x")) {
            let found: Ipv4Addr = raw.parse().map_err(|_| address())?;
            return Ok(Self::Address(found.into()));
        }
        Ok(Self::Name(raw.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=LABEL_LEN_MAX).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A host that may be reached at one port: `api.example.org`,
/// `*.example.org:8443`, `192.0.2.7:80`, `[2001:db8::7]:443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    /// Whether one or more labels stand before the host.
    below: bool,
    host: Host,
    port: u16,
}

impl HostPattern {
    /// Whether this host at this port is meant.
    pub fn matches(&self, host: &Host, port: u16) -> bool {
        let host_matches = match (self.below, &self.host, host) {
            (false, own, asked) => own == asked,
            (true, Host::Name(own), Host::Name(asked)) => asked
                .strip_suffix(own.as_str())
                .is_some_and(|rest| 1 < rest.len() && rest.ends_with('.')),
            (true, ..) => false,
        };
        host_matches && self.port == port
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(raw: &str) -> Result<Self, HostError> {
        let (below, rest) = match raw.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, raw),
        };
        let bracket = rest.rfind(']').unwrap_or(0);
        let (host, port) = match rest[bracket..].rfind(':') {
            Some(colon) => (
                &rest[..bracket + colon],
                port(&rest[bracket + colon + 1..])?,
            ),
            None => (rest, PORT_DEFAULT),
        };
        if host.contains('*') {
            return Err(HostError::Wildcard(raw.to_owned()));
        }
        let host: Host = host.parse()?;
        let labels = match &host {
            Host::Name(name) => name.split('.').count(),
            Host::Address(_) => 0,
        };
        match below && labels < 2 {
            true => Err(HostError::Wildcard(raw.to_owned())),
            false => Ok(Self { below, host, port }),
        }
    }
}

fn port(raw: &str) -> Result<u16, HostError> {
    let found: u16 = raw.parse().map_err(|_| HostError::Port(raw.to_owned()))?;
    match found != 0 && found.to_string() == raw {
        true => Ok(found),
        false => Err(HostError::Port(raw.to_owned())),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        write!(f, "{below}{}", self.host)?;
        match self.port {
            PORT_DEFAULT => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

text::serde_as_text!(HostPattern);

/// Where a download has its answers from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answers {
    /// From its hosts.
    #[default]
    Live,
    /// From its hosts, and each is kept.
    Record,
    /// From this run, whose answers were kept; nobody is asked.
    Replay(RunId),
}

impl Answers {
    pub fn is_live(&self) -> bool {
        *self == Self::Live
    }

    /// The kind, as rules name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Record => "record",
            Self::Replay(_) => "replay",
        }
    }
}

/// What a request does to what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Options,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Self; 7] = [
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of this name, if it is one that a plan can allow.
    pub fn named(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == raw)
    }
}

fn methods() -> String {
    Method::ALL.map(Method::as_str).join(", ")
}

/// What a download may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "WrittenNetwork")]
pub struct Network {
    hosts: BTreeSet<HostPattern>,
    methods: BTreeSet<Method>,
    tunnel: bool,
}

/// The table `[download]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNetwork {
    #[serde(default)]
    hosts: BTreeSet<HostPattern>,
    methods: Option<BTreeSet<Method>>,
    #[serde(default)]
    tunnel: bool,
}

impl TryFrom<WrittenNetwork> for Network {
    type Error = NetworkError;

    fn try_from(written: WrittenNetwork) -> Result<Self, NetworkError> {
        let methods = match written.methods {
            Some(methods) => methods,
            None if written.tunnel => BTreeSet::from(Method::ALL),
            None => BTreeSet::from([Method::Get, Method::Head]),
        };
        match written.hosts.len() {
            _ if methods.is_empty() => Err(NetworkError::NoMethod),
            _ if written.tunnel && methods.len() < Method::ALL.len() => Err(NetworkError::Tunnel),
            1..=HOSTS_MAX => Ok(Self {
                hosts: written.hosts,
                methods,
                tunnel: written.tunnel,
            }),
            _ => Err(NetworkError::Hosts),
        }
    }
}

impl Network {
    /// Whether a request may name this host at this port.
    pub fn reaches(&self, host: &Host, port: u16) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host, port))
    }

    /// Whether a request may be of this method.
    pub fn allows(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }

    /// Whether whole connections may be had, of which only the host is seen.
    pub fn has_tunnels(&self) -> bool {
        self.tunnel
    }

    pub fn hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.hosts.iter()
    }

    pub fn methods(&self) -> impl Iterator<Item = Method> {
        self.methods.iter().copied()
    }
}

#[cfg(test)]
mod tests;
