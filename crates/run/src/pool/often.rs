//! Who runs much: runs of late, by caller and runtime.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::zygotes::Key;

/// As many runs within the window are worth a zygote, which costs about as many
/// starts of an interpreter.
const OFTEN: u32 = 4;
const WINDOW: Duration = Duration::from_secs(5);
/// How many are remembered before the old ones are forgotten.
const REMEMBERED_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Often {
    seen: HashMap<Key, (Instant, u32)>,
}

impl Often {
    /// Notes one more run; whether there were many of late.
    pub(super) fn note(&mut self, key: &Key, now: Instant) -> bool {
        if REMEMBERED_MAX <= self.seen.len() {
            self.seen.retain(|_, (since, _)| now < *since + WINDOW);
        }
        let (since, count) = self.seen.entry(key.clone()).or_insert((now, 0));
        if *since + WINDOW <= now {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        OFTEN <= *count
    }
}
