//! One table of programs, run in the jail of this host and in containers of a
//! real Docker Engine: whatever ends one way in the one ends so in the other.
//!
//! The engine is this suite's own, with its own data and socket and no network.
//! Where none is installed, or this user may not start one, the jail's half
//! still runs, and the other says that it did not.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod builds;
mod containers;
mod elsewhere;
mod engine;
mod gateway;
mod house;
#[path = "../both/image.rs"]
mod image;
mod kinds;
mod programs;
mod trouble;
