//! The walls of the reduced tier by name: what each means, what mends it.

use crate::kernel::{
    CAPABILITIES, DESCRIPTORS, LANDLOCK, NO_NEW_PRIVILEGES, RESOURCE_LIMITS, SECCOMP,
};

pub(super) const PRIVATE_FOLDER: &str = "private_folder";
pub(super) const WATCH: &str = "watch";
pub(super) const OWN_USER: &str = "own_user";
pub(super) const SIGNALS: &str = "landlock_signals";
pub(super) const PROCESSORS: &str = "processors";

/// Every wall, in the order it is built.
pub(super) const WALLS: [(&str, &str, &str); 11] = [
    (
        PRIVATE_FOLDER,
        "a folder of its own for code, inputs, /out and /tmp, seen at its real path",
        "set `folder` in [jail] to a folder that every user may enter and the station may write",
    ),
    (
        WATCH,
        "memory, processes and files are counted while it runs, and everything is found and ended",
        "needs a /proc with CONFIG_PROC_CHILDREN",
    ),
    (
        RESOURCE_LIMITS,
        "core, files, locked memory, queues and priorities limited",
        "",
    ),
    (
        PROCESSORS,
        "bound to as many processors as it may use",
        "allow sched_setaffinity",
    ),
    (
        OWN_USER,
        "a user of its own for each run",
        "run the station as root of its container, with the capabilities that Docker gives by \
         default; with remapped users set `uid_base` in [jail] to one that exists",
    ),
    (
        CAPABILITIES,
        "no capability in any set, and none can return",
        "",
    ),
    (NO_NEW_PRIVILEGES, "no program can raise privileges", ""),
    (
        SIGNALS,
        "signals do not leave the run though it is the station's own user",
        "needs Linux 6.12 or later, or a station that is root of its container",
    ),
    (
        LANDLOCK,
        "every right of this version handled; the only wall around files",
        "boot with `lsm=landlock,...`; Docker's seccomp profile allows it from 20.10.22 on",
    ),
    (
        DESCRIPTORS,
        "descriptors 0 to 3 and no other",
        "needs Linux 5.11 or later",
    ),
    (
        SECCOMP,
        "only listed system calls, without those that no census sees",
        "needs CONFIG_SECCOMP_FILTER",
    ),
];

/// Which of the two stands: a user of its own, or signals held by Landlock.
pub(super) fn absent(shares_user: bool) -> &'static str {
    match shares_user {
        true => OWN_USER,
        false => SIGNALS,
    }
}

/// The names of the walls that stand around a run.
pub(super) fn names(shares_user: bool) -> Vec<String> {
    let standing = WALLS.iter().map(|(name, _, _)| *name);
    standing
        .filter(|name| *name != absent(shares_user))
        .map(str::to_owned)
        .collect()
}
