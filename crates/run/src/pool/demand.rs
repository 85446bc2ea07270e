//! How many guests should wait on one shelf, from who came and what failed.
//!
//! Time is an argument, and the guests themselves are only counted here.

use std::time::Duration;

use tokio::time::Instant;

/// How long after the last run a shelf is cleared.
pub(super) const IDLE_MS_MAX: u64 = 300_000;
/// How long what was never needed is watched before there is less of it.
const WINDOW_MS: u64 = 10_000;
/// The rest after a failure; it doubles with each one that follows.
const REST_MS: u64 = 100;
const REST_MS_MAX: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Demand {
    wanted: usize,
    /// The fewest that waited since `since`.
    low: usize,
    since: Instant,
    used: Instant,
    failures: u32,
    not_before: Instant,
}

/// What the keeper of a shelf does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Make,
    Rest(Instant),
    End,
}

impl Demand {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            wanted: 0,
            low: 0,
            since: now,
            used: now,
            failures: 0,
            not_before: now,
        }
    }

    /// A run took one, and this many are left.
    pub(super) fn taken(&mut self, left: usize, now: Instant) {
        self.used = now;
        self.low = self.low.min(left);
    }

    /// A run found nobody.
    pub(super) fn missed(&mut self, max: usize, now: Instant) {
        self.taken(0, now);
        self.wanted = (self.wanted + 1).min(max);
    }

    /// There is no room for more than these.
    pub(super) fn settle_for(&mut self, waiting: usize) {
        self.wanted = waiting;
    }

    /// One was made.
    pub(super) fn made(&mut self) {
        self.failures = 0;
    }

    /// One could not be made; answers how long to rest, in milliseconds.
    pub(super) fn failed(&mut self, now: Instant) -> u64 {
        let rest_ms = (REST_MS << self.failures.min(16)).min(REST_MS_MAX);
        self.failures += 1;
        self.not_before = now + Duration::from_millis(rest_ms);
        rest_ms
    }

    /// How many of `waiting` may stay.
    pub(super) fn kept(&mut self, waiting: usize, now: Instant) -> usize {
        if now < self.since + Duration::from_millis(WINDOW_MS) {
            return waiting;
        }
        // One more than was needed stays, for the next run.
        self.wanted = self.wanted.saturating_sub(self.low.saturating_sub(1));
        let kept = waiting.min(self.wanted);
        (self.since, self.low) = (now, kept);
        kept
    }

    /// What to do with this many waiting.
    pub(super) fn next(&self, waiting: usize, now: Instant) -> Next {
        let idle = self.used + Duration::from_millis(IDLE_MS_MAX);
        match waiting < self.wanted {
            _ if idle <= now => Next::End,
            true if self.not_before <= now => Next::Make,
            true => Next::Rest(self.not_before.min(idle)),
            false => Next::Rest(idle),
        }
    }
}
