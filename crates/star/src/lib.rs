//! The Starlark guest: runs a transform's file inside the sandbox.
//!
//! It is a guest like any other: what it may reach is decided by the jail
//! around it, and every limit here only gives an earlier and clearer reason.
//! Absent: any crate of the station, unsafe code, and any way to a file that
//! the contract with guests does not name.

mod builtins;
pub mod check;
mod context;
pub mod dataset;
pub mod dialect;
pub mod events;
pub mod failure;
pub mod gateway;
pub mod guest;
mod handler;
pub mod host;
pub mod input;
pub mod loader;
pub mod modules;
pub mod network;
pub mod output;
pub mod rows;
pub mod run;
pub mod script;
pub mod source;
pub mod value;
