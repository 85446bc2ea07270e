//! What a function may say of itself, and what is refused when it is pushed.

#![allow(clippy::unwrap_used)]

use strongroom_core::{
    limits::MIB,
    manifest::{Files, Manifest, ManifestError},
    runtime::{FunctionFiles, Kind, Kinds, RuntimeName, executable::ExecutableError},
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
        files: FunctionFiles::new(suffix, format!("main{suffix}").parse().unwrap()),
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
    refuses(&[("data.csv", "")], "is none of .py and .sh");
}

/// Runtimes with handlers, and one whose functions are programs.
fn kinds_of_many_files() -> Kinds {
    let kind = |name: &str, suffix: &str, handler: &str| {
        let mut files = FunctionFiles::new(suffix, format!("main{suffix}").parse().unwrap());
        files.handler = Some(handler.parse().unwrap());
        files.is_program = suffix.is_empty();
        Kind {
            runtime: name.parse().unwrap(),
            files,
            implied: true,
        }
    };
    Kinds::new([
        kind("python3", ".py", "handler.py"),
        kind("sh", ".sh", "handler.sh"),
        kind("binary", "", "handler"),
    ])
}

#[test]
fn a_folder_with_no_entry_or_with_two_says_so() {
    let kinds = kinds_of_many_files();
    let found = |entries: &[(&str, &str)]| {
        let read = Manifest::of_files(&files(entries), &kinds);
        read.map(|manifest| manifest.entry.to_string())
            .map_err(|error| error.to_string())
    };
    let two = Err("`main.py` and `main.sh` could both be the entry; say which is the `entry`");
    let none = Err("say which file is the `entry`; there is no `main.py` or `main.sh` or `main`");
    for (entries, expected) in [
        (&[("main.py", ""), ("main.sh", "")][..], two),
        (&[("main.py", ""), ("handler.sh", "")], Ok("main.py")),
        (
            &[("handler.py", ""), ("requirements.txt", "")],
            Ok("handler.py"),
        ),
        (&[("a.py", ""), ("b.py", "")], none),
        // What is called `main` and is no program is nobody's entry.
        (&[("main", "text"), ("main.sh", "")], Ok("main.sh")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found(entries), expected, "{entries:?}");
    }
}

#[test]
fn a_program_is_told_by_how_it_begins_and_one_that_could_not_run_is_refused() {
    let read = |entries: &[(&str, &[u8])]| {
        let entries = entries.iter();
        let files = entries.map(|(path, content)| (path.parse().unwrap(), content.to_vec()));
        let read = Manifest::of_files(&files.collect(), &kinds_of_many_files());
        match read.unwrap_err() {
            ManifestError::Executable { source, .. } => source,
            other => panic!("{other}"),
        }
    };
    let this = std::fs::read("/proc/self/exe").unwrap();
    for entries in [
        &[("hello", &this[..])][..],
        &[("main", &this), ("x.csv", b"")],
    ] {
        // A test is linked dynamically.
        assert_eq!(read(entries), ExecutableError::Dynamic);
    }
    assert_eq!(read(&[("hello", b"\x7fELF")]), ExecutableError::NoElf);
    let named: [(&str, &[u8]); 2] = [
        ("hello", b"#!/bin/sh\n"),
        ("strongroom.toml", b"runtime = 'binary'"),
    ];
    assert_eq!(read(&named), ExecutableError::NoElf);
}

#[test]
fn a_function_in_javascript_has_the_stages_that_it_exports() {
    let js = Kind {
        runtime: "node".parse().unwrap(),
        files: FunctionFiles::new(".js", "main.js".parse().unwrap()),
        implied: true,
    };
    let kinds = Kinds::new([js]);
    let source = "// /// script\n// [tool.strongroom]\n// download.hosts = ['a.example']\n\
        // ///\nexport async function download(ctx) {}\nexport function transform() {}\n";
    let manifest = Manifest::of_files(&files(&[("f.js", source)]), &kinds).unwrap();
    assert_eq!(manifest.stages.len(), 2);
    let plain = Manifest::of_files(&files(&[("f.js", "console.log(1)")]), &kinds).unwrap();
    assert_eq!(plain.stages.len(), 1);
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
    refuses(&[("x.awk", "")], "`x.awk` is none of .py and .sh");
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
