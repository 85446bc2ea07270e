//! The builds of each language: a program of ours, and what it is shown.
//!
//! Python's packages are resolved by uv and installed by our own program; those
//! of Node by npm, whose scripts are off. All of it runs in the jail, with the
//! index as the only host that it reaches.

use std::{io, path::PathBuf};

use serde_json::{Value, json};
use strongroom_core::{
    dependency::{Lock, Origin, Requirements},
    network::Network,
    runtime::RuntimeName,
};
use strongroom_run::{Build, Reach};

use super::{InstallError, Installer, Step, shelf::TRUST_FILE};

const IMPORTS: &str = include_str!("programs/imports.py");
const LOCK_PYTHON: &str = include_str!("programs/lock.py");
const INSTALL_PYTHON: &str = include_str!("programs/install.py");
const LOCK_NODE: &str = include_str!("programs/lock.js");
const INSTALL_NODE: &str = include_str!("programs/install.js");
const INTERPRETER: &str = "import json, sysconfig\n\
    open(3, 'w').write(json.dumps(sysconfig.get_config_var('SOABI')))\n";
/// Where a build finds the certificates that its operator trusts.
const TRUST: &str = "/trust";
/// What npm is told besides: nothing of a package runs, and nothing is linked.
const NPM: [&str; 10] = [
    "--ignore-scripts",
    "--no-bin-links",
    "--omit=dev",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--no-omit-lockfile-registry-resolved",
    "--cache=/tmp/cache",
    "--userconfig=/tmp/npmrc-user",
    "--globalconfig=/tmp/npmrc-global",
];
const VARIABLES: [(&str, &str); 5] = [
    ("NO_COLOR", "1"),
    ("UV_NO_PROGRESS", "1"),
    ("UV_HTTP_TIMEOUT", "60"),
    ("UV_HTTP_RETRIES", "1"),
    ("UV_CONCURRENT_DOWNLOADS", "8"),
];

/// A build and what it may reach.
pub type Reaching = (Build, Option<Network>);

impl Installer {
    /// Tells the modules that the Python below `function` imports.
    pub(super) fn build_imports(
        &self,
        runtime: &RuntimeName,
        function: PathBuf,
        paths: &[String],
    ) -> Reaching {
        let mut build = python(runtime, IMPORTS, &json!(paths));
        build.folders.push((function, "/function".into()));
        (build, None)
    }

    /// Tells which interpreter a runtime of Python has.
    pub(super) fn build_interpreter(&self, runtime: &RuntimeName) -> Build {
        python(runtime, INTERPRETER, &Value::Null)
    }

    /// Resolves requirements.
    pub(super) fn build_lock(
        &self,
        runtime: &RuntimeName,
        requirements: &Requirements,
        before: Option<&str>,
    ) -> Result<Reaching, InstallError> {
        let is_node = requirements.from == Origin::PackageJson;
        let index = match is_node {
            true => &self.index.node,
            false => &self.index.python,
        };
        let asked = json!({
            "requirements": requirements.text,
            "before": before,
            "index": index,
            "options": NPM,
        });
        let mut build = match is_node {
            true => node(runtime, LOCK_NODE, &asked),
            false => python(runtime, LOCK_PYTHON, &asked),
        };
        if !is_node {
            let uv = self.index.uv.find().ok_or(InstallError::Unable(
                "there is no program `uv` here; `pip install uv` brings it, or [index] names it",
            ))?;
            let tools = self.shelf.tool(&uv, "uv")?;
            build.tools.push((tools, "/tools".into()));
        }
        self.trust(&mut build)?;
        let network = self.index.to_resolve(index);
        Ok((build, Some(network.ok_or(NO_INDEX)?)))
    }

    /// Installs what a lock names.
    pub(super) fn build_install(
        &self,
        runtime: &RuntimeName,
        lock: &Lock,
        text: &str,
    ) -> Result<Reaching, InstallError> {
        if lock.is_node() {
            let index = &self.index.node;
            let unplaced = lock.unplaced();
            let asked =
                json!({ "lock": text, "index": index, "options": NPM, "unplaced": unplaced });
            let mut build = node(runtime, INSTALL_NODE, &asked);
            self.trust(&mut build)?;
            let network = self.index.to_resolve(index);
            return Ok((build, Some(network.ok_or(NO_INDEX)?)));
        }
        let packages = lock.packages.iter().map(|package| {
            json!({
                "name": package.name,
                "version": package.version,
                "hashes": lock.hashes(&package.name),
            })
        });
        let index = &self.index.python;
        let asked = json!({
            "index": index,
            "interpreter": lock.interpreter,
            "packages": packages.collect::<Vec<_>>(),
        });
        let build = python(runtime, INSTALL_PYTHON, &asked);
        let network = self.index.to_fetch(index);
        Ok((build, Some(network.ok_or(NO_INDEX)?)))
    }

    /// Shows a build that speaks TLS itself what its operator trusts.
    fn trust(&self, build: &mut Build) -> io::Result<()> {
        let Some(own) = &self.trust else {
            return Ok(());
        };
        build.folders.push((self.shelf.trust(own)?, TRUST.into()));
        let file = format!("{TRUST}/{TRUST_FILE}");
        for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            build.environment.push((name.to_owned(), file.clone()));
        }
        Ok(())
    }
}

const NO_INDEX: InstallError = InstallError::Unable("[index] names no address");

fn python(runtime: &RuntimeName, program: &str, asked: &Value) -> Build {
    let words = ["-I", "-S", "-B", "-X", "utf8", "-c", program];
    build(runtime, &words, asked)
}

fn node(runtime: &RuntimeName, program: &str, asked: &Value) -> Build {
    build(runtime, &["-e", program], asked)
}

/// A program of ours, which reads `asked`.
fn build(runtime: &RuntimeName, words: &[&str], asked: &Value) -> Build {
    let variables = VARIABLES.into_iter();
    Build {
        runtime: runtime.clone(),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        tools: Vec::new(),
        folders: Vec::new(),
        files: Vec::new(),
        environment: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        input: asked.to_string().into_bytes(),
        limits: Step::Imports.limits(),
        reach: Reach::Nothing,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::INSTALL_PYTHON;

    /// What the program that installs says of wheels, where the interpreter has
    /// this C library.
    fn ranks(library: &str, version: (u32, u32), platforms: &[&str]) -> Vec<bool> {
        let program = INSTALL_PYTHON.strip_suffix("\nmain()\n").unwrap();
        let asked = format!(
            "{program}\nlibc = lambda: ({library:?}, {version:?})\n\
             platform.machine = lambda: 'x86_64'\n\
             print(json.dumps([rank_of_platform(name) is not None for name in {platforms:?}]))\n"
        );
        let mut python = Command::new("/usr/bin/python3");
        let said = python.args(["-I", "-c", &asked]).output().unwrap();
        serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
    }

    #[test]
    fn a_wheel_is_taken_for_the_c_library_that_the_interpreter_has() {
        let wheels = [
            "any",
            "manylinux2014_x86_64",
            "manylinux_2_40_x86_64",
            "musllinux_1_1_x86_64",
            "musllinux_1_3_x86_64",
            "musllinux_1_1_aarch64",
        ];
        let glibc = [true, true, false, false, false, false];
        assert_eq!(ranks("glibc", (2, 36), &wheels), glibc);
        let musl = [true, false, false, true, false, false];
        assert_eq!(ranks("musl", (1, 2), &wheels), musl);
        let neither = [true, false, false, false, false, false];
        assert_eq!(ranks("", (0, 0), &wheels), neither);
    }
}
