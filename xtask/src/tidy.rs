//! The house rules that a machine can check.
//!
//! Which crate may know which; that every file says what it is; that unsafe
//! code stays in the cage; that files and functions stay short; that no
//! left-over marks are committed; and that every promise in SPEC.md, and what
//! the pages on security rest on, names a test that exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::shell::{STAR, cargo, read, root, say};

/// The whole list of edges between our crates. A new one needs a decision record.
const EDGES: &[(&str, &[&str])] = &[
    ("strongroom-cli", &["strongroom-core", "strongroom-server"]),
    (
        "strongroom-server",
        &["strongroom-core", "strongroom-run", "strongroom-store"],
    ),
    ("strongroom-store", &["strongroom-core"]),
    ("strongroom-run", &["strongroom-core", "strongroom-jail"]),
    ("strongroom-core", &[]),
    ("strongroom-jail", &[]),
    ("strongroom-star", &[]),
    ("xtask", &[]),
];

/// Pages that name tests in passing.
const EVIDENCE: &[&str] = &["SECURITY.md", "THREATS.md"];
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const NAMES_REFUSED: &[&str] = &["common", "util", "utils", "helper", "helpers", "manager"];

/// Checks everything and lists every fault.
pub fn run() -> anyhow::Result<()> {
    let mut faults = edges()?;
    let files = rust_files()?;
    for file in &files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        faults.extend(file_faults(file, &text));
    }
    let tests = test_names(&files)?;
    faults.extend(promises(&tests));
    faults.extend(evidence(&tests)?);
    if faults.is_empty() {
        say(&format!("tidy: {} files keep the house rules", files.len()));
        return Ok(());
    }
    for fault in &faults {
        say(&format!("tidy: {fault}"));
    }
    bail!("{} faults against the house rules", faults.len());
}

fn edges() -> anyhow::Result<Vec<String>> {
    let mut faults = edges_in("Cargo.toml")?;
    faults.extend(edges_in(STAR)?);
    Ok(faults)
}

fn edges_in(workspace: &str) -> anyhow::Result<Vec<String>> {
    let text = read(&mut cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--manifest-path",
        workspace,
    ]))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let mut faults = Vec::new();
    for package in metadata["packages"]
        .as_array()
        .context("cargo lists no packages")?
    {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            faults.push(format!("crate {name} is not in the list of crates"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if to.starts_with("strongroom-") && !allowed.contains(&to) {
                faults.push(format!("{name} may not know {to}"));
            }
        }
    }
    Ok(faults)
}

fn rust_files() -> anyhow::Result<Vec<PathBuf>> {
    let listed = read(std::process::Command::new("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.rs",
    ]))?;
    let all = listed.lines().map(PathBuf::from);
    Ok(all.filter(|file| root().join(file).exists()).collect())
}

fn file_faults(file: &Path, text: &str) -> Vec<String> {
    let shown = file.display();
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("{shown}: does not open with //! and what it is"));
    }
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    if NAMES_REFUSED.contains(&name.as_ref()) {
        faults.push(format!(
            "{shown}: a file is named for what it holds, not `{name}`"
        ));
    }
    let in_jail = file.starts_with("crates/jail");
    let is_test = is_test(file);
    let code: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .collect();
    if !is_test && FILE_LINES_MAX < code.len() {
        faults.push(format!(
            "{shown}: {} lines, more than {FILE_LINES_MAX}",
            code.len()
        ));
    }
    for (index, line) in text.lines().enumerate() {
        let place = index + 1;
        if !in_jail
            && (line.contains("unsafe {")
                || line.contains("unsafe fn")
                || line.contains("unsafe impl")
                || line.contains("allow(unsafe_code)"))
            && !file.starts_with("xtask")
            && !(file.starts_with("crates/star") && is_signature_of_starlark(line))
        {
            faults.push(format!(
                "{shown}:{place}: unsafe code lives in crates/jail only"
            ));
        }
        if marks(line) && !file.starts_with("xtask") {
            faults.push(format!("{shown}:{place}: a left-over mark"));
        }
        if is_test && line.contains("#[ignore") {
            faults.push(format!("{shown}:{place}: an ignored test"));
        }
    }
    if !is_test {
        faults.extend(long_functions(file, &code));
    }
    faults
}

/// The functions that `starlark` marks `unsafe` in its trait for values. Their
/// bodies may do nothing unsafe: that would take an `unsafe` block.
fn is_signature_of_starlark(line: &str) -> bool {
    ["iterate(", "iter_next(", "iter_stop("]
        .iter()
        .any(|name| line.trim_start().starts_with(&format!("unsafe fn {name}")))
}

fn is_test(file: &Path) -> bool {
    let text = file.to_string_lossy();
    text.contains("/tests/") || text.ends_with("_tests.rs") || text.ends_with("/tests.rs")
}

fn marks(line: &str) -> bool {
    ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("]
        .iter()
        .any(|mark| line.contains(mark))
}

fn long_functions(file: &Path, code: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (index, line) in code.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if is_function(line) && !line.trim_end().ends_with(';') {
            open = Some((index, indent));
        }
        let Some((start, depth)) = open else { continue };
        if indent == depth && line.trim_end() == format!("{}}}", " ".repeat(depth)) {
            let lines = index - start + 1;
            if FUNCTION_LINES_MAX < lines {
                faults.push(format!(
                    "{}:{}: a function of {lines} lines",
                    file.display(),
                    start + 1
                ));
            }
            open = None;
        }
    }
    faults
}

fn is_function(line: &str) -> bool {
    let words = line.trim_start();
    let stripped = [
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "const ",
        "async ",
        "unsafe ",
    ]
    .iter()
    .fold(words, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    stripped.starts_with("fn ")
}

/// Every function of ours, and so every test.
fn test_names(files: &[PathBuf]) -> anyhow::Result<BTreeSet<String>> {
    let mut tests = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file)?;
        for line in text.lines() {
            if let Some(rest) = line.split("fn ").nth(1) {
                tests.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(tests)
}

/// Every word in the pages on security that is spelled like a test is one.
fn evidence(tests: &BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for page in EVIDENCE {
        let text = fs::read_to_string(page).with_context(|| format!("cannot read {page}"))?;
        let quoted = text.split('`').skip(1).step_by(2);
        let names = quoted.filter(|name| is_like_a_test(name));
        let missing = names.filter(|name| !tests.contains(*name));
        faults.extend(
            missing.map(|name| format!("{page} names the test `{name}`, which is nowhere")),
        );
    }
    Ok(faults)
}

fn is_like_a_test(name: &str) -> bool {
    let lawful =
        |letter: char| letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit();
    2 < name.matches('_').count() && name.chars().all(lawful)
}

/// Every `` `test_name` `` in SPEC.md's last column is a test that exists.
fn promises(tests: &BTreeSet<String>) -> Vec<String> {
    let spec = fs::read_to_string("SPEC.md").unwrap_or_default();
    let rows = spec
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|-"));
    let mut faults = Vec::new();
    for row in rows.skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let named = cells.last().unwrap_or(&"");
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        if row.contains("|---") || named.trim() == "Test" {
            continue;
        }
        if names.is_empty() {
            faults.push(format!("SPEC.md: a promise without a test: {}", row.trim()));
        }
        for name in names.into_iter().filter(|name| !tests.contains(*name)) {
            faults.push(format!("SPEC.md names the test `{name}`, which is nowhere"));
        }
    }
    faults
}
