//! The command that mends a missing wall, in the words of this kind of host.

use super::host::{Container, Family, Host};

const DOCKER: &str = "docker run --cap-add SYS_ADMIN --security-opt \
     seccomp=deploy/docker/seccomp.json --security-opt apparmor=unconfined --security-opt \
     systempaths=unconfined -v /sys/fs/cgroup:/sys/fs/cgroup:rw ...; or set `tier = \"reduced\"`";
const KUBERNETES: &str = "kubectl apply -f deploy/kubernetes/full.yaml, or set `tier = \
     \"reduced\"` as deploy/kubernetes/reduced.yaml does";
const UBUNTU_USERNS: &str = "cp deploy/apparmor/strongroom /etc/apparmor.d/ && apparmor_parser -r \
     /etc/apparmor.d/strongroom";
const DEBIAN_USERNS: &str =
    "sysctl -w user.max_user_namespaces=65536 kernel.unprivileged_userns_clone=1";
const RED_HAT_USERNS: &str = "sysctl -w user.max_user_namespaces=65536; if \
     SELinux confines the service, `ausearch -m avc -ts recent` names what it refused";
const SYSTEM_UNIT: &str = "cp deploy/systemd/strongroom.service /etc/systemd/system/ && systemctl \
     enable --now strongroom, which hands control groups over (Delegate=yes)";
const USER_UNIT: &str = "cp deploy/systemd/user/strongroom.service ~/.config/systemd/user/ && \
     systemctl --user enable --now strongroom; or systemd-run --user --scope -p Delegate=yes \
     strongroom serve";

/// What gives each guest a host user of its own.
pub(super) const OWN_USERS: &str = "run the station as root: sudo cp \
     deploy/systemd/strongroom.service /etc/systemd/system/ && sudo systemctl enable --now \
     strongroom";

/// A better fix than the jail's own, if this kind of host has one.
pub(super) fn of(wall: &str, host: &Host) -> Option<String> {
    let fix = match (wall, host.container) {
        // The tier's own walls are mended where the tier runs.
        ("private_folder" | "watch" | "own_user" | "landlock_signals" | "processors", _) => None,
        ("no_new_privileges" | "no_capabilities" | "resource_limits", _) => None,
        (_, Some(Container::Docker)) => Some(DOCKER),
        (_, Some(Container::Kubernetes)) => Some(KUBERNETES),
        ("cgroup", None) if host.is_root => Some(SYSTEM_UNIT),
        ("cgroup", None) => Some(USER_UNIT),
        ("user_namespace", None) => match host.family {
            Family::Ubuntu => Some(UBUNTU_USERNS),
            Family::Debian => Some(DEBIAN_USERNS),
            Family::RedHat => Some(RED_HAT_USERNS),
            Family::Other => None,
        },
        _ => None,
    };
    fix.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Container, Family, Host, of};

    fn host(family: Family, container: Option<Container>, is_root: bool) -> Host {
        Host {
            family,
            container,
            is_root,
        }
    }

    #[test]
    fn a_fix_is_worded_for_the_host_that_lacks_the_wall() {
        let bare = |family, is_root| host(family, None, is_root);
        for (wall, host, word) in [
            (
                "user_namespace",
                bare(Family::Ubuntu, false),
                "apparmor_parser",
            ),
            (
                "user_namespace",
                bare(Family::Debian, false),
                "unprivileged_userns_clone",
            ),
            ("user_namespace", bare(Family::RedHat, false), "SELinux"),
            ("cgroup", bare(Family::Debian, true), "/etc/systemd/system"),
            ("cgroup", bare(Family::Debian, false), "systemctl --user"),
            (
                "cgroup",
                host(Family::Debian, Some(Container::Docker), true),
                "docker run",
            ),
            (
                "private_root",
                host(Family::Other, Some(Container::Kubernetes), true),
                "kubectl",
            ),
        ] {
            let fix = of(wall, &host).unwrap_or_default();
            assert!(fix.contains(word), "{wall} on {host:?}: {fix}");
        }
        assert_eq!(of("seccomp", &bare(Family::Other, true)), None);
    }
}
