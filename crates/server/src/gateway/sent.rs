//! The body of a guest's request on its way out, counted and hashed.
//!
//! Its digest is part of what was asked: two requests of one method and one
//! URL with different bodies are two questions. Deliberately absent: any part
//! of the body itself.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    Request,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
};
use sha2::{Digest as _, Sha256};
use strongroom_core::digest::Digest;

/// What has passed of one body.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Passed>>);

#[derive(Default)]
struct Passed {
    bytes: u64,
    hasher: Sha256,
    is_whole: bool,
}

impl Tally {
    pub fn bytes(&self) -> u64 {
        self.passed().bytes
    }

    /// The digest of the body, if all of it has passed.
    pub fn whole(&self) -> Option<Digest> {
        let passed = self.passed();
        let digest = || Digest::from_bytes(passed.hasher.clone().finalize().into());
        passed.is_whole.then(digest)
    }

    fn passed(&self) -> MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is counted as it is taken.
pub struct Sent {
    body: Incoming,
    tally: Tally,
}

/// The same request, and the count of its body.
pub fn counted(request: Request<Incoming>) -> (Request<Sent>, Tally) {
    let tally = Tally::default();
    let counts = tally.clone();
    let request = request.map(|body| {
        counts.passed().is_whole = body.is_end_stream();
        Sent {
            body,
            tally: counts,
        }
    });
    (request, tally)
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let mut passed = self.tally.passed();
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            passed.bytes += data.len() as u64;
            passed.hasher.update(data);
        }
        // Who knows the length does not ask for the end.
        passed.is_whole |= frame.is_none() || self.body.is_end_stream();
        drop(passed);
        // Trailers are for one connection, and end a body.
        Poll::Ready(frame.filter(|frame| !matches!(frame, Ok(frame) if frame.is_trailers())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
