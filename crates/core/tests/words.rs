//! Names, digests, ids, trees, limits and JSON: what is taken and what is refused.

#![allow(clippy::unwrap_used)]

use strongroom_core::{
    digest::Digest,
    id::RunId,
    inline, json,
    limits::{Limits, LimitsAsked, LimitsError},
    name::{Name, NameError, ObjectName, Reference, VersionChoice},
    text,
    tree::{FILES_MAX, Tree, TreeError, TreeFile, TreePath},
};

#[track_caller]
fn refuses_name(raw: &str, why: NameError) {
    assert_eq!(raw.parse::<Name>(), Err(why));
}

#[test]
fn a_name_cannot_climb_out_of_its_folder() {
    refuses_name("../etc", NameError::Start('.'));
    refuses_name("a/b", NameError::Char('/'));
    refuses_name("", NameError::Empty);
    refuses_name("a\0", NameError::Char('\0'));
    refuses_name("A", NameError::Start('A'));
    refuses_name("é", NameError::Start('é'));
}

#[test]
fn a_name_has_at_most_63_characters() {
    assert!("a".repeat(63).parse::<Name>().is_ok());
    refuses_name(&"a".repeat(64), NameError::TooLong { len: 64 });
}

#[test]
fn a_reference_is_a_name_with_a_version() {
    let digest = Digest::of(b"x");
    let plain: Reference = "lab/penguins".parse().unwrap();
    assert_eq!(plain.version, VersionChoice::Back(0));
    let back: Reference = "lab/penguins~2".parse().unwrap();
    assert_eq!(back.version, VersionChoice::Back(2));
    let exact: Reference = format!("lab/penguins@{digest}").parse().unwrap();
    assert_eq!(exact.version, VersionChoice::Exactly(digest));
    for wrong in [
        "lab",
        "lab/",
        "/x",
        "lab/a/b",
        "lab/a~",
        "lab/a~-1",
        "lab/a@sha256:12",
        "lab/a@",
    ] {
        assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
    }
}

#[test]
fn a_digest_has_one_spelling() {
    let digest = Digest::of(b"abc");
    let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest.to_string(), text);
    assert_eq!(text.parse(), Ok(digest));
    assert!(text.to_uppercase().parse::<Digest>().is_err());
    assert!(text[7..].parse::<Digest>().is_err());
    assert!(text.replace("ba78", "ba7").parse::<Digest>().is_err());
}

#[test]
fn an_id_sorts_by_time_and_reads_back() {
    let early = RunId::new(1_000, [255; 10]);
    let late = RunId::new(1_001, [0; 10]);
    assert!(early < late);
    assert_eq!(early.to_string().parse(), Ok(early.clone()));
    assert_eq!(early.to_string().len(), "run-".len() + 26);
    for wrong in [
        "run-",
        "req-00000000000000000000000000",
        "run-8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "run-0000000000000000000000000U",
    ] {
        assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
    }
}

fn file() -> TreeFile {
    TreeFile {
        digest: Digest::of(b""),
        size_bytes: 0,
    }
}

fn tree(paths: &[&str]) -> Result<Tree, TreeError> {
    let mut files = Vec::new();
    for path in paths {
        files.push((path.parse::<TreePath>()?, file()));
    }
    Tree::new(files)
}

#[test]
fn a_tree_holds_no_path_that_leaves_it() {
    for wrong in [
        "",
        "/a",
        "a//b",
        "a/",
        "./a",
        "a/../b",
        "..",
        "a\\b",
        "a\nb",
        "a\u{202e}b",
        "a\0",
    ] {
        assert!(
            matches!(tree(&[wrong]), Err(TreeError::Path { .. })),
            "{wrong:?}"
        );
    }
    assert!(matches!(
        TreePath::from_bytes(b"a\xff"),
        Err(TreeError::Path {
            why: "is not UTF-8",
            ..
        })
    ));
    assert!(tree(&["a b/ü.csv", "a b/-rf", "...", ".hidden"]).is_ok());
}

#[test]
fn a_tree_holds_no_two_paths_that_some_file_system_takes_for_one() {
    assert_eq!(tree(&["a", "a"]), Err(TreeError::Twice("a".into())));
    assert!(matches!(
        tree(&["Data/a", "data/b"]),
        Err(TreeError::Case(..))
    ));
    assert!(matches!(
        tree(&["a.CSV", "a.csv"]),
        Err(TreeError::Case(..))
    ));
    assert_eq!(
        tree(&["a", "a/b"]),
        Err(TreeError::FileAndFolder("a".into()))
    );
    assert_eq!(
        tree(&["a/b", "a"]),
        Err(TreeError::FileAndFolder("a".into()))
    );
    assert_eq!(tree(&[]), Err(TreeError::Empty));
}

#[test]
fn a_tree_and_its_paths_are_bounded() {
    let deep = |parts: usize| vec!["d"; parts].join("/");
    assert!(tree(&[&deep(32)]).is_ok());
    assert!(tree(&[&deep(33)]).is_err());
    assert!(tree(&[&"x".repeat(255)]).is_ok());
    assert!(tree(&[&"x".repeat(256)]).is_err());
    let many =
        |count: usize| Tree::new((0..count).map(|n| (n.to_string().parse().unwrap(), file())));
    assert!(many(FILES_MAX).is_ok());
    assert_eq!(many(FILES_MAX + 1), Err(TreeError::TooMany));
}

