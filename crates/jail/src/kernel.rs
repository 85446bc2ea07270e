//! What this host's kernel lets a warden build, found out by building it.
//!
//! At its start a warden prepares one empty slot with the very code that
//! prepares guests. If that slot becomes ready every wall stands; if it is
//! refused, the wall it names is missing and those after it were not reached.
//! Deliberately absent: version numbers and guesses.

use serde::{Deserialize, Serialize};

use crate::event::Tier;
use crate::protocol::Refusal;

/// One wall: whether it stands on this host, and what to do if not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    pub name: String,
    pub enforced: bool,
    /// Whether guests are refused without it. Only `proc` is not required: a
    /// guest without a `/proc` sees less, not more.
    pub required: bool,
    /// What was seen.
    pub found: String,
    /// What mends it, for an operator.
    pub fix: Option<String>,
}

/// What the warden found on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// The tier that was asked for, and whose walls these are.
    pub tier: Tier,
    /// Every wall, in the order it is built.
    pub walls: Vec<Wall>,
    /// 0 without Landlock.
    pub landlock_abi: u32,
    /// `v1`, `v2`, or `none`.
    pub cgroup: String,
    /// Whether the warden runs without root.
    pub ordinary_user: bool,
}

impl Kernel {
    /// The first wall that guests need and that does not stand.
    pub fn missing(&self) -> Option<&Wall> {
        self.walls
            .iter()
            .find(|wall| wall.required && !wall.enforced)
    }
}

pub(crate) const CGROUP: &str = "cgroup";
pub(crate) const NETWORK_NAMESPACE: &str = "network_namespace";
pub(crate) const USER_NAMESPACE: &str = "user_namespace";
pub(crate) const OTHER_NAMESPACES: &str = "mount_pid_ipc_uts_cgroup_namespaces";
pub(crate) const PRIVATE_ROOT: &str = "private_root";
pub(crate) const READ_ONLY_OVERLAY: &str = "read_only_overlay";
pub(crate) const BOUNDED_TMPFS: &str = "bounded_tmpfs";
pub(crate) const DEVICES: &str = "devices";
pub(crate) const PROC: &str = "proc";
pub(crate) const RESOURCE_LIMITS: &str = "resource_limits";
pub(crate) const CAPABILITIES: &str = "no_capabilities";
pub(crate) const NO_NEW_PRIVILEGES: &str = "no_new_privileges";
pub(crate) const LANDLOCK: &str = "landlock";
pub(crate) const DESCRIPTORS: &str = "descriptors";
pub(crate) const SECCOMP: &str = "seccomp";
/// Not a wall of every guest, but the way out that some are given.
pub(crate) const GATEWAY: &str = "gateway";
/// Not a wall of every guest, but where a large `/out` lies.
pub(crate) const DISK: &str = "disk";
/// Not a wall of every guest, but what copies of a zygote need besides.
pub(crate) const ZYGOTE: &str = "zygote";

