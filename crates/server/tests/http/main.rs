//! A whole station behind its HTTP routes: one program, because each that is linked
//! holds the station once more.
#![allow(clippy::unwrap_used)]

mod archives;
mod bad_input;
mod connections;
mod datasets;
mod dependencies;
mod desk;
mod download;
mod follow;
mod gateway;
mod lacking;
#[cfg(feature = "mutation")]
mod mutants;
mod ordinary;
mod queue;
mod reduced;
mod routes;
mod runtimes;
mod secrets;
mod serving;
mod settings;
mod stages;
mod steps;
mod support;
mod transforms;
mod trial;
mod walk;
mod withheld;
