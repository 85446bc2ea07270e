//! A manifest written inside a single file: PEP 723 inline script metadata.
//!
//! The block starts with a line `# /// script`, ends with a line `# ///`, and
//! every line between starts with `#`; without it, it is TOML
//! (<https://peps.python.org/pep-0723/>). The same block serves shell scripts,
//! and JavaScript with `//` in place of `#`.

/// Why inline metadata cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InlineError {
    #[error("line {line}: the block `# /// script` has no end `# ///`")]
    NoEnd { line: usize },
    #[error("line {line}: there are two blocks `# /// script`")]
    Two { line: usize },
}

/// What a line of comment begins with.
const MARKS: [&str; 2] = ["#", "//"];

/// The TOML inside `source`, and how many lines of `source` come before it.
///
/// # Errors
///
/// [`InlineError`] when a block is open or there are two; the writer is at fault.
pub fn block(source: &str) -> Result<Option<(String, usize)>, InlineError> {
    let mut found: Option<(String, usize)> = None;
    let mut lines = source.lines().enumerate();
    while let Some((start, line)) = lines.next() {
        let Some(mark) = MARKS.iter().find(|mark| {
            let rest = line.trim_end().strip_prefix(**mark);
            rest == Some(" /// script")
        }) else {
            continue;
        };
        if found.is_some() {
            return Err(InlineError::Two { line: start + 1 });
        }
        let toml = read_block(mark, &mut lines).ok_or(InlineError::NoEnd { line: start + 1 })?;
        found = Some((toml, start + 1));
    }
    Ok(found)
}

fn read_block<'a>(
    mark: &str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Option<String> {
    let mut toml = String::new();
    for (_, line) in lines {
        let content = line.strip_prefix(mark)?;
        if content.trim_end() == " ///" {
            return Some(toml);
        }
        toml.push_str(content.strip_prefix(' ').unwrap_or(content));
        toml.push('\n');
    }
    None
}
