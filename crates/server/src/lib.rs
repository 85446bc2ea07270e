//! The station: the HTTP door, the app behind it, and the worker.

pub mod api;