/// Every wall: name, what it means when it stands, what mends it.
pub(crate) const WALLS: [(&str, &str, &str); 15] = [
    (
        CGROUP,
        "memory, processes and processor time are bounded for the whole tree",
        "as root, start the station in a service with `Delegate=yes`; as an ordinary user, start \
         it with `systemd-run --user --scope -p Delegate=yes`, or name a writable control group \
         directory in the configuration",
    ),
    (
        NETWORK_NAMESPACE,
        "an empty network of its own, loopback down",
        "sysctl -w user.max_net_namespaces=65536",
    ),
    (
        USER_NAMESPACE,
        "one user id, unprivileged inside and outside",
        "sysctl -w user.max_user_namespaces=65536; on Debian also \
         kernel.unprivileged_userns_clone=1; on Ubuntu install an AppArmor profile with `userns,`",
    ),
    (
        OTHER_NAMESPACES,
        "its own mounts, processes, IPC, host name and control group view",
        "inside a container, allow clone and unshare in its seccomp profile",
    ),
    (
        PRIVATE_ROOT,
        "pivoted into a private read-only root",
        "needs Linux 5.15 or later; inside a container, allow the mount calls and pivot_root",
    ),
    (
        READ_ONLY_OVERLAY,
        "every host directory behind a private read-only overlay",
        "modprobe overlay",
    ),
    (
        BOUNDED_TMPFS,
        "/tmp, /dev/shm and /out bounded, nothing in them executes",
        "",
    ),
    (
        DEVICES,
        "null, zero, full, random and urandom only",
        "mknod -m 666 /dev/null c 1 3 (etc.)",
    ),
    (
        PROC,
        "its own /proc with only its own processes",
        "in Docker, start the container with `--security-opt systempaths=unmasked`",
    ),
    (
        RESOURCE_LIMITS,
        "core, files, locked memory, queues and priorities limited",
        "",
    ),
    (
        CAPABILITIES,
        "no capability in any set, and none can return",
        "",
    ),
    (NO_NEW_PRIVILEGES, "no program can raise privileges", ""),
    (
        LANDLOCK,
        "every right of this version handled",
        "boot with `lsm=landlock,...`",
    ),
    (
        DESCRIPTORS,
        "descriptors 0 to 3 and no other",
        "needs Linux 5.11 or later",
    ),
    (
        SECCOMP,
        "only listed system calls",
        "needs CONFIG_SECCOMP_FILTER",
    ),
];

/// The names of the walls, in order; without `proc` where it is absent.
pub(crate) fn wall_names(proc: bool, disk: bool) -> Vec<String> {
    let walls = WALLS.iter().map(|(name, _, _)| *name);
    let standing = walls.filter(|name| proc || *name != PROC);
    standing
        .chain(disk.then_some(DISK))
        .map(str::to_owned)
        .collect()
}

/// The rows after a rehearsal: `Ok` tells whether `/proc` could be mounted.
/// Control groups are found or not before it, and do not hide what it tells.
pub(crate) fn walls(
    texts: &[(&str, &str, &str)],
    rehearsal: &Result<bool, Refusal>,
    no_groups: Option<&str>,
    landlock_abi: u32,
) -> Vec<Wall> {
    let broken = |name: &str| match rehearsal {
        _ if name == CGROUP && no_groups.is_some() => no_groups,
        Ok(proc) => (name == PROC && !proc).then_some("this host does not allow a new one"),
        Err(refusal) => (refusal.wall == name).then_some(refusal.detail.as_str()),
    };
    let known = |refusal: &Refusal| texts.iter().any(|(name, _, _)| *name == refusal.wall);
    let mut rows: Vec<Wall> = Vec::new();
    let mut reached = rehearsal.as_ref().err().is_none_or(known);
    rows.extend(
        rehearsal
            .as_ref()
            .err()
            .filter(|refusal| !known(refusal))
            .map(stranger),
    );
    for (name, meaning, fix) in texts.iter().copied() {
        let why_not = broken(name);
        let found = match why_not {
            Some(detail) => detail.to_owned(),
            None if !reached => "not reached: an earlier wall is missing".to_owned(),
            None if name == LANDLOCK => format!("every right of version {landlock_abi}"),
            None => meaning.to_owned(),
        };
        rows.push(Wall {
            name: name.to_owned(),
            enforced: reached && why_not.is_none(),
            required: name != PROC,
            found,
            fix: (why_not.is_some() && !fix.is_empty()).then(|| fix.to_owned()),
        });
        reached &= rehearsal
            .as_ref()
            .err()
            .is_none_or(|refusal| refusal.wall != name);
    }
    rows
}

/// A refusal that is no wall of the list, such as a keeper that could not start.
fn stranger(refusal: &Refusal) -> Wall {
    Wall {
        name: refusal.wall.clone(),
        enforced: false,
        required: true,
        found: refusal.detail.clone(),
        fix: None,
    }
}
