//! What the program says of its own work, to stderr.
//!
//! `STRONGROOM_LOG` chooses how much: `error`, `warn`, `info`, `debug`, or a
//! filter by module.

use tracing_subscriber::{EnvFilter, fmt};

/// Begins to log, at `level` unless the environment says otherwise.
pub fn start(level: &str) {
    let asked = std::env::var("STRONGROOM_LOG").unwrap_or_default();
    let filter = EnvFilter::try_new(if asked.is_empty() { level } else { &asked });
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(level));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is no harm: the first goes on.
    let _ = lines.with_ansi(false).try_init();
}
