//! Guests in the real jail of this host, through the public API.
//!
//! Each test has its own backend. They need what a station needs: a kernel
//! that can build every wall, and `strongroom-jail` built beside this binary.
#![allow(clippy::unwrap_used)]

mod ahead;
#[cfg(target_arch = "x86_64")]
mod copies;
mod disks;
mod ends;
mod gateway;
mod house;
#[path = "../both/image.rs"]
mod image;
mod images;
mod kinds;
mod leaving;
mod logs;
#[cfg(feature = "mutation")]
mod mutants;
mod outputs;
mod packages;
mod randomness;
#[cfg(feature = "mutation")]
mod removed;
mod scripts;
mod stages;
mod values;
mod wardens;
