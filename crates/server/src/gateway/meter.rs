//! Counting what passes a connection, with heads, TLS and all.
//!
//! Bodies are bounded where they are read. What else a host can send (interim
//! answers, chunks of one byte, handshakes) is bounded here, where every byte
//! passes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Semaphore,
};

use super::LOOKUPS_OF_ONE_MAX;

/// What one guest may still receive and send, and look up at once.
#[derive(Debug)]
pub struct Budget {
    receive: AtomicU64,
    send: AtomicU64,
    pub lookups: Arc<Semaphore>,
}

/// Nothing is left of a budget.
#[derive(Debug, thiserror::Error)]
#[error("as much has passed as may")]
pub struct Spent;

impl Budget {
    pub fn new(receive_bytes: u64, send_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            receive: AtomicU64::new(receive_bytes),
            send: AtomicU64::new(send_bytes),
            lookups: Arc::new(Semaphore::new(LOOKUPS_OF_ONE_MAX)),
        })
    }
}

fn spend(left: &AtomicU64, bytes: usize) -> io::Result<()> {
    let order = Ordering::Relaxed;
    let spent = left.fetch_update(order, order, |left| left.checked_sub(bytes as u64));
    match spent {
        Ok(_) => Ok(()),
        Err(_) => {
            left.store(0, order);
            Err(io::Error::other(Spent))
        }
    }
}

/// A connection that takes from a budget, and counts.
pub struct Metered<S> {
    inner: S,
    budget: Arc<Budget>,
}

impl<S> Metered<S> {
    pub fn new(inner: S, budget: Arc<Budget>) -> Self {
        Self { inner, budget }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, into))?;
        let bytes = into.filled().len() - before;
        Poll::Ready(spend(&self.budget.receive, bytes))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(Pin::new(&mut self.inner).poll_write(context, from))?;
        Poll::Ready(spend(&self.budget.send, bytes).map(|()| bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Whether an error has an empty budget among its causes.
pub fn is_spent(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if error.is::<Spent>() || inner.is_some_and(|inner| inner.is::<Spent>()) {
            return true;
        }
        next = error.source();
    }
    false
}
