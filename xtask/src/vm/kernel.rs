//! Debian's kernel, unpacked and never installed: this host keeps its own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::shell::{read, run};

/// An unpacked kernel and its modules.
pub struct Kernel {
    pub image: PathBuf,
    modules: PathBuf,
}

/// Unpacks `package`, or the package that it stands for, below `folder`.
pub fn fetch(folder: &Path, package: &str) -> anyhow::Result<Kernel> {
    let package = real_package(package)?;
    let unpacked = folder.join(&package);
    if !unpacked.join("boot").is_dir() {
        let download = folder.join("download");
        fs::create_dir_all(&download)?;
        run(Command::new("apt-get")
            .args(["download", "-qq", &package])
            .current_dir(&download))?;
        let archive = newest(&download, &package)?;
        run(Command::new("dpkg").arg("-x").arg(archive).arg(&unpacked))?;
    }
    let image = newest(&unpacked.join("boot"), "vmlinuz-")?;
    let modules = newest(&unpacked.join("lib/modules"), "")?;
    index(&unpacked, &modules)?;
    Ok(Kernel { image, modules })
}

impl Kernel {
    /// The files that `names` need, each after those it depends on.
    pub fn modules(&self, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let path = self.modules.join("modules.dep");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let rows: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .collect();
        let mut files: Vec<PathBuf> = Vec::new();
        for name in names {
            // A driver that the kernel has built in is no file.
            let Some((file, needs)) = rows.iter().find(|(file, _)| is_module(file, name)) else {
                continue;
            };
            let needs = needs.split_whitespace().rev();
            for one in needs.chain([*file]).map(|one| self.modules.join(one)) {
                if !files.contains(&one) {
                    files.push(one);
                }
            }
        }
        Ok(files)
    }
}

fn is_module(file: &str, name: &str) -> bool {
    let stem = file.rsplit('/').next().unwrap_or(file);
    stem.split('.').next() == Some(name)
}

/// `linux-image-cloud-amd64` holds nothing and depends on the kernel of the day.
fn real_package(package: &str) -> anyhow::Result<String> {
    let text = read(Command::new("apt-cache").args(["depends", package]))?;
    let mut needs = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    Ok(needs
        .find(|name| name.starts_with("linux-image-"))
        .unwrap_or(package)
        .to_owned())
}

/// Packages are shipped without the table of what needs what.
fn index(unpacked: &Path, modules: &Path) -> anyhow::Result<()> {
    if modules.join("modules.dep").exists() {
        return Ok(());
    }
    let version = modules
        .file_name()
        .context("a kernel's modules have a version")?;
    run(Command::new("busybox")
        .args(["depmod", "-b"])
        .arg(fs::canonicalize(unpacked)?)
        .arg(version))
}

/// The last by name of what begins with `prefix` in `folder`.
fn newest(folder: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    names.sort();
    match names.pop() {
        Some(path) => Ok(path),
        None => bail!("{} holds no {prefix}", folder.display()),
    }
}
