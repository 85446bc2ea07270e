//! The machine's disk and its first file system, made afresh from this host.
//!
//! The disk is ext4 with as much of `/usr` as the tests use: Python with its
//! standard library, a shell, some programs and their libraries. Deliberately
//! absent: a distribution's image, a network and anything to log in with.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use super::{kernel::Kernel, suites::Suites};
use crate::shell::{read, run, which};

/// What tests and guests start.
const PROGRAMS: &[&str] = &[
    "awk", "cat", "chmod", "cp", "date", "dd", "echo", "env", "false", "find", "grep", "head",
    "id", "ln", "ls", "mkdir", "mknod", "mount", "mv", "nproc", "ps", "python3", "rm", "sed",
    "seq", "setpriv", "setsid", "sh", "sleep", "sort", "stat", "su", "tail", "tee", "timeout",
    "touch", "tr", "true", "umount", "uname", "unshare", "wc", "yes",
];
const FOLDERS: &[&str] = &[
    "dev",
    "etc/pam.d",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var/tmp",
    "vm",
];
/// What `su` asks of root, who may.
const ADMISSIONS: &[&str] = &["pam_rootok.so", "pam_permit.so"];
const ADMISSION_FOLDERS: &[&str] = &["/usr/lib/x86_64-linux-gnu/security", "/usr/lib64/security"];
const ADMISSION: &str = "auth sufficient pam_rootok.so\naccount required pam_permit.so\n\
                         session required pam_permit.so\n";
const DRIVERS: &[&str] = &["virtio_pci", "virtio_blk", "overlay"];
const DISK_SIZE: &str = "1G";
const FIRST: &str = include_str!("first.sh");
const SUITE: &str = include_str!("suite.sh");
const TEXTS: &[(&str, u32, &str)] = &[
    (
        "etc/passwd",
        0o644,
        "root:x:0:0::/root:/bin/sh\ntester:x:1000:1000::/tmp:/bin/sh\n",
    ),
    ("etc/group", 0o644, "root:x:0:\ntester:x:1000:\n"),
    ("etc/shadow", 0o600, "root:*:20000::::::\n"),
    ("etc/pam.d/su", 0o644, ADMISSION),
    ("etc/hostname", 0o644, "machine\n"),
    ("vm/suite.sh", 0o755, SUITE),
];

/// Makes the disk from `suites` and this host's programs; `settle` adds the rest.
pub fn disk(
    folder: &Path,
    suites: &Suites,
    settle: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let stage = fresh(&folder.join("disk"))?;
    skeleton(&stage)?;
    for (path, mode, text) in TEXTS {
        write(&stage.join(path), *mode, text)?;
    }
    fs::copy(busybox()?, stage.join("vm/busybox"))?;
    suites.install(&stage)?;
    settle(&stage)?;
    runtime(&stage, suites.programs())?;
    let image = folder.join("disk.ext4");
    let _ = fs::remove_file(&image);
    run(
        Command::new(which("mke2fs").context("mke2fs is not installed")?)
            .args(["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d"])
            .args([&stage, &image])
            .arg(DISK_SIZE),
    )?;
    Ok(image)
}

/// Makes the first file system: just enough to reach the disk.
pub fn first(folder: &Path, kernel: &Kernel) -> anyhow::Result<PathBuf> {
    let stage = fresh(&folder.join("first"))?;
    for name in ["proc", "dev", "root", "modules"] {
        fs::create_dir(stage.join(name))?;
    }
    fs::copy(busybox()?, stage.join("busybox"))?;
    write(&stage.join("init"), 0o755, FIRST)?;
    let mut order = String::new();
    for module in kernel.modules(DRIVERS)? {
        let name = module.file_name().context("a module is a file")?;
        fs::copy(&module, stage.join("modules").join(name))?;
        order.push_str(&format!("{}\n", name.to_string_lossy()));
    }
    write(&stage.join("modules/order"), 0o644, &order)?;
    let image = folder.join("first.cpio");
    run(Command::new("sh")
        .args([
            "-c",
            "find . | busybox cpio -o -H newc 2>/dev/null > \"$0\"",
        ])
        .arg(fs::canonicalize(folder)?.join("first.cpio"))
        .current_dir(&stage))?;
    Ok(image)
}

