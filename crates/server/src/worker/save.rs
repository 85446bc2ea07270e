//! Versions of runs that nobody waits for: made as their runs end.
//!
//! It sleeps until a run ends that is to make a version. What an earlier start
//! of the station left is made first.

use std::time::Duration;

use tokio::time::sleep;

use crate::app::{App, error::chain};

/// How long it rests after the store failed it.
const REST: Duration = Duration::from_secs(5);

/// Makes versions of what has ended, until the station stops.
pub async fn save(app: App) {
    while let Err(error) = app.transforms_load().await {
        tracing::error!(error = chain(&error), "could not look for versions to make");
        tokio::select! {
            () = sleep(REST) => {}
            () = app.stop.cancelled() => return,
        }
    }
    loop {
        let rest = match app.transforms_settle().await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(error = chain(&error), "could not look for versions to make");
                Some(sleep(REST))
            }
        };
        tokio::select! {
            () = app.transforms.some_ended() => {}
            () = async { rest.expect("it is some").await }, if rest.is_some() => {}
            () = app.stop.cancelled() => return,
        }
    }
}
