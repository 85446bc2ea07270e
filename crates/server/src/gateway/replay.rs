//! Answers of an earlier run, given again in its order with the network off.
//!
//! The n-th request of a method and a URL gets what the n-th such request got.
//! Whatever else is asked for is refused: a run that is replayed reaches
//! nobody, and what it makes of the same answers is its own doing alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, HeaderName, HeaderValue},
};
use strongroom_core::network::made::{Answer, RequestMade};
use strongroom_store::Blobs;
use tokio::io::AsyncReadExt as _;

use super::{
    body::{Body, Piece},
    note::Note,
    session::Inner,
    verdict::{Failed, NoAnswer, Refused},
};

/// What is read of a kept answer at once.
const PIECE_BYTES: usize = 64 * 1024;

/// By method and URL, in the order in which they were asked for.
type Left = HashMap<(String, String), VecDeque<(StatusCode, Answer)>>;

/// Kept answers by method and URL.
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
                let key = (made.method, made.url);
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

    fn take(&self, method: &str, url: &str) -> Option<(StatusCode, Answer)> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get_mut(&(method.to_owned(), url.to_owned()))?
            .pop_front()
    }
}

/// Gives the next such answer again.
pub async fn replay(
    session: &Arc<Inner>,
    answers: &Answers,
    blobs: &Blobs,
    method: &str,
    mut note: Note,
) -> Response<Body> {
    let found = answers.take(method, note.url());
    let Some((status, answer)) = found else {
        let why = NoAnswer::from(Refused::NotRecorded);
        note.ended(&why).await;
        return why.response();
    };
    let mut file = match blobs.open(&answer.body).await {
        Ok(file) => file,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not find a kept answer"
            );
            let why = NoAnswer::from(Failed::Kept);
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
        note.passed(0, received);
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
            && (name != CONTENT_LENGTH || method != "HEAD")
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}