fn fresh(stage: &Path) -> anyhow::Result<PathBuf> {
    if stage.exists() {
        fs::remove_dir_all(stage)?;
    }
    fs::create_dir_all(stage)?;
    Ok(stage.to_path_buf())
}

/// Makes the root of a container from `suites`, `program` and this host's programs.
pub fn container(root: &Path, suites: &Suites, program: &Path) -> anyhow::Result<()> {
    let stage = fresh(root)?;
    skeleton(&stage)?;
    for (path, mode, text) in TEXTS {
        write(&stage.join(path), *mode, text)?;
    }
    fs::set_permissions(stage.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    suites.install(&stage)?;
    fs::copy(program, stage.join("usr/bin/strongroom"))?;
    let programs = suites.programs().chain([program.to_path_buf()]);
    runtime(&stage, programs)
}

/// The folders of a system whose `/bin` and `/lib` lie in `/usr`.
fn skeleton(stage: &Path) -> anyhow::Result<()> {
    for name in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"] {
        fs::create_dir_all(stage.join(name))?;
        let name = name.trim_start_matches("usr/");
        symlink(format!("usr/{name}"), stage.join(name))?;
    }
    for name in FOLDERS {
        fs::create_dir_all(stage.join(name))?;
    }
    Ok(())
}

/// Programs, Python's library, and every shared library that any of them loads.
fn runtime(stage: &Path, programs: impl Iterator<Item = PathBuf>) -> anyhow::Result<()> {
    let mut files: BTreeSet<PathBuf> = PROGRAMS.iter().filter_map(|name| system(name)).collect();
    files.extend(admissions());
    let stdlib = read(Command::new("/usr/bin/python3").args([
        "-I",
        "-S",
        "-c",
        "import sysconfig; print(sysconfig.get_path('stdlib'))",
    ]))?;
    let stdlib = PathBuf::from(stdlib.trim());
    let extensions = fs::read_dir(stdlib.join("lib-dynload"))
        .into_iter()
        .flatten()
        .flatten();
    let mut loaders: Vec<PathBuf> = files.iter().cloned().collect();
    loaders.extend(extensions.map(|entry| entry.path()));
    loaders.extend(programs);
    files.extend(libraries(&loaders)?);
    for file in &files {
        install(stage, file)?;
    }
    let target = stage.join(stdlib.strip_prefix("/")?);
    run(Command::new("cp").arg("-aT").args([&stdlib, &target]))?;
    // Large, and no guest tests Python itself.
    for name in ["test", "idlelib", "ensurepip", "tkinter"] {
        let _ = fs::remove_dir_all(target.join(name));
    }
    Ok(())
}

/// The system's own `name`: what a guest sees, whatever this user has installed.
fn system(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}

fn admissions() -> impl Iterator<Item = PathBuf> {
    let each = ADMISSION_FOLDERS.iter().flat_map(|folder| {
        let folder = Path::new(folder);
        ADMISSIONS.iter().map(|name| folder.join(name))
    });
    each.filter(|path| path.exists())
}

/// What the loader would map for `programs`.
fn libraries(programs: &[PathBuf]) -> anyhow::Result<BTreeSet<PathBuf>> {
    // `ldd` fails when one of many is static, and still prints the others.
    let out = Command::new("ldd").args(programs).output()?;
    let text = String::from_utf8(out.stdout)?;
    let mapped = text.lines().filter(|line| line.contains(" (0x"));
    Ok(mapped
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

/// Copies a file to where it lies on this host, and what a link points at too.
fn install(stage: &Path, file: &Path) -> anyhow::Result<()> {
    let folder = fs::canonicalize(file.parent().context("a file lies in a folder")?)?;
    let name = file.file_name().context("a file has a name")?;
    let target = stage.join(folder.strip_prefix("/")?).join(name);
    if fs::symlink_metadata(&target).is_ok() {
        return Ok(());
    }
    fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
    match fs::read_link(file) {
        // Alternatives are links through `/etc`, which the machine has not.
        Ok(link) if link.is_absolute() => drop(fs::copy(file, &target)?),
        Ok(link) => {
            install(stage, &folder.join(&link))?;
            symlink(link, &target)?;
        }
        Err(_) => drop(fs::copy(file, &target)?),
    }
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn busybox() -> anyhow::Result<PathBuf> {
    which("busybox").context("busybox is not installed")
}
