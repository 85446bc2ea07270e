//! What changed between two versions of a function, for an owner's eyes.
//!
//! A unified diff over all files, oldest name order. Files that are not text
//! are said to differ. Comparing is cut short after a time, since the text is
//! a stranger's and the worst case of comparing is slow; a diff that was cut
//! short is still right, only longer than it need be.

use std::{collections::BTreeSet, time::Duration};

use similar::TextDiff;
use strongroom_core::manifest::Files;

/// The longest that one file is compared for a shorter diff.
const COMPARE_MS_MAX: u64 = 200;

/// The unified diff from `old` to `new`; empty when they are the same.
pub fn unified(old: &Files, new: &Files) -> String {
    let paths: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut out = String::new();
    for path in paths {
        let (before, after) = (old.get(path), new.get(path));
        if before == after {
            continue;
        }
        let name = |side: &str, file: Option<&Vec<u8>>| match file {
            Some(_) => format!("{side}/{path}"),
            None => "/dev/null".to_owned(),
        };
        let (from, to) = (name("a", before), name("b", after));
        match (text(before), text(after)) {
            (Some(before), Some(after)) => out.push_str(&of_text(before, after, &from, &to)),
            _ => out.push_str(&format!("Binary files {from} and {to} differ\n")),
        }
    }
    out
}

fn of_text(before: &str, after: &str, from: &str, to: &str) -> String {
    TextDiff::configure()
        .timeout(Duration::from_millis(COMPARE_MS_MAX))
        .diff_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(from, to)
        .to_string()
}

/// The file as text; a missing one is empty text.
fn text(file: Option<&Vec<u8>>) -> Option<&str> {
    file.map_or(Some(""), |bytes| std::str::from_utf8(bytes).ok())
}
