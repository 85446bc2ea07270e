//! The program as people use it, against stations of its own.
//!
//! Nothing is shared with the machine: each test has its own home, its own
//! configuration and its own station on a free port, found by the address
//! that it prints. What people read is snapshot; read a snapshot before you
//! change it.
#![allow(clippy::unwrap_used)]

mod access;
mod data;
mod datasets;
mod dockerfiles;
mod download;
mod ends;
mod engine;
mod halfway;
mod images;
mod kit;
mod large;
mod registry;
mod relay;
mod rules;
mod runtimes;
mod stages;
mod starlark;
mod station;
mod text;
mod transforms;
mod trial;
mod typescript;
mod walk;
