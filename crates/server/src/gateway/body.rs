//! The body of an answer on its way to the guest.
//!
//! The rule: a body that ends without being told that it is whole is an error
//! to who reads it. An answer that was cut off must never look complete.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

/// Pieces that wait to be taken by a slow guest.
const PIECES_MAX: usize = 4;

pub enum Piece {
    Data(Bytes),
    /// All of it was there.
    End,
}

pub enum Body {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<Piece>),
    Done,
}

impl Body {
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// A body, and where its pieces go.
    pub fn pieces() -> (mpsc::Sender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        (sender, Self::Pieces(receiver))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Done => None,
            Self::Pieces(pieces) => match ready!(pieces.poll_recv(context)) {
                Some(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Piece::End) => {
                    *self = Self::Done;
                    None
                }
                None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            },
        };
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Done)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Pieces(_) => SizeHint::new(),
            Self::Done => SizeHint::with_exact(0),
        }
    }
}
