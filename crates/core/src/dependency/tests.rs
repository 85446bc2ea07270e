//! What a function says that it needs, what a lock may hold, and what changed.

use super::{
    Asked, DependencyError, Lock, Origin, Requirements, changes, imports::distribution_of,
};
use crate::{
    digest::Digest,
    manifest::{Files, Manifest},
    runtime::{FunctionFiles, Kind, Kinds, RuntimeName},
};

fn files(of: &[(&str, &str)]) -> Files {
    let parsed = of.iter().map(|(path, text)| {
        let path = path.parse().unwrap();
        (path, text.as_bytes().to_vec())
    });
    parsed.collect()
}

fn asked(of: &[(&str, &str)]) -> Result<Asked, DependencyError> {
    let files = files(of);
    let kinds = Kinds::new(
        [(".py", "main.py"), (".js", "main.js")].map(|(suffix, main)| Kind {
            runtime: RuntimeName::python3(),
            files: FunctionFiles::new(suffix, main.parse().unwrap()),
            implied: true,
        }),
    );
    let manifest = Manifest::of_files(&files, &kinds).unwrap();
    let wishes = Manifest::wishes(&files, &kinds).unwrap();
    Asked::of_files(&files, &manifest, wishes)
}

#[track_caller]
fn needs(of: &[(&str, &str)], from: Origin, text: &str) {
    let text = text.to_owned();
    assert_eq!(asked(of), Ok(Asked::Python(Requirements { from, text })));
}

#[test]
fn what_a_function_needs_is_read_where_it_says_so() {
    let main = ("main.py", "import pandas\n");
    needs(
        &[
            main,
            ("requirements.txt", "# ours\npandas >= 2 # fast\n\n six\n"),
        ],
        Origin::Requirements,
        "pandas >= 2\nsix",
    );
    needs(
        &[
            main,
            ("requirements.txt", "pandas==2.0 \\\n    --hash=sha256:00\n"),
        ],
        Origin::Requirements,
        "pandas==2.0      --hash=sha256:00",
    );
    needs(
        &[
            main,
            (
                "pyproject.toml",
                "[project]\nname='x'\ndependencies=['pandas[excel]>2']\n",
            ),
        ],
        Origin::Pyproject,
        "pandas[excel]>2",
    );
    needs(
        &[("main.py", "# /// script\n# dependencies = ['six']\n# ///\n")],
        Origin::Inline,
        "six",
    );
    let none = [main, ("requirements.txt", "\n")];
    assert_eq!(
        asked(&none),
        Ok(Asked::Nothing),
        "it says that it needs nothing"
    );
    let tools = [
        ("main.py", "1"),
        ("pyproject.toml", "[tool.black]\nline-length = 1\n"),
    ];
    assert_eq!(asked(&tools), Ok(Asked::Nothing));
}

#[test]
fn what_would_come_from_elsewhere_than_the_index_is_refused() {
    for line in [
        "--index-url https://example.org",
        "-r other.txt",
        "-e .",
        "./local",
        "/etc",
        "x @ https://example.org/x.whl",
        "x@../local",
        "x[extra]@file:/local",
        "x[extra] @file:local; python_version > '3'",
        "git+https://example.org/x",
        "https://example.org/x.whl",
        "x y",
        "x\u{202e}y",
        "x; y\\",
        "\"x\"",
    ] {
        let found = asked(&[("main.py", "1"), ("requirements.txt", line)]);
        assert!(
            matches!(found, Err(DependencyError::Line { .. })),
            "{line}: {found:?}"
        );
    }
    let dynamic = "[project]\nname = 'x'\ndynamic = ['dependencies']\n";
    for (file, text) in [("pyproject.toml", dynamic), ("pyproject.toml", "[")] {
        let found = asked(&[("main.py", "1"), (file, text)]);
        assert!(
            matches!(found, Err(DependencyError::File { .. })),
            "{found:?}"
        );
    }
    let inline = "# /// script\n# dependencies = ['six']\n# ///\n";
    let two = asked(&[("main.py", inline), ("requirements.txt", "six")]);
    assert_eq!(
        two,
        Err(DependencyError::Two(Origin::Requirements, Origin::Inline))
    );
    let many = vec!["six"; 501].join("\n");
    let found = asked(&[("main.py", "1"), ("requirements.txt", &many)]);
    assert!(
        matches!(found, Err(DependencyError::File { .. })),
        "{found:?}"
    );
}

