//! A run's files on their way from `/out` into the blob store.
//!
//! All of them or none: a file that is refused refuses the others too.

use std::io;

use strongroom_core::{
    limits::Limits,
    run::{OutputFile, Reason},
};
use strongroom_run::OutFolder;

use crate::app::App;

/// Takes every file.
///
/// # Errors
///
/// The reason that the run ends with.
pub async fn collect(
    app: &App,
    out: Option<OutFolder>,
    limits: Limits,
) -> Result<Vec<OutputFile>, Reason> {
    let Some(out) = out else {
        return Ok(Vec::new());
    };
    let blobs = app.store.blobs().clone();
    let collected = tokio::task::spawn_blocking(move || {
        out.collect(&limits, |_, size, reader| {
            let put = blobs.put_reader(reader, size).map_err(io::Error::other)?;
            Ok(put.digest)
        })
    });
    match collected.await {
        Ok(Ok(files)) => Ok(files),
        Ok(Err(error)) => {
            let reason = error.reason();
            if matches!(reason, Reason::HostError { .. }) {
                tracing::error!(
                    error = crate::app::error::chain(&error),
                    "could not take outputs"
                );
            }
            Err(reason)
        }
        Err(error) => {
            tracing::error!(%error, "taking outputs panicked");
            Err(Reason::HostError {
                what: "the outputs could not be taken".to_owned(),
            })
        }
    }
}
