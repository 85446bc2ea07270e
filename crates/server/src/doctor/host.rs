//! What kind of host this is, to word advice for it; never to decide what stands.

use std::path::Path;

/// A host, as far as the wording of a fix depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) family: Family,
    pub(super) container: Option<Container>,
    pub(super) is_root: bool,
}

/// Distributions that are set up alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    Ubuntu,
    RedHat,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Kubernetes,
    Docker,
}

impl Host {
    /// The host that this process sees.
    pub(super) fn here() -> Self {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let marks = Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists();
        let container = match std::env::var_os("KUBERNETES_SERVICE_HOST") {
            Some(_) => Some(Container::Kubernetes),
            None => marks.then_some(Container::Docker),
        };
        Self {
            family: family(&release),
            container,
            is_root: rustix::process::geteuid().is_root(),
        }
    }
}

/// The family that `/etc/os-release` names, itself or as what it is like.
fn family(release: &str) -> Family {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_matches('"').to_owned())
    };
    let own = value("ID=").unwrap_or_default();
    let like = value("ID_LIKE=").unwrap_or_default();
    let words = [own.as_str()].into_iter().chain(like.split(' '));
    for word in words {
        match word {
            "ubuntu" => return Family::Ubuntu,
            "debian" => return Family::Debian,
            "rhel" | "fedora" | "centos" => return Family::RedHat,
            _ => {}
        }
    }
    Family::Other
}

#[cfg(test)]
mod tests {
    use super::{Family, family};

    #[test]
    fn a_distribution_is_known_by_itself_or_by_what_it_is_like() {
        for (release, known) in [
            ("ID=debian\nVERSION_ID=\"12\"", Family::Debian),
            ("NAME=x\nID=ubuntu\nID_LIKE=debian", Family::Ubuntu),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"", Family::Ubuntu),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"",
                Family::RedHat,
            ),
            ("ID=fedora", Family::RedHat),
            ("ID=arch", Family::Other),
            ("", Family::Other),
        ] {
            assert_eq!(family(release), known, "{release}");
        }
    }
}