#[test]
fn imports_are_asked_for_where_nothing_is_said_and_the_interpreter_may_lack_some() {
    for source in [
        "import pandas",
        "import os, pandas",
        "import os as o, numpy as np",
        "def f():\n    from PIL import Image",
        "import \\\n  pandas",
        "if x: import yaml",
        "x = 1; import yaml",
        "from google.cloud import storage",
        "import json\nimport os, \\\n sys, requests",
        "from\\\n yaml\\\n import(load)",
    ] {
        assert_eq!(
            asked(&[("main.py", source)]),
            Ok(Asked::Imports),
            "{source}"
        );
    }
    for source in [
        "import json, os.path as p",
        "from . import mine",
        "from .mine import x",
        "import mine",
        "from mine.deep import x",
        "import strongroom",
        "important = 'yes'",
        "",
    ] {
        let of = [("main.py", source), ("mine/deep.py", "")];
        assert_eq!(asked(&of), Ok(Asked::Nothing), "{source}");
    }
    let off = "[dependencies]\ninfer = false\n";
    let of = [("main.py", "import pandas"), ("strongroom.toml", off)];
    assert_eq!(asked(&of), Ok(Asked::Nothing));
}

#[test]
fn a_module_is_brought_by_the_package_that_people_know_for_it() {
    for (module, package) in [
        ("PIL.Image", "Pillow"),
        ("yaml", "PyYAML"),
        ("dateutil.parser", "python-dateutil"),
        ("google.cloud.storage", "google-cloud-storage"),
        ("google.protobuf.message", "protobuf"),
        ("pandas", "pandas"),
        ("some_thing.deep", "some-thing"),
    ] {
        assert_eq!(distribution_of(module), package);
    }
    let found = Requirements::of_imports(["yaml", "PIL", "yaml.loader"]);
    assert_eq!(found.text, "Pillow\nPyYAML");
}

const HASH: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_lock_names_versions_and_the_digests_of_their_files() {
    let digest = Digest::of(b"r");
    let pinned = format!(
        "Six==1.17.0 \\\n    --hash=sha256:{HASH} \\\n    --hash=sha256:{}\n    # via -r x\n\
         python_dateutil==2.9.0.post0 --hash=sha256:{HASH}\n",
        HASH.replace('a', "b"),
    );
    let text = Lock::python_text(&digest, "cpython-311", &pinned);
    let lock = Lock::python(&text).unwrap();
    let names: Vec<&str> = lock.packages.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["python-dateutil", "six"]);
    assert_eq!(lock.requirements, Some(digest));
    assert_eq!(lock.interpreter.as_deref(), Some("cpython-311"));
    assert_eq!(lock.digest(), Digest::of(text.as_bytes()));
}

#[test]
fn a_lock_that_leaves_anything_open_is_refused() {
    let fine = format!("six==1 --hash=sha256:{HASH}");
    assert!(Lock::python(&fine).is_ok());
    for text in [
        "six==1".to_owned(),
        format!("six>=1 --hash=sha256:{HASH}"),
        format!("six --hash=sha256:{HASH}"),
        format!("six==1 ; x --hash=sha256:{HASH}"),
        format!("six==1 --hash=md5:{HASH}"),
        format!("six==1 --hash=sha256:{}", &HASH[1..]),
        format!("--index-url=http://x\n{fine}"),
        format!("six @ http://x --hash=sha256:{HASH}"),
        format!("../six==1 --hash=sha256:{HASH}"),
        format!("six==../1 --hash=sha256:{HASH}"),
        format!("{fine}\n{fine}"),
    ] {
        assert!(Lock::python(&text).is_err(), "{text}");
    }
}

#[test]
fn a_lock_of_node_names_what_is_from_an_index_with_a_strong_digest() {
    let of = |place: &str, entry: serde_json::Value| {
        let packages = serde_json::json!({ "": {}, place: entry });
        let lock = serde_json::json!({ "lockfileVersion": 3, "packages": packages });
        Lock::node(&lock.to_string())
    };
    let mut scoped = serde_json::json!({
        "version": "1.0.0", "integrity": "sha512-abc",
        "resolved": "https://r.example/npm/@a/x/-/x-1.0.0.tgz",
    });
    let lock = of("node_modules/@a/x", scoped.clone()).unwrap();
    assert_eq!(lock.packages[0].name, "@a/x");
    scoped["resolved"] = "https://r.example/npm/@a%2fx/-/x-1.0.0.tgz".into();
    assert!(of("node_modules/y/node_modules/@a/x", scoped).is_ok());
    let fine = serde_json::json!({
        "version": "1.0.0", "resolved": "https://r.example/x/-/x-1.0.0.tgz", "integrity": "sha512-abc"
    });
    assert!(of("node_modules/x", fine.clone()).is_ok());
    for (place, key, value) in [
        ("packages/x", "version", "1"),
        ("../node_modules/x", "version", "1"),
        ("node_modules/x/../..", "version", "1"),
        ("node_modules/x", "resolved", "git+ssh://x"),
        ("node_modules/x", "integrity", "sha1-abc"),
        ("node_modules/x", "integrity", ""),
        ("node_modules/x", "resolved", "file:///x/-/x-1.0.0.tgz"),
        ("node_modules/x", "resolved", "https:x/-/x-1.0.0.tgz"),
    ] {
        let mut entry = fine.clone();
        entry[key] = value.into();
        assert!(of(place, entry).is_err(), "{place} {key} {value}");
    }
    let mut link = fine;
    link["link"] = true.into();
    assert!(of("node_modules/x", link).is_err());
    assert!(Lock::node("{}").is_err() && Lock::node("[").is_err());
}

