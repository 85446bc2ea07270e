//! Noting what became of a request, whatever becomes of it.
//!
//! A [`Note`] is begun with the request and ends as one [`RequestMade`]; one
//! that is dropped unfinished says so. It is told twice: before anything leaves
//! for a host, and before the guest has the whole of an answer; and both times
//! what follows waits until it is kept, so that whatever happens to the station
//! nothing was sent or answered that is not in the record. There are at most
//! [`REQUESTS_MAX`](super::REQUESTS_MAX) notes, and their channel holds all of
//! them.

use std::time::Instant;

use strongroom_core::{
    digest::Digest,
    network::made::{Answer, Outcome, RequestMade, TEXT_CHARS_MAX},
    text,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Mask,
    verdict::{Failed, NoAnswer},
};

/// A request that is to be kept, for which somebody may wait.
#[derive(Debug)]
pub struct Told {
    pub made: RequestMade,
    waits: Option<oneshot::Sender<()>>,
}

impl Told {
    /// Says that it is kept. One that is dropped was not.
    pub fn is_kept(self) {
        if let Some(waits) = self.waits {
            // Who has gone away does not want to know.
            let _ = waits.send(());
        }
    }
}

/// What is noted of one request.
pub struct Note {
    made: Option<RequestMade>,
    begun: Instant,
    to: mpsc::Sender<Told>,
    mask: Mask,
}

impl Note {
    pub fn begin(
        to: mpsc::Sender<Told>,
        mask: Mask,
        (number, at_ms): (u32, i64),
        (method, url): (&str, String),
    ) -> Self {
        let made = RequestMade {
            number,
            at_ms,
            method: text::shown(method, 32),
            url: text::shown(&mask.hide(url), TEXT_CHARS_MAX),
            outcome: NoAnswer::from(Failed::NotTaken).outcome(),
            status: None,
            sent_bytes: 0,
            body: None,
            received_bytes: 0,
            digest: None,
            duration_ms: 0,
            kept: None,
        };
        Self {
            made: Some(made),
            begun: Instant::now(),
            to,
            mask,
        }
    }

    /// The URL as it is noted, by which answers are found again.
    pub fn url(&self) -> &str {
        self.made.as_ref().map_or("", |made| made.url.as_str())
    }

    /// The answer has this status.
    pub fn status(&mut self, status: u16) {
        self.change(|made| made.status = Some(status));
    }

    /// The body that an answer which is kept was given to. None is said of a
    /// request without one.
    pub fn asked(&mut self, body: Digest) {
        self.change(|made| made.body = (made.sent_bytes != 0).then_some(body));
    }

    pub fn passed(&mut self, sent_bytes: u64, received_bytes: u64) {
        self.change(|made| (made.sent_bytes, made.received_bytes) = (sent_bytes, received_bytes));
    }

    /// Notes that the request is about to leave.
    ///
    /// # Errors
    ///
    /// [`Failed::NotNoted`]; then it must not leave.
    pub async fn leaves(&self) -> Result<(), Failed> {
        let made = self.made.clone().map(|made| RequestMade {
            outcome: Outcome::Begun,
            ..made
        });
        self.tell(made).await
    }

    /// A whole answer is about to be passed on.
    ///
    /// # Errors
    ///
    /// [`Failed::NotNoted`]; then its end must not be passed on.
    pub async fn answered(
        mut self,
        digest: Option<Digest>,
        kept: Option<Answer>,
    ) -> Result<(), Failed> {
        self.change(|made| {
            made.outcome = Outcome::Answered;
            (made.digest, made.kept) = (digest, kept);
        });
        self.end().await
    }

    /// An earlier answer is given again.
    ///
    /// # Errors
    ///
    /// As [`Note::answered`].
    pub async fn replayed(mut self, digest: Digest) -> Result<(), Failed> {
        self.change(|made| {
            made.outcome = Outcome::Replayed;
            made.digest = Some(digest);
        });
        self.end().await
    }

    /// There is no answer, or not all of one.
    pub async fn ended(mut self, why: &NoAnswer) {
        let outcome = match why.outcome() {
            Outcome::Refused { code, why } => Outcome::Refused {
                code,
                why: self.shown(why),
            },
            Outcome::Failed { code, why } => Outcome::Failed {
                code,
                why: self.shown(why),
            },
            other => other,
        };
        self.change(|made| made.outcome = outcome);
        // The guest is told of no answer either way.
        let _ = self.end().await;
    }

    async fn end(mut self) -> Result<(), Failed> {
        let made = self.made.take();
        let made = made.map(|made| self.timed(made));
        self.tell(made).await
    }

    async fn tell(&self, made: Option<RequestMade>) -> Result<(), Failed> {
        let (waits, kept) = oneshot::channel();
        let told = made.map(|made| Told {
            made,
            waits: Some(waits),
        });
        let told = told.ok_or(Failed::NotNoted)?;
        self.to.try_send(told).map_err(|_| Failed::NotNoted)?;
        kept.await.map_err(|_| Failed::NotNoted)
    }

    fn timed(&self, made: RequestMade) -> RequestMade {
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        RequestMade {
            duration_ms,
            ..made
        }
    }

    fn shown(&self, why: String) -> String {
        text::shown(&self.mask.hide(why), TEXT_CHARS_MAX)
    }

    fn change(&mut self, change: impl FnOnce(&mut RequestMade)) {
        if let Some(made) = &mut self.made {
            change(made);
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let Some(made) = self.made.take() else {
            return;
        };
        let told = Told {
            made: self.timed(made),
            waits: None,
        };
        if self.to.try_send(told).is_err() {
            tracing::error!("a request of a download could not be noted");
        }
    }
}
