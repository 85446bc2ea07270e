//! Launches guests, and takes what comes out of them.
//!
//! From a permit and a job to an ended run: the runtime is furnished, the
//! jail is built, the guest runs, its log and its returned value are read
//! while it does, and its files are collected once it is dead. Nothing here
//! can reach the database, and nothing that a guest wrote is trusted.

mod backend;
mod beginning;
mod beneath;
pub mod build;
pub mod collect;
mod disk;
pub mod docker;
mod guest;
pub mod image;
pub mod job;
pub mod local;
pub mod log;
#[doc(hidden)]
pub mod mutation;
mod pool;
pub mod prepare;
pub mod prepared;
mod program;
mod reason;
pub mod result;
pub mod runtime;
mod slot;
pub mod stages;
pub mod terminal;
mod waiting;
mod zygotes;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use backend::Backend;
pub use build::Build;
pub use collect::{CollectError, OutFolder};
pub use disk::{DiskError, OUT_IN_MEMORY_BYTES_MAX};
pub use docker::{Docker, DockerConfig, EngineError};
pub use job::{Job, Reach};
pub use local::{Local, LocalConfig, StartError};
pub use log::LogChunk;
pub use prepare::PrepareError;
pub use prepared::{Ended, Prepared};
pub use program::lay_program;
pub use runtime::{Dependencies, Furniture, RuntimeError, Runtimes, program_of_starlark};
pub use stages::{Carried, Course};
pub use strongroom_jail::{Kernel, Tier, Wall};
pub use terminal::Terminal;

/// Becomes the warden, or the first process of a container, and never returns, if
/// this process was started to be one. Call it first thing in `main`, before there is a second thread.
pub fn become_warden_if_asked() {
    strongroom_jail::inside::main_if_asked();
    strongroom_jail::warden::main_if_asked();
}
