//! Laws of every text that this crate parses, tried on arbitrary bytes.
//!
//! Each says: it never panics, what is taken obeys the law it is taken under,
//! and what is written reads back as what it was.
#![allow(clippy::unwrap_used)]

use std::path::{Component, Path};

use serde_json::Value;

use crate::{
    digest::Digest,
    id::{RequestId, RunId},
    inline, json,
    limits::{Limits, LimitsAsked},
    manifest::{Files, Manifest},
    name::{Name, ObjectName, Reference},
    rule::RuleSet,
    runtime::{Definition, FunctionFiles, Kind, Kinds, RuntimeName, Start},
    schema, text,
    tree::{DEPTH_MAX, PART_LEN_MAX, PATH_LEN_MAX, Tree, TreeFile, TreePath},
};

pub fn json_documents(bytes: &[u8]) {
    let Ok(value) = json::parse(bytes) else {
        return;
    };
    assert!(json::depth(&value) <= json::DEPTH_MAX && json::count(&value) <= json::VALUES_MAX);
    let canonical = json::canonical(&value);
    let again = json::parse(canonical.as_bytes()).unwrap();
    assert_eq!(again, value);
    assert_eq!(json::canonical(&again), canonical);
    // What we take, every other parser takes for the same.
    assert_eq!(serde_json::from_slice::<Value>(bytes).unwrap(), value);
}

pub fn tree_paths(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n');
    let paths: Vec<TreePath> = lines
        .filter_map(|line| TreePath::from_bytes(line).ok())
        .collect();
    for path in &paths {
        one_path_stays_inside(path);
    }
    let file = TreeFile {
        digest: Digest::of(b""),
        size_bytes: 1,
    };
    let Ok(tree) = Tree::new(paths.iter().map(|path| (path.clone(), file))) else {
        return;
    };
    assert_eq!(tree.file_count(), paths.len());
    for one in &paths {
        for other in paths.iter().filter(|other| *other != one) {
            assert!(!Path::new(other.as_str()).starts_with(one.as_str()));
            assert_ne!(one.as_str().to_lowercase(), other.as_str().to_lowercase());
        }
    }
    let written = json::canonical_of(&tree);
    assert_eq!(serde_json::from_str::<Tree>(&written).unwrap(), tree);
}

fn one_path_stays_inside(path: &TreePath) {
    let raw = path.as_str();
    let parts: Vec<Component<'_>> = Path::new(raw).components().collect();
    assert!(
        parts
            .iter()
            .all(|part| matches!(part, Component::Normal(name) if name.len() <= PART_LEN_MAX))
    );
    assert_eq!(parts.len(), raw.split('/').count());
    assert!(parts.len() <= DEPTH_MAX && raw.len() <= PATH_LEN_MAX);
    assert!(!raw.contains(char::is_control));
    assert_eq!(path.to_string().parse(), Ok(path.clone()));
}

/// The bytes are the manifest of a folder, and a script of its own.
pub fn manifests(bytes: &[u8]) {
    let file = |name: &str, content: &[u8]| (name.parse::<TreePath>().unwrap(), content.to_vec());
    let folder = Files::from([
        file("strongroom.toml", bytes),
        file("main.py", b""),
        file("x.sh", b""),
    ]);
    let alone = Files::from([file("main.py", bytes)]);
    for files in [folder, alone] {
        let Ok(manifest) = Manifest::of_files(&files, &kinds()) else {
            continue;
        };
        assert!(files.contains_key(&manifest.entry));
        assert!(manifest.limits.is_within(Limits::MAX));
        let written = json::canonical_of(&manifest);
        assert_eq!(
            serde_json::from_str::<Manifest>(&written).unwrap(),
            manifest
        );
    }
}

fn kinds() -> Kinds {
    let kind = |runtime, suffix: &str| Kind {
        runtime,
        files: FunctionFiles::new(suffix, format!("main{suffix}").parse().unwrap()),
        implied: true,
    };
    Kinds::new([
        kind(RuntimeName::python3(), ".py"),
        kind(RuntimeName::sh(), ".sh"),
    ])
}

/// The bytes are the definition of a runtime, which somebody uploaded.
pub fn runtime_definitions(bytes: &[u8]) {
    let Ok(definition) = Definition::parse(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let Start::Own(way) = definition.start else {
        return;
    };
    let folders = ["usr", "bin", "sbin", "lib", "lib64", "lib32", "libx32"];
    for folder in &way.folders {
        assert!(folder == "etc/alternatives" || folders.contains(&folder.as_str()));
    }
    let command = way.command("/program", "text", &"entry".parse().unwrap());
    assert!(way.files.is_program || command.iter().any(|word| word.contains("entry")));
    assert!(!command.iter().any(|word| word.contains(['{', '}', '\0'])));
}

pub fn inline_blocks(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes);
    if let Ok(Some((toml, lines_before))) = inline::block(&source) {
        let lines: Vec<&str> = source.lines().collect();
        let mark = match lines[lines_before - 1].starts_with('#') {
            true => "#",
            false => "//",
        };
        let whole = |rest: &str| format!("{mark}{rest}");
        assert_eq!(lines[lines_before - 1].trim_end(), whole(" /// script"));
        let count = toml.lines().count();
        assert_eq!(lines[lines_before + count].trim_end(), whole(" ///"));
        assert!(
            lines[lines_before..][..count]
                .iter()
                .all(|line| line.starts_with(mark))
        );
    }
}

