//! One request to its host, and the answer on its way back.
//!
//! The connection is made for this request and ends with it. The answer passes
//! piece by piece, is counted and hashed as it passes, and its last piece is
//! passed on only when the whole of it was there, and kept where it is to be.

use std::{io, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Incoming},
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use strongroom_core::{digest::Digest, network::made::Answer};
use strongroom_run::mutation::{Wall, bound};
use strongroom_store::{BlobPut, Blobs};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

use super::{
    Bounds, FIELDS_MAX, HEAD_BYTES_MAX, Mode,
    body::{Body, Piece},
    headers,
    meter::is_spent,
    ms,
    note::Note,
    sent::{self, Sent, Tally},
    session::Inner,
    target::Target,
    verdict::{Failed, NoAnswer, Refused},
};

/// Pieces that wait to be written where answers are kept.
const PIECES_KEPT_MAX: usize = 4;

/// Asks the host, and answers as soon as the head of its answer is there.
pub async fn exchange(
    session: &Arc<Inner>,
    target: &Target,
    request: Request<Incoming>,
    mut note: Note,
) -> Response<Body> {
    let (request, sent) = sent::counted(request);
    if let Err(why) = note.leaves().await {
        return NoAnswer::from(why).response();
    }
    let asked = ask(session, target, request);
    let asked = timeout(ms(session.gateway.bounds().whole_ms_max), asked).await;
    let answer = match asked.unwrap_or_else(|_| Err(Failed::TooSlow("the request").into())) {
        Ok(answer) => answer,
        Err(why) => {
            note.passed(sent.bytes(), 0);
            note.ended(&why).await;
            return why.response();
        }
    };
    let (mut parts, incoming) = answer.into_parts();
    headers::of_answer(&mut parts.headers);
    // Such as the words beside the status.
    parts.extensions.clear();
    note.status(parts.status.as_u16());
    let kept = match &session.mode {
        Mode::Record(blobs) => Some((blobs.clone(), shown(session, &parts.headers))),
        Mode::Live | Mode::Replay(..) => None,
    };
    let (pieces, body) = Body::pieces();
    let is_empty = incoming.is_end_stream();
    let passing = Passing {
        session: Arc::clone(session),
        pieces,
        sent,
        received: 0,
        length: incoming.size_hint().exact(),
        hasher: Sha256::new(),
        held: None,
    };
    let passed = passing.pass(incoming, note, kept);
    match is_empty {
        // Its head is all there is, so it is noted before.
        true => passed.await,
        false => drop(session.tasks.spawn(passed)),
    }
    Response::from_parts(parts, body)
}

/// The headers as they are kept: a host may say again what it was told.
fn shown(session: &Inner, headers: &hyper::HeaderMap) -> Vec<(String, String)> {
    let texts = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let name = name.as_str().to_owned();
        (session.mask.hide(name), session.mask.hide(value))
    });
    texts.collect()
}

async fn ask(
    session: &Arc<Inner>,
    target: &Target,
    request: Request<Sent>,
) -> Result<Response<Incoming>, NoAnswer> {
    let bounds = *session.gateway.bounds();
    let stream = session.gateway.dial(target, &session.budget).await?;
    let (mut parts, body) = request.into_parts();
    headers::of_request(&mut parts.headers);
    let host = HeaderValue::try_from(target.authority()).map_err(|_| Refused::Target)?;
    parts.headers.insert(HOST, host);
    parts.uri = target.path.parse().map_err(|_| Refused::Target)?;
    parts.version = hyper::Version::HTTP_11;
    parts.extensions.clear();
    let is_head = parts.method == Method::HEAD;
    let request = Request::from_parts(parts, body);
    let handshake = http1::Builder::new()
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(no_answer)?;
    let stop = session.stop.clone();
    session.tasks.spawn(async move {
        tokio::select! {
            // How it ended is told to who waits for the answer.
            _ = connection => {}
            () = stop.cancelled() => {}
        }
    });
    let answer = timeout(ms(bounds.head_ms_max), sender.send_request(request)).await;
    let answer = answer.map_err(|_| Failed::TooSlow("the answer"))?;
    let answer = answer.map_err(no_answer)?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failed::Answer("it changes the protocol".to_owned()).into());
    }
    let length = answer.body().size_hint().lower();
    match answer_bytes_max(&bounds) < length && !is_head {
        true => Err(Failed::TooLong(bounds.answer_bytes_max).into()),
        false => Ok(answer),
    }
}

fn answer_bytes_max(bounds: &Bounds) -> u64 {
    bound(Wall::GatewayAnswerBytes, bounds.answer_bytes_max)
}

