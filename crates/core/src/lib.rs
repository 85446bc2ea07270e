//! The words and the rules of Strongroom.
//!
//! Everything here is a value or a function from values to values. There is
//! no I/O, no async, no clock and no randomness: what needs the time or a
//! random number takes it as an argument, so every rule can be tested in
//! microseconds and gives the same answer wherever it is asked.

pub mod approval;
pub mod config;
pub mod dependency;
pub mod digest;
pub mod event;
pub mod id;
pub mod inline;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod network;
pub mod permit;
pub mod plan;
pub mod request;
pub mod rule;
pub mod run;
pub mod runtime;
pub mod schema;
pub mod secret;
pub mod stage;
pub mod statistics;
pub mod step;
pub mod structure;
pub mod text;
pub mod transform;
pub mod tree;
pub mod version;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
