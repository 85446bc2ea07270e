//! The Starlark guest: runs a transform's file inside the sandbox.
//!
//! It is a guest like any other: what it may reach is decided by the jail
//! around it, and every limit here only gives an earlier and clearer reason.
//! Absent: any crate of the station, unsafe code, and any way to a file that
//! the contract with guests does not name.

pub mod dialect;
pub mod host;
pub mod loader;
pub mod modules;
pub mod network;
