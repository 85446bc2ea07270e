//! Noting what became of a request, whatever becomes of it.
//!
//! A [`Note`] is begun with the request and ends as one [`RequestMade`]; one
//! that is dropped unfinished says so. There are at most
//! [`REQUESTS_MAX`](super::REQUESTS_MAX) notes, and their channel holds all of
//! them, so noting never waits.

use std::time::Instant;

use strongroom_core::{
    digest::Digest,
    network::made::{Answer, Outcome, RequestMade, TEXT_CHARS_MAX},
    text,
};
use tokio::sync::mpsc;

use super::{
    Mask,
    verdict::{Failed, NoAnswer},
};

/// What is noted of one request.
pub struct Note {
    made: Option<RequestMade>,
    begun: Instant,
    to: mpsc::Sender<RequestMade>,
    mask: Mask,
}

impl Note {
    pub fn begin(
        to: mpsc::Sender<RequestMade>,
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

    pub fn passed(&mut self, sent_bytes: u64, received_bytes: u64) {
        self.change(|made| (made.sent_bytes, made.received_bytes) = (sent_bytes, received_bytes));
    }

    /// A whole answer was passed on.
    pub fn answered(mut self, digest: Option<Digest>, kept: Option<Answer>) {
        self.change(|made| {
            made.outcome = Outcome::Answered;
            (made.digest, made.kept) = (digest, kept);
        });
    }

    /// An earlier answer was given again.
    pub fn replayed(mut self, digest: Digest) {
        self.change(|made| {
            made.outcome = Outcome::Replayed;
            made.digest = Some(digest);
        });
    }

    /// There was no answer, or not all of one.
    pub fn ended(mut self, why: &NoAnswer) {
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
        let Some(mut made) = self.made.take() else {
            return;
        };
        made.duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.to.try_send(made).is_err() {
            tracing::error!("a request of a download could not be noted");
        }
    }
}
