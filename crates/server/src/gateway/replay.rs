//! Answers of an earlier run, given again in its order with the network off.
//!
//! The n-th request of a method, a URL and a body gets what the n-th such
//! request got.
//! Whatever else is asked for is refused: a run that is replayed reaches
//! nobody, and what it makes of the same answers is its own doing alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_LENGTH, HeaderName, HeaderValue},
};
use strongroom_core::{
    digest::Digest,
    network::made::{Answer, RequestMade},
};
use strongroom_store::Blobs;
use tokio::{fs::File, io::AsyncReadExt as _, time::timeout};

use super::{
    body::{Body, Piece},
    ms,
    note::Note,
    sent,
    session::Inner,
    verdict::{Failed, NoAnswer, Refused},
};

/// What is read of a kept answer at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What an answer is the answer to: a method, a URL and a body.
type Asked = (String, String, Digest);
/// In the order in which they were asked for.
type Left = HashMap<Asked, VecDeque<(StatusCode, Answer)>>;

/// Kept answers by what was asked.
#[derive(Debug, Default)]
pub struct Answers {
    left: Mutex<Left>,
}

impl Answers {
    /// Those of these requests that were kept.
    pub fn of(requests: impl IntoIterator<Item = RequestMade>) -> Self {
        let mut left = Left::new();
        for made in requests {
            let status = made.status.and_then(|code| StatusCode::from_u16(code).ok());
            if let (Some(status), Some(answer)) = (status, made.kept) {
                let body = match (made.body, made.sent_bytes) {
                    (Some(body), _) => body,
                    (None, 0) => Digest::of(b""),
                    // Nobody noted what it was an answer to.
                    (None, _) => continue,
                };
                let key = (made.method, made.url, body);
                left.entry(key).or_default().push_back((status, answer));
            }
        }
        Self {
            left: Mutex::new(left),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    fn take(&self, asked: &Asked) -> Option<(StatusCode, Answer)> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get_mut(asked)?.pop_front()
    }
}

/// Takes all of a guest's body, which goes no further; its length and digest.
async fn taken(session: &Inner, request: Request<Incoming>) -> Result<(u64, Digest), Failed> {
    let bounds = *session.gateway.bounds();
    let (request, tally) = sent::counted(request);
    let mut body = request.into_body();
    let taking = async {
        loop {
            let next = timeout(ms(bounds.idle_ms_max), body.frame()).await;
            match next.map_err(|_| Failed::TooSlow("the request"))? {
                None => return Ok(()),
                Some(Err(_)) => return Err(Failed::NotSent),
                Some(Ok(_)) if bounds.sent_bytes_max < tally.bytes() => return Err(Failed::Spent),
                Some(Ok(_)) => {}
            }
        }
    };
    let whole = timeout(ms(bounds.whole_ms_max), taking).await;
    whole.map_err(|_| Failed::TooSlow("the request"))??;
    let digest = tally.whole().ok_or(Failed::NotSent)?;
    Ok((tally.bytes(), digest))
}

/// Gives the next such answer again.
pub async fn replay(
    session: &Arc<Inner>,
    answers: &Answers,
    blobs: &Blobs,
    request: Request<Incoming>,
    mut note: Note,
) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let found = find(session, answers, blobs, request, note.url()).await;
    let (sent, (status, answer), mut file) = match found {
        Ok(found) => found,
        Err(why) => {
            note.ended(&why).await;
            return why.response();
        }
    };
    note.status(status.as_u16());
    let (pieces, body) = Body::pieces();
    let stop = session.stop.clone();
    session.tasks.spawn(async move {
        let mut received = 0;
        let passed = async {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let length = file.read(&mut piece).await.map_err(|_| Failed::Kept)?;
                piece.truncate(length);
                received += length as u64;
                let taken = match length {
                    0 => return Ok(()),
                    _ => pieces.send(Piece::Data(piece.into())).await,
                };
                taken.map_err(|_| Failed::NotTaken)?;
            }
        };
        let passed = tokio::select! {
            passed = passed => passed,
            () = stop.cancelled() => Err(Failed::NotTaken),
        };
        note.passed(sent, received);
        match passed {
            Ok(()) => {
                if note.replayed(answer.body).await.is_ok() {
                    let _ = pieces.send(Piece::End).await;
                }
            }
            Err(why) => note.ended(&why.into()).await,
        }
    });
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in &answer.headers {
        let pair = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
        // A length of another body than the one that was kept cannot be said.
        if let (Ok(name), Ok(value)) = pair
            && (name != CONTENT_LENGTH || !is_head)
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The length of a guest's body, the next answer to what it asks, and the
/// answer's own body.
async fn find(
    session: &Inner,
    answers: &Answers,
    blobs: &Blobs,
    request: Request<Incoming>,
    url: &str,
) -> Result<(u64, (StatusCode, Answer), File), NoAnswer> {
    let method = request.method().to_string();
    let (sent, body) = taken(session, request).await?;
    let found = answers.take(&(method, url.to_owned(), body));
    let found = found.ok_or(Refused::NotRecorded)?;
    let file = blobs.open(&found.1.body).await.map_err(|error| {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "could not find a kept answer");
        Failed::Kept
    })?;
    Ok((sent, found, file))
}
