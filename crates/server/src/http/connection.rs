//! Connections: how many there are, and how long a silent one is borne.
//!
//! Headers have a deadline, bodies must keep arriving, and a client who does
//! not read what he asked for is cut off, so that slow and hung clients cost
//! nobody else anything. HTTP/1.1 in clear text: TLS is a proxy's business.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::impatient::Impatient;
use crate::config::{BodyLimits, CONNECTIONS_MAX};

/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long open requests may take to end once the station stops.
const GRACE: Duration = Duration::from_secs(5);
/// How long accepting rests when the host has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets open requests end for a while.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &BodyLimits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.header_ms_max))
        .max_buf_size(HEAD_BYTES_MAX);
    let idle = Duration::from_millis(limits.idle_ms_max);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(Impatient::new(stream, idle)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What a client does to his own connection is his business.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Small answers should not wait for more.
            let _ = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "could not accept a connection");
            sleep(ACCEPT_REST).await;
            None
        }
    }
}
