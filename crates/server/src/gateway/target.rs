//! Where a request wants to go, read once from its first line.
//!
//! What `Host` says is not looked at: the URL counts, and the gateway writes
//! its own `Host`.

use hyper::{Method, Uri, http::uri::Scheme};
use strongroom_core::network::Host;

use super::verdict::Refused;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Https,
    /// Anything, in a tunnel.
    Tunnel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub protocol: Protocol,
    pub host: Host,
    pub port: u16,
    /// Path and query as the guest wrote them.
    pub path: String,
}

impl Target {
    pub fn of(method: &Method, uri: &Uri) -> Result<Self, Refused> {
        let tunnel = *method == Method::CONNECT;
        let authority = uri.authority().ok_or(Refused::NotAbsolute)?;
        let (protocol, port) = match uri.scheme() {
            None if tunnel => (Protocol::Tunnel, None),
            None => return Err(Refused::NotAbsolute),
            Some(_) if tunnel => return Err(Refused::Target),
            Some(scheme) if *scheme == Scheme::HTTP => (Protocol::Http, Some(80)),
            Some(scheme) if *scheme == Scheme::HTTPS => (Protocol::Https, Some(443)),
            Some(_) => return Err(Refused::Scheme),
        };
        if authority.as_str().contains('@') {
            return Err(Refused::Target);
        }
        let host = authority.host().to_ascii_lowercase();
        let host: Host = host.parse().map_err(|_| Refused::Target)?;
        let written = authority.as_str()[authority.host().len()..].strip_prefix(':');
        let port = match (written, port) {
            (Some(digits), _) => plain_port(digits).ok_or(Refused::Target)?,
            (None, Some(port)) => port,
            (None, None) => return Err(Refused::Target),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            protocol,
            host,
            port,
            path: format!("{slash}{path}"),
        })
    }

    /// What goes into `Host`.
    pub fn authority(&self) -> String {
        match (self.protocol, self.port) {
            (Protocol::Http, 80) | (Protocol::Https, 443) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// What is noted of it.
    pub fn url(&self) -> String {
        match self.protocol {
            Protocol::Http => format!("http://{}{}", self.authority(), self.path),
            Protocol::Https => format!("https://{}{}", self.authority(), self.path),
            Protocol::Tunnel => self.authority(),
        }
    }
}

fn plain_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn target(method: &str, uri: &str) -> Result<String, Refused> {
        let method: Method = method.parse().unwrap();
        Target::of(&method, &uri.parse().unwrap()).map(|target| target.url())
    }

    #[test]
    fn a_target_is_read_from_the_url_alone() {
        for (uri, url) in [
            ("http://A.Example.org", "http://a.example.org/"),
            ("http://a.org:80/x?y=1", "http://a.org/x?y=1"),
            ("https://a.org:8443/", "https://a.org:8443/"),
            ("https://[::1]/a", "https://[::1]/a"),
            ("http://a.org?q", "http://a.org/?q"),
        ] {
            assert_eq!(target("GET", uri).unwrap(), url, "{uri}");
        }
        assert_eq!(target("CONNECT", "a.org:443").unwrap(), "a.org:443");
    }

    #[test]
    fn what_names_no_host_or_could_be_read_in_two_ways_is_no_target() {
        for (method, uri, why) in [
            ("GET", "/path", Refused::NotAbsolute),
            ("OPTIONS", "*", Refused::NotAbsolute),
            ("GET", "ftp://a.org/", Refused::Scheme),
            ("GET", "http://user:pass@a.org/", Refused::Target),
            ("GET", "http://user@a.org/", Refused::Target),
            ("GET", "http://a.org:0/", Refused::Target),
            ("GET", "http://a.org:/", Refused::Target),
            ("GET", "http://127.1/", Refused::Target),
            ("GET", "http://0x7f.1/", Refused::Target),
            ("GET", "http://2130706433/", Refused::Target),
            ("GET", "http://a..org/", Refused::Target),
            ("GET", "http://a.org./", Refused::Target),
            ("GET", "http://a_b.org/", Refused::Target),
            ("CONNECT", "http://a.org/", Refused::Target),
            ("CONNECT", "/x", Refused::NotAbsolute),
        ] {
            assert_eq!(target(method, uri), Err(why), "{uri}");
        }
    }
}
