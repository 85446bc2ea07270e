//! Interpreters that are there, are not, or lie elsewhere.
#![allow(clippy::unwrap_used)]

use std::{fs, os::unix::fs::symlink};

use super::*;

/// A host whose `/bin` is a link into `/usr`, with a `python3.99`.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    symlink("usr/bin", root.path().join("bin")).unwrap();
    program(&root.path().join("usr/bin/python3.99"), "one");
    symlink("python3.99", root.path().join("usr/bin/python3")).unwrap();
    root
}

fn program(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_interpreter_is_found_through_links() {
    let root = host();
    let runtimes = Runtimes::below(root.path().to_owned());
    let found = runtimes.interpreter(Runtime::Python3).unwrap();
    assert_eq!(found, Path::new("/usr/bin/python3.99"));
}

#[test]
fn a_missing_interpreter_is_named() {
    let root = host();
    let runtimes = Runtimes::below(root.path().to_owned());
    let error = runtimes.pin(Runtime::Sh).unwrap_err();
    assert_eq!(error.to_string(), "there is no /bin/sh for the runtime sh");
}

#[test]
fn an_interpreter_that_a_guest_could_not_see_is_refused() {
    let root = host();
    fs::create_dir(root.path().join("opt")).unwrap();
    program(&root.path().join("opt/sh"), "sh");
    symlink(root.path().join("opt/sh"), root.path().join("usr/bin/sh")).unwrap();
    let runtimes = Runtimes::below(root.path().to_owned());
    assert!(matches!(
        runtimes.pin(Runtime::Sh),
        Err(RuntimeError::Outside { .. })
    ));
}

#[test]
fn a_replaced_interpreter_makes_another_pin() {
    let root = host();
    let runtimes = Runtimes::below(root.path().to_owned());
    let first = runtimes.pin(Runtime::Python3).unwrap();
    assert_eq!(runtimes.pin(Runtime::Python3).unwrap(), first);
    program(&root.path().join("usr/bin/python3.98"), "another");
    fs::remove_file(root.path().join("usr/bin/python3")).unwrap();
    symlink("python3.98", root.path().join("usr/bin/python3")).unwrap();
    assert_ne!(runtimes.pin(Runtime::Python3).unwrap(), first);
}

#[test]
fn runtimes_with_one_interpreter_are_two_runtimes() {
    let root = host();
    symlink("python3.99", root.path().join("usr/bin/sh")).unwrap();
    let runtimes = Runtimes::below(root.path().to_owned());
    let digests = Runtime::ALL.map(|runtime| runtimes.pin(runtime).unwrap().digest);
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn this_host_has_both_runtimes() {
    for runtime in Runtime::ALL {
        Runtimes::default().pin(runtime).unwrap();
    }
}