#[test]
fn a_tree_reads_back_and_keeps_its_digest() {
    let one = tree(&["b", "a/c"]).unwrap();
    let text = serde_json::to_string(&one).unwrap();
    let back: Tree = serde_json::from_str(&text).unwrap();
    assert_eq!(back, one);
    assert_eq!(back.digest(), tree(&["a/c", "b"]).unwrap().digest());
    assert_ne!(one.digest(), tree(&["a/c"]).unwrap().digest());
    assert!(
        serde_json::from_str::<Tree>(r#"{"../x":{"digest":"sha256:00","size_bytes":0}}"#).is_err()
    );
}

#[test]
fn json_that_two_parsers_could_read_differently_is_refused() {
    let refuses = |text: &str, why: &str| {
        let error = json::parse(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
    };
    refuses(r#"{"a":1,"a":2}"#, "`a` is there twice");
    refuses(r#"{"x":{"a":1,"a":2}}"#, "line 1, column");
    refuses("NaN", "expected");
    refuses("1e999", "out of range");
    refuses("{} {}", "trailing");
    refuses("", "EOF");
    refuses("\"\\ud800\"", "");
    refuses(
        &("[".repeat(100_000) + &"]".repeat(100_000)),
        "nests deeper",
    );
}

#[test]
fn json_nests_120_deep_and_no_deeper() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(json::parse(nested(json::DEPTH_MAX).as_bytes()).is_ok());
    assert!(json::parse(nested(json::DEPTH_MAX + 1).as_bytes()).is_err());
}

#[test]
fn canonical_json_sorts_keys_at_every_depth() {
    let value = json::parse(br#" {"b":[{"z":1,"a":"\u00e9\n"}],"a":1.50,"B":null} "#).unwrap();
    assert_eq!(
        json::canonical(&value),
        "{\"B\":null,\"a\":1.5,\"b\":[{\"a\":\"é\\n\",\"z\":1}]}"
    );
}

#[test]
fn limits_are_read_as_people_write_them() {
    let read = |key: &str, value: &str| {
        let mut asked = LimitsAsked::default();
        asked.set(key, value)?;
        asked.over(Limits::DEFAULT)
    };
    assert_eq!(read("memory", "256 MiB").unwrap().memory_bytes, 256 << 20);
    assert_eq!(read("memory", "1gb").unwrap().memory_bytes, 1_000_000_000);
    assert_eq!(read("time", "500ms").unwrap().time_ms, 500);
    assert_eq!(read("time", "2m").unwrap().time_ms, 120_000);
    assert_eq!(read("cpu", "0.5").unwrap().cpu_milli, 500);
    assert_eq!(read("processes", "8").unwrap().processes, 8);
    for (key, value) in [
        ("memory", "lots"),
        ("memory", "-1"),
        ("time", "1 fortnight"),
        ("cpu", "NaN"),
        ("cpu", "-1"),
        ("memory", "99999999999 GiB"),
        ("processes", "1.5"),
    ] {
        assert!(
            matches!(read(key, value), Err(LimitsError::Unreadable { .. })),
            "{key}={value}"
        );
    }
    assert!(matches!(
        read("colour", "red"),
        Err(LimitsError::Unknown(_))
    ));
}

#[test]
fn limits_outside_what_is_granted_name_the_one_that_is() {
    let over = Limits {
        memory_bytes: Limits::MAX.memory_bytes + 1,
        ..Limits::DEFAULT
    };
    assert!(matches!(
        over.checked(Limits::MAX),
        Err(LimitsError::TooLarge {
            what: "memory_bytes",
            ..
        })
    ));
    let under = Limits {
        processes: 0,
        ..Limits::DEFAULT
    };
    assert!(matches!(
        under.checked(Limits::MAX),
        Err(LimitsError::TooSmall {
            what: "processes",
            ..
        })
    ));
    assert_eq!(Limits::DEFAULT.checked(Limits::MAX), Ok(Limits::DEFAULT));
    assert_eq!(Limits::MIN.checked(Limits::MAX), Ok(Limits::MIN));
    assert_eq!(Limits::MAX.checked(Limits::MAX), Ok(Limits::MAX));
}

#[test]
fn what_people_read_cannot_move_their_cursor() {
    assert_eq!(text::shown("a\u{1b}[2Jb", 80), "a\\u{1b}[2Jb");
    assert_eq!(text::line_shown("a\tb\r\u{202e}c"), "a\tb\\u{d}\\u{202e}c");
    assert_eq!(text::shown("abcdef", 3), "abc…");
}

#[test]
fn inline_metadata_is_one_closed_block_of_comments() {
    let source = "#!/usr/bin/python3\n# /// script\n# [tool.strongroom]\n#\n# runtime = \"sh\"\n# ///\nprint()\n";
    let (toml, before) = inline::block(source).unwrap().unwrap();
    assert_eq!(toml, "[tool.strongroom]\n\nruntime = \"sh\"\n");
    assert_eq!(before, 2);
    assert_eq!(inline::block("print()").unwrap(), None);
    assert!(inline::block("# /// script\n# a = 1\n").is_err());
    assert!(inline::block("# /// script\nprint()\n# ///\n").is_err());
    assert!(inline::block("# /// script\n# ///\n# /// script\n# ///\n").is_err());
}

#[test]
fn an_object_name_has_two_parts() {
    assert!("a/b".parse::<ObjectName>().is_ok());
    for wrong in ["a", "a/b/c", "/b", "a/", "A/b"] {
        assert!(wrong.parse::<ObjectName>().is_err(), "{wrong}");
    }
}
