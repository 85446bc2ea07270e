//! The station: the HTTP door, the app behind it, and the worker.
//!
//! Three descents, none of which ever calls upwards. `http` parses text into
//! types, the `app` decides and changes things through the store, and the
//! `worker` takes what was approved and runs it. A trial run takes the last
//! way only, without a store.

pub mod api;
pub mod app;
mod backend;
pub mod config;
pub mod dependencies;
mod doctor;
pub mod gateway;
pub mod http;
pub mod registry;
mod serve;
mod table;
pub mod trial;
mod worker;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use backend::BackendError;
pub use config::{BackendKind, Config, ConfigError};
pub use doctor::doctor;
pub use http::openapi;
pub use serve::{Ready, ServeError, TOKEN_FILE_NAME, serve};
pub use strongroom_run::image;
pub use worker::{Worker, save};

/// Becomes the jail's warden and never returns, if this process was started
/// to be one. Call it first thing in `main`, before there is a second thread.
pub fn become_warden_if_asked() {
    strongroom_run::become_warden_if_asked();
}
