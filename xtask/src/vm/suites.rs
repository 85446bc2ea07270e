//! The jail's test programs, as cargo built them, and where the machine finds them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::shell::{cargo, read, run};

const PACKAGE: &str = "strongroom-jail";
/// Suites whose first half needs root: one prepares groups and becomes someone
/// else, one hides a part of the host's
/// `/proc`, and one sets its own stage of mounts.
const ROOT_ONLY: [&str; 3] = ["masked", "ordinary", "trouble"];

/// Test programs by name, and the program that they start.
pub struct Suites {
    tests: BTreeMap<String, PathBuf>,
    jail: PathBuf,
}

/// Builds every test of the jail without running any.
pub fn build() -> anyhow::Result<Suites> {
    let text = read(&mut cargo(&[
        "test",
        "--no-run",
        "--quiet",
        "--message-format",
        "json",
        "--package",
        PACKAGE,
    ]))?;
    let mut tests = BTreeMap::new();
    let mut jail = None;
    for line in text.lines() {
        let message: Value = serde_json::from_str(line)?;
        let Some(path) = message["executable"].as_str().map(PathBuf::from) else {
            continue;
        };
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if message["profile"]["test"] == true {
            tests.insert(name.to_owned(), path);
        } else if name == PACKAGE {
            jail = Some(path);
        }
    }
    if tests.is_empty() {
        bail!("cargo built no test of {PACKAGE}");
    }
    let jail = jail.context("cargo built no program of the jail")?;
    Ok(Suites { tests, jail })
}

impl Suites {
    /// Everything here that loads libraries.
    pub fn programs(&self) -> impl Iterator<Item = PathBuf> {
        self.tests.values().cloned().chain([self.jail.clone()])
    }

    /// Puts the programs, without what debuggers want, onto the disk to be.
    pub fn install(&self, stage: &Path) -> anyhow::Result<()> {
        // Tests know the program by the path that cargo built it to.
        let jail = stage.join(self.jail.strip_prefix("/")?);
        fs::create_dir_all(jail.parent().context("a program lies in a folder")?)?;
        fs::create_dir_all(stage.join("vm/tests"))?;
        strip(&self.jail, &jail)?;
        for (name, path) in &self.tests {
            strip(path, &stage.join("vm/tests").join(name))?;
        }
        Ok(())
    }

    /// The names, for root; an ordinary user is not asked what needs root.
    pub fn names(&self, user: &str) -> Vec<&str> {
        let names = self.tests.keys().map(String::as_str);
        names
            .filter(|name| user == "root" || !ROOT_ONLY.contains(name))
            .collect()
    }
}

fn strip(from: &Path, to: &Path) -> anyhow::Result<()> {
    run(Command::new("strip")
        .args(["--strip-debug", "-o"])
        .args([to, from]))
}
