//! Guests in a box that somebody else builds: a container of an engine.
//!
//! The engine makes the namespaces, the control group and the mounts. Its
//! container runs this very program as its first process, which looks whether
//! the box is what was ordered, walks a child into the walls that need no
//! privilege (resource limits, Landlock, the same system call filter as in the
//! jail), attends to it, and tells the station what it saw. It speaks on its
//! own descriptors 0 and 1, which no guest ever holds.
//!
//! The rule: everything that was ordered, or a refusal that names the wall, and
//! nothing of the guest has run. Absent on purpose: trust of the station in what
//! is said from in here; it reads frames as it reads anything of a guest's.

mod attend;
mod charge;
mod child;
mod gather;
mod handover;
mod look;
mod measure;
mod station;
mod words;

use std::ffi::OsStr;

use crate::syscall;

pub use handover::{Handover, SOCKET};
pub use words::{
    Bytes, Entry, FRAME_LEN_MAX, FromInside, Kind, ORDER_LEN_MAX, Order, Seen, ToInside, Unframed,
    Voice, frame,
};

/// The word that makes this program the first process of a container.
pub const ARGUMENT: &str = "--inside-a-container";

/// The walls of a container by name, and what each means.
pub const WALLS: [(&str, &str); 12] = [
    (
        look::FIRST_PROCESS,
        "processes of its own, of which the station's is the first",
    ),
    (look::OWN_USER, "an unprivileged user"),
    (
        crate::kernel::NO_NEW_PRIVILEGES,
        "no program can raise privileges",
    ),
    (
        look::CONTROL_GROUP,
        "memory, processes and processor time are bounded for the whole tree",
    ),
    (look::NO_NETWORK, "no network but a loopback of its own"),
    (look::READ_ONLY_ROOT, "a root that cannot be written"),
    (
        crate::kernel::BOUNDED_TMPFS,
        "/tmp, /dev/shm and /out bounded, nothing in them executes",
    ),
    (
        look::ENGINE_SECCOMP,
        "only listed system calls, by the engine's filter",
    ),
    (
        crate::kernel::RESOURCE_LIMITS,
        "core, files, locked memory, queues and priorities limited",
    ),
    (
        crate::kernel::CAPABILITIES,
        "no capability in any set, and none can return",
    ),
    (
        crate::kernel::LANDLOCK,
        "every right handled; only what the run is given can be opened",
    ),
    (
        crate::kernel::SECCOMP,
        "only listed system calls, by the guest's own filter",
    ),
];

/// Becomes the first process of a container and never returns, if this process
/// was started to be one. Must come first in `main`, before any thread.
pub fn main_if_asked() {
    let asked = std::env::args_os().nth(1);
    let is_first = rustix::process::getpid().is_init();
    if asked.as_deref() != Some(OsStr::new(ARGUMENT)) || !is_first {
        return;
    }
    let code = attend::live();
    syscall::exit_now(code)
}
