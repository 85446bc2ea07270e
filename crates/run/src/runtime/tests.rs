//! Interpreters that are there, are not, or lie elsewhere.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

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
    let python3 = runtimes.find(&RuntimeName::python3()).unwrap();
    let found = python3.interpreter(root.path()).unwrap();
    assert_eq!(found, Path::new("/usr/bin/python3.99"));
}

#[test]
fn a_missing_interpreter_is_named() {
    let root = host();
    let runtimes = Runtimes::below(root.path().to_owned());
    let error = runtimes.pin(&RuntimeName::sh()).unwrap_err();
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
        runtimes.pin(&RuntimeName::sh()),
        Err(RuntimeError::Outside { .. })
    ));
}

#[test]
fn a_replaced_interpreter_makes_another_pin() {
    let root = host();
    let runtimes = Runtimes::below(root.path().to_owned());
    let first = runtimes.pin(&RuntimeName::python3()).unwrap();
    assert_eq!(runtimes.pin(&RuntimeName::python3()).unwrap(), first);
    program(&root.path().join("usr/bin/python3.98"), "another");
    fs::remove_file(root.path().join("usr/bin/python3")).unwrap();
    symlink("python3.98", root.path().join("usr/bin/python3")).unwrap();
    assert_ne!(runtimes.pin(&RuntimeName::python3()).unwrap(), first);
}

#[test]
fn runtimes_with_one_interpreter_are_two_runtimes() {
    let root = host();
    symlink("python3.99", root.path().join("usr/bin/sh")).unwrap();
    let runtimes = Runtimes::below(root.path().to_owned());
    let digest = |name| runtimes.pin(&name).unwrap().digest;
    assert_ne!(digest(RuntimeName::python3()), digest(RuntimeName::sh()));
}

#[test]
fn this_host_has_the_runtimes_that_come_with_debian() {
    let runtimes = Runtimes::default();
    let all = runtimes.all();
    for runtime in all.iter().filter(|one| one.debian_package().is_some()) {
        runtimes.pin(runtime.name()).unwrap();
    }
}

/// A folder with a runtime in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn data() -> RuntimeName {
    "birds".parse().unwrap()
}

#[test]
fn a_runtime_on_a_base_runs_as_its_base_does() {
    let root = host();
    let runtimes = Runtimes::below(root.path().to_owned());
    let folder = folder(&[("runtime.toml", "base = \"python3\"")]);
    runtimes
        .add(data(), folder.path(), Digest::of(b"1"))
        .unwrap();
    let entry = "main.py".parse().unwrap();
    let (base, own) = (
        runtimes.find(&RuntimeName::python3()).unwrap(),
        runtimes.find(&data()).unwrap(),
    );
    assert_eq!(
        own.command(root.path(), &entry).unwrap(),
        base.command(root.path(), &entry).unwrap()
    );
    assert_eq!(own.files(), base.files());
}

#[test]
fn anything_else_in_the_folder_makes_another_pin_and_so_does_another_interpreter() {
    let root = host();
    let runtimes = Runtimes::below(root.path().to_owned());
    let folder = folder(&[("runtime.toml", "base = \"python3\"")]);
    let pin = |content: &[u8]| {
        runtimes
            .add(data(), folder.path(), Digest::of(content))
            .unwrap();
        runtimes.pin(&data()).unwrap()
    };
    let first = pin(b"1");
    assert_eq!(pin(b"1"), first);
    assert_ne!(pin(b"2"), first);
    assert_ne!(
        runtimes.pin(&RuntimeName::python3()).unwrap().digest,
        first.digest
    );
    program(&root.path().join("usr/bin/python3.99"), "upgraded");
    assert_ne!(pin(b"1"), first);
}

