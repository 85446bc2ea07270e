//! Installs what a chore needs and a bare machine lacks, and says so.
//!
//! Only Debian's and Ubuntu's packages are installed, and only where this
//! process may; elsewhere the command to type is the error.

use std::{path::Path, process::Command};

use anyhow::bail;

use crate::shell::{run, say, which};

/// Something that a chore needs.
pub struct Need {
    pub what: &'static str,
    pub package: &'static str,
    present: fn() -> bool,
}

pub const PYTHON: Need = Need {
    what: "/usr/bin/python3",
    package: "python3",
    present: has_python,
};
pub const COMPILER: Need = Need {
    what: "a C compiler",
    package: "gcc",
    present: has_compiler,
};
pub const LIBC: Need = Need {
    what: "the C library's headers",
    package: "libc6-dev",
    present: has_libc,
};
pub const POSTGRES: Need = Need {
    what: "PostgreSQL's initdb and postgres",
    package: "postgresql",
    present: has_postgres,
};
pub const CURL: Need = Need {
    what: "curl",
    package: "curl",
    present: has_curl,
};
pub const ENGINE: Need = Need {
    what: "a Docker Engine",
    package: "docker.io",
    present: has_engine,
};
pub const NODE: Need = Need {
    what: "/usr/bin/node",
    package: "nodejs",
    present: has_node,
};
pub const REGISTRY: Need = Need {
    what: "a registry for images",
    package: "docker-registry",
    present: has_registry,
};
pub const SKOPEO: Need = Need {
    what: "skopeo",
    package: "skopeo",
    present: has_skopeo,
};
pub const UMOCI: Need = Need {
    what: "umoci",
    package: "umoci",
    present: has_umoci,
};
pub const QEMU: Need = Need {
    what: "QEMU for x86_64",
    package: "qemu-system-x86",
    present: has_qemu,
};
pub const BUSYBOX: Need = Need {
    what: "a static busybox",
    package: "busybox-static",
    present: has_busybox,
};
pub const MKE2FS: Need = Need {
    what: "mke2fs",
    package: "e2fsprogs",
    present: has_mke2fs,
};

fn has_engine() -> bool {
    // It is no program of everybody's path.
    which("dockerd").is_some() || Path::new("/usr/sbin/dockerd").exists()
}

fn has_registry() -> bool {
    which("docker-registry").is_some()
}

fn has_skopeo() -> bool {
    which("skopeo").is_some()
}

fn has_umoci() -> bool {
    which("umoci").is_some()
}

fn has_qemu() -> bool {
    which("qemu-system-x86_64").is_some()
}

fn has_busybox() -> bool {
    // The package `busybox` has the program too, but one that needs libraries.
    Path::new("/var/lib/dpkg/info/busybox-static.list").exists()
}

fn has_mke2fs() -> bool {
    which("mke2fs").is_some()
}

fn has_python() -> bool {
    // The minimal package lacks most of the standard library.
    Path::new("/usr/bin/python3").exists()
        && Command::new("/usr/bin/python3")
            .args(["-I", "-S", "-c", "import csv, json, statistics, ctypes"])
            .status()
            .is_ok_and(|status| status.success())
}

fn has_node() -> bool {
    Path::new("/usr/bin/node").exists()
}

fn has_compiler() -> bool {
    which("cc").is_some()
}

fn has_libc() -> bool {
    Path::new("/usr/include/stdio.h").exists()
}

fn has_curl() -> bool {
    which("curl").is_some()
}

fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders = versions.map(|version| version.path().join("bin"));
    which("initdb").is_some() || folders.any(|folder| folder.join("initdb").exists())
}

/// Installs those of `needs` that are missing.
pub fn install(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    for need in &missing {
        say(&format!(
            "{} is missing; installing the package {}",
            need.what, need.package
        ));
    }
    if which("apt-get").is_none() {
        bail!(
            "this machine has no apt-get; install by hand what gives: {}",
            packages.join(", ")
        );
    }
    let mut update = as_root("apt-get");
    run(update.args(["update", "-qq"]))?;
    let mut install = as_root("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(install
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&packages))?;
    match missing.iter().find(|need| !(need.present)()) {
        Some(need) => bail!(
            "{} is still missing after installing {}",
            need.what,
            need.package
        ),
        None => Ok(()),
    }
}

/// Whether this process may do anything here.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// `program` with the rights to install: by sudo, for an ordinary user.
fn as_root(program: &str) -> Command {
    if is_root() || which("sudo").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}
