//! Images and programs made of files of this host, for the suites that need some.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use strongroom_run::image::Packed;

/// A program of the host and the libraries that it loads.
pub fn program(packed: &mut Packed, at: &str, program: &str) {
    let real = fs::canonicalize(program).unwrap();
    packed.file(at, real.clone(), true);
    let listed = Command::new("ldd").arg(&real).output().unwrap();
    for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        if word.starts_with('/') {
            packed.file(word, fs::canonicalize(word).unwrap(), true);
        }
    }
}

/// An image with the host's Python.
pub fn python() -> Packed {
    let asked = "import sys, sysconfig; print(sysconfig.get_path('stdlib'))";
    let mut python = Command::new("/usr/bin/python3");
    let said = python.args(["-I", "-c", asked]).output().unwrap();
    let library = String::from_utf8(said.stdout).unwrap();
    let library = library.trim();
    let mut packed = Packed::folder(Path::new(library), library).unwrap();
    // Not where the base has it, as in images that others build.
    program(&mut packed, "usr/local/bin/python3", "/usr/bin/python3");
    for module in fs::read_dir(Path::new(library).join("lib-dynload")).unwrap() {
        let path = module.unwrap().path();
        let name = path.display().to_string();
        program(&mut packed, &name, &name);
    }
    packed
}

/// A static program from a text in C, in a folder of its own.
pub fn compiled(source: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("main.c"), folder.path().join("main"));
    fs::write(&from, source).unwrap();
    let built = std::process::Command::new("cc")
        .args(["-static", "-O1", "-w", "-o"])
        .args([&to, &from])
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    (folder, to)
}