#[test]
fn a_package_of_node_is_what_an_owner_reads_that_it_is() {
    let of = |place: &str, entry: serde_json::Value, version: u32| {
        let packages = serde_json::json!({ "": {}, place: entry });
        let lock = serde_json::json!({ "lockfileVersion": version, "packages": packages });
        Lock::node(&lock.to_string()).map(|_| ())
    };
    let fine = serde_json::json!({
        "version": "4.17.21", "integrity": "sha512-abc",
        "resolved": "https://r.example/lodash/-/lodash-4.17.21.tgz",
    });
    assert_eq!(of("node_modules/lodash", fine.clone(), 3), Ok(()));
    assert!(of("node_modules/lodash", fine.clone(), 1).is_err());
    for (key, value) in [
        ("resolved", "https://r.example/evil/-/evil-4.17.21.tgz"),
        ("resolved", "https://r.example/lodash/-/lodash-1.0.0.tgz"),
        (
            "resolved",
            "https://r.example/@evil/lodash/-/evil-4.17.21.tgz",
        ),
        (
            "resolved",
            "https://r.example/evil.tgz?/lodash/-/lodash-4.17.21.tgz",
        ),
        (
            "resolved",
            "https://r.example/evil.tgz#/lodash/-/lodash-4.17.21.tgz",
        ),
        ("name", "evil"),
        ("version", "4.17.22"),
        ("version", ""),
    ] {
        let mut entry = fine.clone();
        entry[key] = value.into();
        let found = of("node_modules/lodash", entry, 3);
        assert!(found.is_err(), "{key} {value}");
    }
}

#[test]
fn a_package_of_node_that_lies_elsewhere_is_asked_about_and_its_name_is_one() {
    let of = |name: &str, version: &str, address: &str| {
        let entry = serde_json::json!({
            "version": version, "integrity": "sha512-abc", "resolved": address,
        });
        let packages = serde_json::json!({ "": {}, format!("node_modules/{name}"): entry });
        let lock = serde_json::json!({ "lockfileVersion": 3, "packages": packages });
        Lock::node(&lock.to_string())
    };
    let placed = of("x", "1.0.0", "https://r.example/x/-/x-1.0.0.tgz").unwrap();
    assert_eq!(placed.unplaced(), []);
    let address = "https://files.example/download/0123";
    for name in ["x", "@a/x"] {
        let lock = of(name, "1.0.0-rc.1+b", address).unwrap();
        assert_eq!(lock.unplaced()[0].name, name);
        assert_eq!(lock.unplaced()[0].integrity, "sha512-abc");
    }
    for (name, version) in [
        ("--registry=https://evil.example", "1.0.0"),
        ("x", "npm:evil@1.0.0"),
        ("x", "latest"),
        ("x", "1.0.0 || 2"),
        ("@a", "1.0.0"),
        ("@a/-x", "1.0.0"),
    ] {
        assert!(of(name, version, address).is_err(), "{name} {version}");
    }
}

#[test]
fn other_files_under_the_same_version_are_a_change() {
    let lock = |hash: &str, version: &str| {
        let text = format!("six=={version} --hash=sha256:{hash}\nold==1 --hash=sha256:{HASH}");
        Lock::python(&text).unwrap().packages
    };
    let before = lock(HASH, "1");
    assert_eq!(changes(&before, &before), []);
    let other = changes(&before, &lock(&HASH.replace('a', "c"), "1"));
    assert_eq!(other.len(), 1);
    assert_eq!(other[0].before, other[0].after);
    let grown = changes(&[], &before);
    assert!(grown.iter().all(|one| one.before.is_none()) && grown.len() == 2);
}
