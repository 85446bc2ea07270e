//! What a function may say of itself, and what is refused when it is pushed.

#![allow(clippy::unwrap_used)]

use strongroom_core::{
    limits::MIB,
    manifest::{Files, Manifest, ManifestError},
    runtime::{FunctionFiles, Kind, Kinds, RuntimeName},
};

fn files(entries: &[(&str, &str)]) -> Files {
    entries
        .iter()
        .map(|(path, text)| (path.parse().unwrap(), text.as_bytes().to_vec()))
        .collect()
}

/// The runtimes of a station: two that are shipped and one that was added.
fn kinds() -> Kinds {
    let kind = |name: &str, suffix: &str, implied| Kind {
        runtime: name.parse().unwrap(),
        files: FunctionFiles {
            suffix: suffix.to_owned(),
            main: format!("main{suffix}").parse().unwrap(),
        },
        implied,
    };
    Kinds::new([
        kind("python3", ".py", true),
        kind("sh", ".sh", true),
        kind("awk", ".awk", false),
        kind("python3-data", ".py", false),
    ])
}

fn read(files: &Files) -> Result<Manifest, ManifestError> {
    Manifest::of_files(files, &kinds())
}

#[track_caller]
fn refuses(entries: &[(&str, &str)], why: &str) {
    let error = read(&files(entries)).unwrap_err();
    let mut whole = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        whole = format!("{whole}: {source}");
    }
    assert!(whole.contains(why), "{whole}");
}

#[test]
fn a_single_file_needs_no_manifest() {
    let manifest = read(&files(&[("hello.py", "print(1)")])).unwrap();
    assert_eq!(manifest.runtime, RuntimeName::python3());
    assert_eq!(manifest.entry.as_str(), "hello.py");
    let manifest = read(&files(&[("hello.sh", "echo")])).unwrap();
    assert_eq!(manifest.runtime, RuntimeName::sh());
}

#[test]
fn inline_metadata_and_a_manifest_file_say_the_same() {
    let inline = "# /// script\n# requires-python = \">=3.9\"\n# dependencies = []\n# [tool.strongroom]\n# description = \"d\"\n# [tool.strongroom.limits]\n# memory = \"100 MiB\"\n# [tool.strongroom.args]\n# type = \"object\"\n# ///\n";
    let one = read(&files(&[("a.py", inline)])).unwrap();
    let toml = "description = \"d\"\n[limits]\nmemory = \"100 MiB\"\n[args]\ntype = \"object\"\n";
    let two = read(&files(&[("a.py", ""), ("strongroom.toml", toml)])).unwrap();
    assert_eq!(one, two);
    assert_eq!(one.limits.memory_bytes, 100 * MIB);
}

#[test]
fn a_folder_has_a_main_file_or_names_its_entry() {
    let found = read(&files(&[("main.py", ""), ("lib.py", "")])).unwrap();
    assert_eq!(found.entry.as_str(), "main.py");
    let named = [
        ("x.py", ""),
        ("lib.py", ""),
        ("strongroom.toml", "entry = \"x.py\""),
    ];
    assert_eq!(read(&files(&named)).unwrap().entry.as_str(), "x.py");
    refuses(
        &[("x.py", ""), ("lib.py", "")],
        "there is no `main.py` or `main.sh`",
    );
    refuses(
        &[("x.py", ""), ("strongroom.toml", "entry = \"y.py\"")],
        "`y.py` is not among",
    );
    refuses(
        &[("x.py", ""), ("strongroom.toml", "entry = \"../y.py\"")],
        "`..`",
    );
    refuses(&[("data.csv", "")], "does not end in .py or .sh");
}

#[test]
fn a_runtime_that_was_added_is_chosen_by_its_name_only() {
    let named = |toml: &str| {
        read(&files(&[
            ("main.py", ""),
            ("lib.py", ""),
            ("strongroom.toml", toml),
        ]))
    };
    let found = named("runtime = \"python3-data\"").unwrap();
    assert_eq!(found.runtime.as_str(), "python3-data");
    assert_eq!(found.entry.as_str(), "main.py");
    assert_eq!(named("").unwrap().runtime, RuntimeName::python3());
    refuses(&[("x.awk", "")], "`x.awk` does not end in .py or .sh");
    refuses(
        &[("a.py", ""), ("strongroom.toml", "runtime = \"node\"")],
        "no runtime `node` here; there are python3, sh, awk and python3-data",
    );
}

#[test]
fn a_misspelt_key_is_an_error_with_its_line() {
    refuses(
        &[("a.py", ""), ("strongroom.toml", "\nruntim = \"sh\"")],
        "strongroom.toml: line 2: unknown field",
    );
    refuses(
        &[("a.py", ""), ("strongroom.toml", "[limits]\nmemroy = 1")],
        "line 2",
    );
    refuses(
        &[(
            "a.py",
            "# /// script\n# [tool.strongroom]\n# entrie = \"x\"\n# ///",
        )],
        "unknown field",
    );
    refuses(
        &[("a.py", "# /// script\n# depend = []\n# ///")],
        "line 2: unknown field",
    );
    refuses(
        &[("a.py", ""), ("strongroom.toml", "runtime = 3")],
        "line 1",
    );
    refuses(&[("a.py", ""), ("strongroom.toml", "= = =")], "line 1");
    refuses(&[("a.py", "# /// script\n# x\nprint()")], "has no end");
}

#[test]
fn what_cannot_be_kept_here_is_refused_at_push() {
    refuses(
        &[("a.py", ""), ("strongroom.toml", "runtime = \"cobol\"")],
        "no runtime `cobol`",
    );
    refuses(
        &[
            ("a.py", ""),
            ("strongroom.toml", "[download]\nhosts = [\"x\"]"),
        ],
        "with the stage `download`",
    );
    refuses(
        &[
            ("a.py", ""),
            ("strongroom.toml", "[release]\nmode = \"held\""),
        ],
        "at_once",
    );
    refuses(
        &[
            ("a.py", ""),
            ("strongroom.toml", "[limits]\nmemory = \"1 KiB\""),
        ],
        "less than",
    );
    refuses(
        &[
            ("a.py", ""),
            ("strongroom.toml", "[limits]\nmemory = \"9999 GiB\""),
        ],
        "more than",
    );
    refuses(
        &[
            ("a.py", ""),
            ("strongroom.toml", "[args]\ntype = \"objekt\""),
        ],
        "not a JSON Schema",
    );
    refuses(
        &[
            ("a.py", ""),
            (
                "strongroom.toml",
                "[args]\n\"$ref\" = \"https://example.org/s\"",
            ),
        ],
        "not a JSON Schema",
    );
    refuses(
        &[
            ("a.py", ""),
            ("strongroom.toml", "[inputs]\n\"Big Data\" = \"x\""),
        ],
        "input `Big Data`",
    );
}
