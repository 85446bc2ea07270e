//! The one place that reads the clock and draws random numbers.
//!
//! Core takes both as arguments. A test moves its own clock; nothing waits for
//! real time to pass. The time of day may jump in either direction, so waits
//! are measured by the runtime's timers, which do not, and ids never go back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// The station's clock: the system's, moved by what a test asks for.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
    /// The latest time that an id was given.
    id_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX) + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The time for a new id: now, or a moment after the id before, since ids
    /// are the order of queues and lists.
    pub fn id_ms(&self) -> i64 {
        let now_ms = self.now_ms();
        let mut last = self.id_ms.load(Ordering::Relaxed);
        loop {
            let next = now_ms.max(last.saturating_add(1));
            let (done, failed) = (Ordering::Relaxed, Ordering::Relaxed);
            match self.id_ms.compare_exchange_weak(last, next, done, failed) {
                Ok(_) => return next,
                Err(other) => last = other,
            }
        }
    }

    /// Moves this clock and its clones, forward or back.
    pub fn advance(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

/// Draws random bytes from the kernel.
pub fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).expect("Linux since 3.17 has getrandom, and it does not fail");
    bytes
}
