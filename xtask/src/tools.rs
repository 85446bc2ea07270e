//! Programs that tests start and no Debian package brings, in `target/tools`.
//!
//! Each is fetched once from the index that its makers publish to, and taken
//! only if it has the digest that is written here.

use std::{fs, path::PathBuf, process::Command};

use anyhow::bail;

use crate::shell::{root, run, say};

/// `uv`, which resolves the packages of functions: the wheel of 0.13.9.
const UV: [(&str, &str, &str); 2] = [
    (
        "x86_64",
        "https://files.pythonhosted.org/packages/3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f/uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    (
        "aarch64",
        "https://files.pythonhosted.org/packages/57/15/94b6cd62ac3ff6550288328e8035288875197cbc183f51554b266a69877b/uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
];

/// Fetches a wheel and takes the program out of it.
const FETCH: &str = r#"
import hashlib, io, os, sys, urllib.request, zipfile
url, digest, target = sys.argv[1:]
content = urllib.request.urlopen(url, timeout=300).read()
found = hashlib.sha256(content).hexdigest()
if found != digest:
    sys.exit(f"{url} is {found}, not {digest}")
wheel = zipfile.ZipFile(io.BytesIO(content))
member = next(name for name in wheel.namelist() if name.endswith(".data/scripts/uv"))
with open(target + ".new", "wb") as file:
    file.write(wheel.read(member))
os.chmod(target + ".new", 0o755)
os.rename(target + ".new", target)
"#;

/// TypeScript's compiler, which is JavaScript: the package 5.9.3.
const TYPESCRIPT: (&str, &str) = (
    "https://registry.npmjs.org/typescript/-/typescript-5.9.3.tgz",
    "10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3",
);

/// Fetches a package and lays its files into a folder that was not there.
const UNPACK: &str = r#"
import hashlib, io, os, sys, tarfile, urllib.request
url, digest, target = sys.argv[1:]
content = urllib.request.urlopen(url, timeout=300).read()
found = hashlib.sha256(content).hexdigest()
if found != digest:
    sys.exit(f"{url} is {found}, not {digest}")
with tarfile.open(fileobj=io.BytesIO(content)) as package:
    for member in package:
        if member.isfile() and ".." not in member.name.split("/"):
            path = os.path.join(target + ".new", *member.name.split("/")[1:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(package.extractfile(member).read())
os.rename(target + ".new", target)
"#;

/// Where the tests look for a program.
fn place(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| root().join("target"))
        .join("tools")
        .join(name)
}

/// Brings what the tests start, and says so.
pub fn install() -> anyhow::Result<()> {
    uv()?;
    typescript()
}

fn typescript() -> anyhow::Result<()> {
    let target = place("typescript");
    if target.exists() {
        return Ok(());
    }
    say("TypeScript's compiler, which the tests of connectors start, is missing; fetching it");
    let (url, digest) = TYPESCRIPT;
    let mut fetch = Command::new("/usr/bin/python3");
    run(fetch.args(["-I", "-c", UNPACK, url, digest]).arg(&target))
}

/// The path of uv, which is brought if need be.
pub fn uv() -> anyhow::Result<PathBuf> {
    let uv = place("uv");
    if uv.exists() {
        return Ok(uv);
    }
    let machine = std::env::consts::ARCH;
    let Some((_, url, digest)) = UV.iter().find(|(arch, ..)| *arch == machine) else {
        bail!("there is no uv for {machine} here; `pip install uv` may bring one");
    };
    say("uv, which resolves the packages of functions, is missing; fetching it");
    if let Some(folder) = uv.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut fetch = Command::new("/usr/bin/python3");
    run(fetch.args(["-I", "-c", FETCH, url, digest]).arg(&uv))?;
    Ok(uv)
}
