//! Bytes that a client is still sending.
//!
//! They come as a stream, and may stop coming. What went wrong with them is
//! kept apart from what goes wrong with the disk they are written to, so that
//! each is blamed on whom it belongs to.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use tokio::{io::AsyncRead, sync::mpsc};
use tokio_util::io::StreamReader;

/// Chunks between the network and a thread that unpacks them.
const CHUNKS_WAITING_MAX: usize = 16;

/// Why the bytes stopped coming; the client is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncomingError {
    #[error("the body stopped arriving")]
    Idle,
    #[error("the body ended before it was whole")]
    Broken,
    #[error("the body is longer than {max} bytes")]
    TooLarge { max: u64 },
}

/// A body on its way in.
pub struct Incoming {
    chunks: BoxStream<'static, Result<Bytes, IncomingError>>,
    fault: Fault,
}

/// What went wrong with a body, if anything did.
#[derive(Debug, Clone, Default)]
pub struct Fault(Arc<OnceLock<IncomingError>>);

impl Fault {
    /// The client's fault if there was one, or else what `error` says.
    pub fn or<E>(&self, error: impl FnOnce() -> E) -> E
    where
        E: From<IncomingError>,
    {
        match self.0.get() {
            Some(fault) => fault.clone().into(),
            None => error(),
        }
    }
}

impl Incoming {
    pub fn new(chunks: impl Stream<Item = Result<Bytes, IncomingError>> + Send + 'static) -> Self {
        Self {
            chunks: chunks.boxed(),
            fault: Fault::default(),
        }
    }

    pub fn fault(&self) -> Fault {
        self.fault.clone()
    }

    /// Reads it where one may wait.
    pub fn into_async_read(self) -> impl AsyncRead + Send + Unpin {
        StreamReader::new(self)
    }

    /// Splits it into a task that receives and a reader for a thread that may block.
    pub fn into_blocking(mut self) -> (impl Future<Output = ()> + Send, BlockingRead) {
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let feed = async move {
            while let Some(chunk) = self.next().await {
                if sender.send(chunk).await.is_err() {
                    break;
                }
            }
        };
        (
            feed,
            BlockingRead {
                chunks,
                now: Bytes::new(),
                zeros_at_end: 0,
            },
        )
    }
}

impl Stream for Incoming {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.chunks.poll_next_unpin(cx));
        Poll::Ready(next.map(|chunk| {
            chunk.map_err(|fault| {
                let _ = self.fault.0.set(fault.clone());
                io::Error::other(fault)
            })
        }))
    }
}

/// Reads a body from a thread that may block.
pub struct BlockingRead {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    now: Bytes,
    zeros_at_end: u64,
}

impl BlockingRead {
    /// How many zero bytes the body had at the end of what was read so far.
    pub fn zeros_at_end(&self) -> u64 {
        self.zeros_at_end
    }
}

impl io::Read for BlockingRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.now = chunk?,
            }
        }
        let count = into.len().min(self.now.len());
        let taken = self.now.split_to(count);
        into[..count].copy_from_slice(&taken);
        let zeros = taken.iter().rev().take_while(|byte| **byte == 0).count() as u64;
        let before = if zeros == count as u64 {
            self.zeros_at_end
        } else {
            0
        };
        self.zeros_at_end = before + zeros;
        Ok(count)
    }
}
