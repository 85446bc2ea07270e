//! Who runs much: runs in the last second, by caller and runtime.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::zygotes::Key;

/// As many runs in a second are worth a zygote: about what it costs to load one.
const OFTEN: u32 = 4;
const SECOND: Duration = Duration::from_secs(1);
/// How many are remembered before those of earlier seconds are forgotten.
const REMEMBERED_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Often {
    seen: HashMap<Key, (Instant, u32)>,
}

impl Often {
    /// Notes one more run; whether there were many of late.
    pub(super) fn note(&mut self, key: &Key, now: Instant) -> bool {
        if REMEMBERED_MAX <= self.seen.len() {
            self.seen.retain(|_, (since, _)| now < *since + SECOND);
        }
        let (since, count) = self.seen.entry(key.clone()).or_insert((now, 0));
        if *since + SECOND <= now {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        OFTEN <= *count
    }
}