#[test]
fn a_folder_that_is_no_runtime_is_refused_and_changes_nothing() {
    let runtimes = Runtimes::below(host().path().to_owned());
    let before = runtimes.all().len();
    let refused = |name: &str, files: &[(&str, &str)]| {
        let folder = folder(files);
        let error = runtimes
            .add(name.parse().unwrap(), folder.path(), Digest::of(b""))
            .unwrap_err();
        assert_eq!(runtimes.all().len(), before);
        let source = std::error::Error::source(&error);
        format!(
            "{error}: {}",
            source.map(|source| source.to_string()).unwrap_or_default()
        )
    };
    let base = [("runtime.toml", "base = \"python3\"")];
    assert!(refused("sh", &base).contains("is shipped with Strongroom"));
    assert!(refused("x", &[]).contains("could not read"));
    assert!(refused("x", &[("runtime.toml", "base =")]).contains("line 1"));
    let unknown = [("runtime.toml", "base = \"python3-nothing\"")];
    assert!(refused("x", &unknown).contains("is no runtime that is shipped"));
    let no_main = [(
        "runtime.toml",
        "base = \"python3\"\nmain_program = \"m.py\"",
    )];
    assert!(refused("x", &no_main).contains("m.py"));
}

#[test]
fn a_folder_of_a_runtime_leads_to_nothing_else_and_keeps_nobody_waiting() {
    let runtimes = Runtimes::below(host().path().to_owned());
    let refused = |folder: &Path| {
        let added = runtimes.add("x".parse().unwrap(), folder, Digest::of(b""));
        let error = added.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("it is a link or a special file"), "{cause}");
    };
    let toml = "base = \"python3\"\nmain_program = \"m.py\"";
    for target in ["/dev/zero", "/etc/passwd"] {
        let described = folder(&[]);
        symlink(target, described.path().join("runtime.toml")).unwrap();
        refused(described.path());
        let program = folder(&[("runtime.toml", toml)]);
        symlink(target, program.path().join("m.py")).unwrap();
        refused(program.path());
        let template = folder(&[("template.yml", "fprocess: cat\n")]);
        fs::create_dir(template.path().join("function")).unwrap();
        fs::write(template.path().join("function/handler.sh"), "").unwrap();
        symlink(target, template.path().join("index.sh")).unwrap();
        refused(template.path());
    }
}

#[test]
fn there_are_at_most_so_many_runtimes() {
    let runtimes = Runtimes::below(host().path().to_owned());
    let folder = folder(&[("runtime.toml", "base = \"python3\"")]);
    let add = |number: usize| {
        let name = format!("r{number}").parse().unwrap();
        runtimes.add(name, folder.path(), Digest::of(b""))
    };
    for number in 0..RUNTIMES_MAX - runtimes.all().len() {
        add(number).unwrap();
    }
    assert!(matches!(add(RUNTIMES_MAX), Err(RuntimeError::TooMany)));
    // One that is there may still be replaced.
    add(0).unwrap();
    runtimes.remove(&"r0".parse().unwrap());
    add(RUNTIMES_MAX).unwrap();
}

#[test]
fn the_program_of_starlark_is_in_its_pin_and_alone_in_its_folder() {
    let runtimes = Runtimes::default();
    let starlark: RuntimeName = "starlark".parse().unwrap();
    let found = runtimes.find(&starlark).unwrap();
    let exe = std::env::current_exe().unwrap();
    let beside = exe
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("strongroom-star");
    if !beside.is_file() {
        let error = runtimes.pin(&starlark).unwrap_err().to_string();
        assert!(
            error.ends_with("strongroom-star for the runtime starlark"),
            "{error}"
        );
        return;
    }
    let folder = super::beside::folder("strongroom-star").unwrap();
    let there: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert_eq!(there.len(), 1);
    runtimes.pin(&starlark).unwrap();
    let command = found.command(Path::new("/"), &"a/t.star".parse().unwrap());
    assert_eq!(
        command.unwrap(),
        ["/runtime/strongroom-star", "/function/a/t.star"]
    );
}
