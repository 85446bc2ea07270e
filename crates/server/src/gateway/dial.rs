//! From a host's name to a connection, by one address that was looked at.
//!
//! A name is resolved once for each request, by the host's own resolver. The
//! addresses that may not be dialled fall out; what is left is dialled as it
//! was checked, and never the name again. TLS is checked against the name.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    path::Path,
    sync::Arc,
};

use strongroom_core::network::{Host, address};
use strongroom_run::mutation::{Wall, stands};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::{
    Gateway, GatewayError,
    meter::{Budget, Metered},
    ms,
    target::{Protocol, Target},
    verdict::{Failed, NoAnswer, ReasonKept, Refused},
};

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 4;

/// A connection to a host, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Finds the addresses of a name.
pub type Names = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// By the host's own resolver.
pub fn of_host() -> Names {
    Arc::new(|name, port| (name, port).to_socket_addrs().map(Vec::from_iter))
}

/// The certificates that are trusted, and nothing of ours to show.
pub fn tls(trust: Option<&Path>) -> Result<ClientConfig, GatewayError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = trust {
        let read = |source| GatewayError::Trust {
            path: path.to_owned(),
            source,
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
            let added = roots.add(certificate.map_err(read)?);
            added.map_err(|source| GatewayError::Root {
                path: path.to_owned(),
                source,
            })?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(GatewayError::Tls)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Two guests must not be told apart, or joined, by a session that is resumed.
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Ok(config)
}

impl Gateway {
    /// Connects to where the target is.
    pub(super) async fn dial(
        &self,
        target: &Target,
        budget: &Arc<Budget>,
    ) -> Result<Box<dyn Stream>, NoAnswer> {
        let addresses = self.addresses(target, budget).await?;
        let connect_max = ms(self.bounds().connect_ms_max);
        let connected = timeout(connect_max, connect(&addresses)).await;
        let stream = connected.map_err(|_| Failed::TooSlow("the connection"))?;
        let stream = stream.map_err(|error| Failed::Connect(error.to_string()))?;
        let stream = Metered::new(stream, Arc::clone(budget));
        if target.protocol != Protocol::Https {
            return Ok(Box::new(stream));
        }
        let name = match &target.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Refused::Target)?,
        };
        let secured = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        let secured = timeout(connect_max, secured).await;
        let secured = secured.map_err(|_| Failed::TooSlow("TLS"))?;
        match secured {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if super::meter::is_spent(&error) => Err(Failed::Spent.into()),
            Err(error) => Err(Failed::Tls(error.to_string()).into()),
        }
    }

    /// The addresses that may be dialled, or why there are none.
    async fn addresses(
        &self,
        target: &Target,
        budget: &Budget,
    ) -> Result<Vec<SocketAddr>, NoAnswer> {
        let found = match &target.host {
            Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
            Host::Name(name) => self.resolve(name.clone(), target.port, budget).await?,
        };
        let mut kept = None;
        let mut open = Vec::new();
        for address in found {
            match self.kept(address) {
                None => open.push(address),
                Some(why) => kept = kept.or(Some(why)),
            }
        }
        open.truncate(ADDRESSES_MAX);
        match (open.is_empty(), kept) {
            (false, _) => Ok(open),
            (true, None) => Err(Failed::Resolve.into()),
            (true, Some(kept)) => Err(Refused::Private {
                host: target.host.clone(),
                kept,
            }
            .into()),
        }
    }

    async fn resolve(
        &self,
        name: String,
        port: u16,
        budget: &Budget,
    ) -> Result<Vec<SocketAddr>, NoAnswer> {
        const OPEN: &str = "the semaphore is never closed";
        let resolved = async {
            // The guest's own first, so that who has many holds no place of others.
            let own = Arc::clone(&budget.lookups)
                .acquire_owned()
                .await
                .expect(OPEN);
            let permit = Arc::clone(&self.lookups).acquire_owned().await.expect(OPEN);
            let names = Arc::clone(&self.names);
            let look_up = move || {
                // Held until the resolver returns, however long nobody waits.
                let _permits = (own, permit);
                names(&name, port)
            };
            spawn_blocking(look_up).await
        };
        match timeout(ms(self.bounds().lookup_ms_max), resolved).await {
            Err(_) => Err(Failed::TooSlow("the host's name").into()),
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(_) => Err(Failed::Resolve.into()),
        }
    }

    /// Why this address may not be dialled.
    fn kept(&self, address: SocketAddr) -> Option<ReasonKept> {
        if !stands(Wall::GatewayAddresses) {
            return None;
        }
        let ip = address::carried(address.ip());
        let is_opened = self.config.allow_private.iter().any(|opened| {
            let port_fits = opened.port.is_none_or(|port| port == address.port());
            opened.address.to_canonical() == ip && port_fits
        });
        let is_station = self.own_port.get() == Some(&address.port());
        if self
            .config
            .refuse
            .iter()
            .any(|one| one.to_canonical() == ip)
        {
            return Some(ReasonKept::Operator);
        }
        if is_station && (ip.is_loopback() || ip.is_unspecified() || is_own(ip)) {
            return Some(ReasonKept::Own);
        }
        match address::kept(ip) {
            _ if is_opened => None,
            Some(why) => Some(ReasonKept::Range(why)),
            None if is_own(ip) => Some(ReasonKept::Own),
            None => None,
        }
    }
}

