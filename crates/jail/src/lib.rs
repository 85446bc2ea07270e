//! The cage: runs a program that nobody trusts, inside every wall or not at all.
//!
//! A [`Jail`] says what a guest may see and use. Sealing it against a
//! [`Kernel`] gives a `Jail<Sealed>`, and only that can be prepared by a
//! [`Warden`], the handle of a small single-threaded process that builds
//! sandboxes. A slot is first *prepared* (every wall stands, the guest waits
//! just before its first instruction) and then *started*.
//!
//! The rule: all walls of the tier that was asked for, or none. A step that
//! fails is a refusal that names the wall, and nothing of the guest has run.
//! Deliberately absent: falling back to a weaker tier, any async code, and any knowledge of what the guest is for.

mod cage;
mod cgroup;
mod disk;
mod event;
pub mod inside;
mod jail;
mod kernel;
mod limits;
#[cfg(not(feature = "mutation"))]
mod mutation;
#[cfg(feature = "mutation")]
pub mod mutation;
mod protocol;
mod reduced;
mod seccomp;
mod supervisor;
mod syscall;
pub mod warden;
mod wire;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use disk::{DISK_BLOCK_BYTES, disk_rehearse};
pub use event::{Cause, Enforced, Event, Exit, SlotId, Status, Tier};
pub use jail::{
    Attachment, GATEWAY, Jail, Open, Outline, Program, SealError, Sealed, Shown, Waiting,
};
pub use kernel::{Kernel, Wall};
pub use limits::{LimitError, Limits};
pub use seccomp::engine::{Network, profile as engine_profile};
pub use supervisor::{Door, Pipes, WORK_BYTES_MAX, Warden, WardenConfig, WardenError};
