//! The store's promises, kept by every database that we support.
//!
//! Each test is written once and runs on SQLite and on a PostgreSQL that the
//! tests start themselves. What belongs to the files alone is tried once.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod answers;
mod audit;
mod blobs;
mod data;
mod fixture;
mod full_disk;
mod home;
mod labels;
mod network;
mod people;
mod places;
mod postgres;
mod queue;
mod runtimes;
mod stages;
mod submissions;
mod transforms;
mod versions;
