//! Reading the kernel's description of hierarchies.
#![allow(clippy::unwrap_used)]

use super::*;

#[track_caller]
fn own(mount: &str, groups: &str, expected: Option<&str>) {
    let found = hierarchy(mount, groups).map(|one| one.own);
    assert_eq!(found.as_deref(), expected.map(Path::new));
}

#[test]
fn a_group_of_version_2_lies_below_its_mount() {
    let mount = "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw";
    own(
        mount,
        "0::/system.slice/s.service\n",
        Some("/sys/fs/cgroup/system.slice/s.service"),
    );
    own(mount, "0::/\n", Some("/sys/fs/cgroup/"));
}

#[test]
fn a_group_of_version_1_is_found_by_its_controller() {
    let mount = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";
    own(
        mount,
        "4:memory:/a\n1:cpu,cpuacct:/b\n0::/\n",
        Some("/sys/fs/cgroup/cpu,cpuacct/b"),
    );
    own(mount, "4:memory:/a\n", None);
}

#[test]
fn a_container_sees_its_own_group_as_the_mount_root() {
    let mount = "33 31 0:30 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";
    own(mount, "3:pids:/docker/x\n", Some("/sys/fs/cgroup/pids"));
    own(mount, "3:pids:/docker/x/y\n", Some("/sys/fs/cgroup/pids/y"));
    own(mount, "3:pids:/elsewhere\n", None);
}

#[test]
fn other_mounts_are_no_hierarchies() {
    own("27 1 254:0 / / rw - ext4 /dev/vda rw", "0::/\n", None);
    own("nonsense", "0::/\n", None);
}