/// Whether an address is this host's: whoever wants to speak to it would do so
/// from itself. Nothing is sent to find that out.
fn is_own(ip: IpAddr) -> bool {
    let any = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let local = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    local().is_ok_and(|local| local.ip() == ip)
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gateway::GatewayConfig;

    fn gateway(opened: &[&str], refused: &[&str]) -> Gateway {
        Gateway::new(GatewayConfig {
            allow_private: opened.iter().map(|raw| raw.parse().unwrap()).collect(),
            refuse: refused.iter().map(|raw| raw.parse().unwrap()).collect(),
            ..GatewayConfig::default()
        })
        .unwrap()
    }

    fn kept(gateway: &Gateway, raw: &str) -> Option<ReasonKept> {
        gateway.kept(raw.parse().unwrap())
    }

    #[test]
    fn the_operator_opens_single_addresses_and_nothing_beside_them() {
        let gateway = gateway(&["127.0.0.1:8080", "10.0.0.7"], &[]);
        for open in [
            "127.0.0.1:8080",
            "[::ffff:127.0.0.1]:8080",
            "10.0.0.7:1",
            "1.1.1.1:443",
        ] {
            assert_eq!(kept(&gateway, open), None, "{open}");
        }
        for closed in [
            "127.0.0.1:8081",
            "127.0.0.2:8080",
            "10.0.0.8:1",
            "[::1]:8080",
        ] {
            assert!(kept(&gateway, closed).is_some(), "{closed}");
        }
    }

    #[test]
    fn the_operator_closes_addresses_by_which_others_know_the_host() {
        let gateway = gateway(&[], &["1.1.1.1"]);
        assert_eq!(kept(&gateway, "1.1.1.1:443"), Some(ReasonKept::Operator));
        assert_eq!(kept(&gateway, "1.0.0.1:443"), None);
    }

    #[test]
    fn the_station_itself_is_closed_though_its_address_is_open() {
        let gateway = gateway(&["127.0.0.1", "::1"], &[]);
        gateway.keep_from(7878);
        assert_eq!(kept(&gateway, "127.0.0.1:7878"), Some(ReasonKept::Own));
        assert_eq!(kept(&gateway, "[::1]:7878"), Some(ReasonKept::Own));
        assert_eq!(kept(&gateway, "127.0.0.1:7879"), None);
    }

    #[test]
    fn a_host_knows_its_own_addresses() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
