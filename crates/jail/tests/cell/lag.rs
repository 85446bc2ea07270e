//! How far behind this machine is, so that a promise in seconds can be kept to
//! the second on a quiet one and is not broken by a busy one.
//!
//! A thread asks to be woken every few milliseconds and notes how late that
//! came. What is measured beside it may take as much longer, once for each
//! process that has to be woken in turn. Deliberately absent: a fixed allowance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it asks.
const EACH: Duration = Duration::from_millis(5);
/// From whoever is killed to the last of a guest's tree, and who looks on.
const IN_TURN: u32 = 12;

pub struct Lag {
    worst_us: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lag {
    pub fn watch() -> Self {
        let (worst_us, over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (worst, is_over) = (Arc::clone(&worst_us), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::park_timeout(EACH);
                let late = begun.elapsed().saturating_sub(EACH).as_micros();
                worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self {
            worst_us,
            over,
            thread: Some(thread),
        }
    }

    /// What `promised` comes to on this machine, as far as it is known by now.
    pub fn allowed(&self, promised: Duration) -> Duration {
        promised + Duration::from_micros(self.worst_us.load(Ordering::Relaxed)) * IN_TURN
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
