//! What a function's imports stand for.
//!
//! Whether code needs more than the interpreter brings is looked at here
//! roughly, on the safe side: the text of a comment may be taken for an import,
//! an import is never missed. Which imports there really are is told by the
//! interpreter's own parser, in a sandbox and without running anything. Which
//! package brings a module is no law; where the names differ and the package is
//! well known, a list says so.

use std::collections::BTreeSet;

use crate::manifest::Files;

/// Modules and the packages that bring them, by module.
const DISTRIBUTIONS: &str = include_str!("distributions.txt");
/// Modules that every interpreter brings that a station may have.
const STANDARD: &str = include_str!("standard.txt");
/// What a runtime brings.
const OWN: &str = "strongroom";

/// The package that brings a module, as in `PIL` or `google.cloud.storage`.
pub fn distribution_of(module: &str) -> String {
    let known = |module: &str| {
        let mut lines = DISTRIBUTIONS.lines();
        lines.find_map(|line| line.strip_prefix(module)?.strip_prefix(' '))
    };
    let mut prefix = module;
    loop {
        if let Some(found) = known(prefix) {
            return found.to_owned();
        }
        match prefix.rsplit_once('.') {
            Some((shorter, _)) => prefix = shorter,
            None => return super::lock::normal(prefix),
        }
    }
}

/// Whether the code may import what is neither the interpreter's nor its own.
pub fn may_need_more(files: &Files) -> bool {
    let known: BTreeSet<&str> = STANDARD.lines().chain([OWN]).collect();
    let own: BTreeSet<&str> = files
        .keys()
        .filter_map(|path| {
            let first = path.as_str().split('/').next()?;
            Some(first.strip_suffix(".py").unwrap_or(first))
        })
        .collect();
    let code = files
        .iter()
        .filter(|(path, _)| path.as_str().ends_with(".py"));
    code.into_iter().any(|(_, bytes)| {
        let text = String::from_utf8_lossy(bytes);
        let named = roots(&text);
        named
            .iter()
            .any(|root| !known.contains(root.as_str()) && !own.contains(root.as_str()))
    })
}

/// The first parts of all names that may be imported.
fn roots(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let words = words(source);
    for (at, word) in words.iter().enumerate() {
        if *word != "import" {
            continue;
        }
        // `from NAME import`: the name is what is imported. One that begins
        // with a dot is the function's own.
        let before = &words[..at];
        let from = before.iter().rposition(|word| *word == "from");
        if let Some(from) = from
            && at - from <= 2
        {
            let name = before.get(from + 1).copied().unwrap_or(".");
            found.extend(root(name));
            continue;
        }
        let mut rest = words[at + 1..].iter().peekable();
        while let Some(name) = rest.next() {
            found.extend(root(name));
            if rest.peek() == Some(&&"as") {
                rest.next();
                rest.next();
            }
            if rest.next() != Some(&",") {
                break;
            }
        }
    }
    found
}

fn root(name: &str) -> Option<String> {
    let first = name.split('.').next()?;
    let is_name = first.starts_with(|c: char| c.is_alphabetic() || c == '_');
    is_name.then(|| first.to_owned())
}

/// Dotted names and commas; whatever else there is, parts them.
fn words(source: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = source;
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    while let Some(first) = rest.chars().next() {
        let len = match in_name(first) {
            true => rest.find(|c| !in_name(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (word, after) = rest.split_at(len);
        if in_name(first) || !(first.is_whitespace() || first == '\\') {
            words.push(word);
        }
        rest = after;
    }
    words
}