pub fn words(bytes: &[u8]) {
    let raw = String::from_utf8_lossy(bytes);
    for word in raw.split_whitespace() {
        reads_back::<Name>(word);
        reads_back::<ObjectName>(word);
        reads_back::<Digest>(word);
        reads_back::<RunId>(word);
        reads_back::<RequestId>(word);
        let _ = word.parse::<Reference>();
    }
    for (key, _) in Limits::DEFAULT.rows() {
        let mut asked = LimitsAsked::default();
        if asked.set(key, &raw).is_ok() {
            let _ = asked.over(Limits::DEFAULT);
        }
    }
    for shown in [text::shown(&raw, 80), text::line_shown(&raw)] {
        let bad = |c: char| (c.is_control() && c != '\t') || text::turns_direction(c);
        assert!(!shown.contains(bad), "{shown:?}");
    }
}

fn reads_back<T: std::str::FromStr + ToString>(word: &str) {
    if let Ok(parsed) = word.parse::<T>() {
        assert_eq!(parsed.to_string(), word);
    }
}

pub fn schemas(bytes: &[u8]) {
    let Ok(value) = json::parse(bytes) else {
        return;
    };
    if let Ok(compiled) = schema::compile(&value) {
        for sample in [Value::Null, serde_json::json!({"a": [1, "x"]}), value] {
            let _ = compiled.check(&sample);
        }
    }
}

pub fn rules(bytes: &[u8]) {
    let raw = String::from_utf8_lossy(bytes);
    if let Err(error) = RuleSet::parse(&raw) {
        assert!(!error.to_string().is_empty());
    }
}

#[cfg(test)]
#[path = "../../../fuzz/try_law.rs"]
mod trying;

#[cfg(test)]
mod tests {
    use super::{trying::try_law, *};

    #[test]
    fn a_document_reads_back() {
        let known: &[&[u8]] = &[
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"a\"",
            b"\\ud800",
            b"\\u0000",
            b"1e309",
            b"-0",
            b"18446744073709551616",
            b"null",
        ];
        try_law("json_documents", known, &[], json_documents);
    }

    #[test]
    fn paths_stay_inside() {
        let known: &[&[u8]] = &[
            b"/",
            b"../",
            b"./",
            b"\n",
            b"\\",
            b"\0",
            b"A",
            b"\xe2\x80\xae",
            b"\xc3\xa9",
            b"\xe1\xba\x9e",
            b"\xc4\xb0",
        ];
        try_law("tree_paths", known, &[], tree_paths);
    }

    #[test]
    fn a_manifest_keeps_within_what_is_granted() {
        let known: &[&[u8]] = &[
            b"\n",
            b"[limits]\n",
            b"memory = \"1 GiB\"\n",
            b"time = 1e99\n",
            b"entry = \"../x.py\"\n",
            b"[args]\n",
            b"\"$ref\" = \"#\"\n",
            b"[[",
            b"]]",
            b"\"\"\"",
            b"runtime = \"sh\"\n",
        ];
        try_law("manifests", known, &[], manifests);
    }

    #[test]
    fn a_runtime_shows_and_starts_only_what_is_allowed() {
        let known: &[&[u8]] = &[
            b"base = \"python3\"\n",
            b"command = [\"/x\", \"{entry}\"]\n",
            b"folders = [\"usr\", \"/\"]\n",
            b"[function]\n",
            b"suffix = \".x\"\n",
            b"main = \"m.x\"\n",
            b"{main_program}",
            b"{entry}",
            b"{",
            b"}",
        ];
        try_law("runtime_definitions", known, &[], runtime_definitions);
    }

    #[test]
    fn a_block_lies_inside_its_source() {
        let known: &[&[u8]] = &[
            b"# /// script\n",
            b"# ///\n",
            b"#\n",
            b"\r\n",
            b"# [tool.strongroom]\n",
            b"# /// other\n",
            b"\xc2\x85",
        ];
        try_law("inline_blocks", known, &[], inline_blocks);
    }

    #[test]
    fn a_word_is_written_as_it_was_read() {
        let known: &[&[u8]] = &[
            b"/",
            b"@sha256:",
            b"~1",
            b"run-",
            b"req-",
            b"-",
            b" MiB",
            b"99999999999999999999",
            b".",
            b"\xef\xbc\xa1",
        ];
        try_law("words", known, &[], words);
    }

    #[test]
    fn a_schema_judges_without_fail() {
        let known: &[&[u8]] = &[
            b"{",
            b"}",
            b"\"$ref\":\"#\"",
            b"\"type\":\"object\"",
            b"\"pattern\":\"(a+)+$\"",
            b"\"enum\":[]",
            b"\"properties\":{",
            b"\"$defs\":{",
            b"-1",
            b"1e300",
            b",",
        ];
        try_law("schemas", known, &[], schemas);
    }

    #[test]
    fn rules_are_read_or_refused_with_a_place() {
        let known: &[&[u8]] = &[
            b"permit(principal, action, resource)",
            b"forbid",
            b"when {",
            b"}",
            b"(",
            b")",
            b";",
            b"context.args.x",
            b"like \"*\"",
            b"@id(\"a\")",
            b"!",
            b"-9223372036854775808",
        ];
        try_law("rules", known, &[], rules);
    }
}
