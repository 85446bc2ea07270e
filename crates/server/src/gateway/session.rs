//! One guest's download, from its first connection to its last.
//!
//! A session belongs to one stage of one run. It answers what comes in on the
//! guest's listener until it is closed, and tells of every request what became
//! of it. When it is closed nothing of it is left: no task, no connection, and
//! no note that was not told.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use strongroom_core::network::{self, Network};
use strongroom_run::mutation::{Wall, stands};
use strongroom_store::Blobs;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    CONNECTIONS_MAX, FIELDS_MAX, Gateway, HEAD_BYTES_MAX, Mask, REQUESTS_MAX,
    body::Body,
    exchange::exchange,
    meter::Budget,
    note::{Note, Told},
    replay::{Answers, replay},
    target::{Protocol, Target},
    tunnel,
    verdict::{NoAnswer, Refused},
};
use crate::app::clock::Clock;

/// How long a guest may take for the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long to rest when a connection could not be accepted.
const REST: Duration = Duration::from_millis(100);

/// Where answers come from, and where they go besides.
pub enum Mode {
    /// From their hosts.
    Live,
    /// From their hosts, and each is kept.
    Record(Blobs),
    /// From an earlier run; nobody is dialled.
    Replay(Answers, Blobs),
}

/// What a session is to do.
pub struct Order {
    pub network: Network,
    pub mask: Mask,
    pub mode: Mode,
    pub clock: Clock,
}

/// The gateway of one guest.
pub struct Session(Arc<Inner>);

pub struct Inner {
    pub(super) gateway: Arc<Gateway>,
    network: Network,
    pub(super) mask: Mask,
    pub(super) mode: Mode,
    clock: Clock,
    pub(super) budget: Arc<Budget>,
    requests: AtomicU32,
    notes: mpsc::Sender<Told>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Session {
    /// A session, and where it tells of each request: before it leaves, and
    /// what became of it. What is told has to be kept, or the guest gets nothing.
    pub fn new(gateway: &Arc<Gateway>, order: Order) -> (Self, mpsc::Receiver<Told>) {
        // Room for every note twice, so that none waits for room; one more says
        // that there were too many.
        let (notes, told) = mpsc::channel(2 * (REQUESTS_MAX as usize + 1));
        let bounds = gateway.bounds();
        let inner = Inner {
            gateway: Arc::clone(gateway),
            network: order.network,
            mask: order.mask,
            mode: order.mode,
            clock: order.clock,
            budget: Budget::new(bounds.received_bytes_max, bounds.sent_bytes_max),
            requests: AtomicU32::new(0),
            notes,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        (Self(Arc::new(inner)), told)
    }

    /// Answers what comes in until `guest` has ended, and then ends all of it.
    pub async fn beside<T>(
        self,
        listener: std::net::TcpListener,
        guest: impl Future<Output = T>,
    ) -> T {
        let ended = tokio::select! {
            ended = guest => ended,
            never = self.serve(listener) => match never {},
        };
        self.close().await;
        ended
    }

    /// Answers what comes in. Ends only by being dropped.
    pub async fn serve(&self, listener: std::net::TcpListener) -> Infallible {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        let listener = loop {
            match listener.try_clone().and_then(TcpListener::from_std) {
                Ok(listener) => break listener,
                Err(error) => rest("listen to a guest", &error).await,
            }
        };
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let inner = Arc::clone(&self.0);
                    connections.spawn(async move {
                        inner.attend(stream).await;
                        drop(place);
                    });
                }
                Err(error) => rest("accept a guest's connection", &error).await,
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// Ends what is still going on, and waits until it has ended.
    pub async fn close(self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

async fn rest(attempt: &str, error: &std::io::Error) {
    tracing::warn!(%error, "could not {attempt}");
    sleep(REST).await;
}

impl Inner {
    /// One connection of the guest.
    async fn attend(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| {
            let inner = Arc::clone(&self);
            async move { Ok::<_, Infallible>(inner.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_headers(FIELDS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .half_close(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // What goes wrong here is between the guest and itself.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a guest's connection to the gateway ended");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let max = match stands(Wall::GatewayRequests) {
            true => self.gateway.bounds().requests_max.min(REQUESTS_MAX),
            false => REQUESTS_MAX,
        };
        let number = self
            .requests
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let too_many = NoAnswer::from(Refused::TooMany(max));
        if max.saturating_add(1) < number {
            self.requests
                .store(max.saturating_add(1), Ordering::Relaxed);
            return too_many.response();
        }
        let method = request.method().clone();
        let target = Target::of(&method, request.uri());
        let url = match &target {
            Ok(target) => target.url(),
            Err(_) => request.uri().to_string(),
        };
        let begun = (number, self.clock.now_ms());
        let note = Note::begin(
            self.notes.clone(),
            self.mask.clone(),
            begun,
            (method.as_str(), url),
        );
        let refused = match target {
            _ if max < number => Err(too_many),
            Ok(target) => self
                .permitted(&method, &target)
                .map(|()| target)
                .map_err(NoAnswer::from),
            Err(refused) => Err(refused.into()),
        };
        match (refused, &self.mode) {
            (Err(why), _) => {
                note.ended(&why).await;
                why.response()
            }
            (Ok(_), Mode::Replay(answers, blobs)) => {
                replay(&self, answers, blobs, request, note).await
            }
            (Ok(target), _) if target.protocol == Protocol::Tunnel => {
                tunnel::open(&self, &target, request, note).await
            }
            (Ok(target), _) => exchange(&self, &target, request, note).await,
        }
    }

    /// Whether the plan names this.
    fn permitted(&self, method: &Method, target: &Target) -> Result<(), Refused> {
        let network = &self.network;
        if stands(Wall::GatewayHosts) && !network.reaches(&target.host, target.port) {
            return Err(Refused::Host {
                host: target.host.clone(),
                port: target.port,
            });
        }
        if target.protocol == Protocol::Tunnel {
            return match network.has_tunnels() || !stands(Wall::GatewayTunnels) {
                true => Ok(()),
                false => Err(Refused::Tunnel),
            };
        }
        match network::Method::named(method.as_str()) {
            Some(named) if network.allows(named) => Ok(()),
            _ if !stands(Wall::GatewayMethods) => Ok(()),
            _ => Err(Refused::Method(strongroom_core::text::shown(
                method.as_str(),
                32,
            ))),
        }
    }
}