fn no_answer(error: hyper::Error) -> NoAnswer {
    let failed = match () {
        () if is_spent(&error) => Failed::Spent,
        () if error.is_user() => Failed::NotSent,
        () => Failed::Answer(chain(&error)),
    };
    failed.into()
}

/// The message with those of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// An answer's body on its way to the guest.
struct Passing {
    session: Arc<Inner>,
    pieces: mpsc::Sender<Piece>,
    sent: Tally,
    received: u64,
    /// The length that the answer's head said.
    length: Option<u64>,
    hasher: Sha256,
    /// What makes the answer complete to who knows its length: it is passed on
    /// when it is noted, and kept where it is to be.
    held: Option<Bytes>,
}

type Keeping = mpsc::Sender<io::Result<Bytes>>;

impl Passing {
    /// Passes the body on, and notes how that went.
    async fn pass(
        mut self,
        incoming: Incoming,
        mut note: Note,
        kept: Option<(Blobs, Vec<(String, String)>)>,
    ) {
        let session = Arc::clone(&self.session);
        let whole_max = ms(session.gateway.bounds().whole_ms_max);
        let passed = async {
            match kept {
                None => self.pass_all(incoming, None).await.map(|()| None),
                Some((blobs, headers)) => {
                    let put = self.pass_and_keep(incoming, &blobs).await?;
                    let body = put.digest;
                    Ok(Some(Answer { headers, body }))
                }
            }
        };
        let passed = tokio::select! {
            biased;
            () = session.stop.cancelled() => Err(Failed::NotTaken),
            passed = timeout(whole_max, passed) => {
                passed.unwrap_or(Err(Failed::TooSlow("the answer")))
            }
        };
        note.passed(self.sent.bytes(), self.received);
        match passed {
            Ok(kept) => {
                let digest = Digest::from_bytes(self.hasher.clone().finalize().into());
                // An answer to part of a request is the answer to no request.
                let whole = self.sent.whole();
                let kept = kept.zip(whole).map(|(answer, asked)| {
                    note.asked(asked);
                    answer
                });
                if note.answered(Some(digest), kept).await.is_err() {
                    return;
                }
                // Whoever waits for it no longer is of no account.
                let held = self.held.map(Piece::Data);
                for piece in held.into_iter().chain([Piece::End]) {
                    let _ = self.pieces.send(piece).await;
                }
            }
            Err(why) => note.ended(&why.into()).await,
        }
    }

    async fn pass_and_keep(
        &mut self,
        incoming: Incoming,
        blobs: &Blobs,
    ) -> Result<BlobPut, Failed> {
        let (keeping, pieces) = mpsc::channel(PIECES_KEPT_MAX);
        let reader = StreamReader::new(ReceiverStream::new(pieces));
        let put = blobs.put(reader, None, u64::MAX);
        let (passed, put) = tokio::join!(self.pass_all(incoming, Some(keeping)), put);
        passed?;
        put.map_err(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "could not keep an answer");
            Failed::Kept
        })
    }

    async fn pass_all(
        &mut self,
        mut incoming: Incoming,
        keeping: Option<Keeping>,
    ) -> Result<(), Failed> {
        let passed = self.pass_pieces(&mut incoming, keeping.as_ref()).await;
        if let (Err(_), Some(keeping)) = (&passed, keeping) {
            // Half an answer is not kept.
            let _ = keeping.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
        }
        passed
    }

    async fn pass_pieces(
        &mut self,
        incoming: &mut Incoming,
        keeping: Option<&Keeping>,
    ) -> Result<(), Failed> {
        let bounds = *self.session.gateway.bounds();
        loop {
            let next = timeout(ms(bounds.idle_ms_max), incoming.frame()).await;
            let frame = match next.map_err(|_| Failed::TooSlow("the answer"))? {
                None => return Ok(()),
                Some(Ok(frame)) => frame,
                Some(Err(error)) if is_spent(&error) => return Err(Failed::Spent),
                Some(Err(error)) => return Err(Failed::BrokenOff(chain(&error))),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.received += data.len() as u64;
            if answer_bytes_max(&bounds) < self.received {
                return Err(Failed::TooLong(bounds.answer_bytes_max));
            }
            self.hasher.update(&data);
            if let Some(keeping) = keeping {
                let kept = keeping.send(Ok(data.clone())).await;
                kept.map_err(|_| Failed::Kept)?;
            }
            if self.length == Some(self.received) {
                self.held = Some(data);
                continue;
            }
            let taken = self.pieces.send(Piece::Data(data)).await;
            taken.map_err(|_| Failed::NotTaken)?;
        }
    }
}
