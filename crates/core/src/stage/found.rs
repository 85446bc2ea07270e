//! Which functions a file defines at its top, by reading it as text.
//!
//! Python and Starlark write `def NAME(` in the first column. The text is read
//! only as far as is needed to tell code from strings and comments; nothing is
//! run and nothing is understood. A function that is defined in any other way
//! is not found, and its stages have to be named in the manifest.

/// The names that `source` defines with `def` in the first column.
pub(crate) fn functions_of(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut line_begins = true;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        if line_begins && let Some(name) = defined(rest) {
            found.push(name);
        }
        at += token_len(rest);
        line_begins = rest.starts_with('\n');
    }
    found
}

/// The name in `def NAME(`.
fn defined(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("async") {
        Some(rest) if rest.starts_with(BLANK) => rest.trim_start_matches(BLANK),
        _ => line,
    };
    let rest = line.strip_prefix("def")?;
    let name = rest.trim_start_matches(BLANK);
    if name.len() == rest.len() {
        return None;
    }
    let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let (name, rest) = name.split_at(end);
    let is_function = !name.is_empty() && rest.trim_start_matches(BLANK).starts_with('(');
    is_function.then_some(name)
}

const BLANK: [char; 2] = [' ', '\t'];

/// The length of the string, comment or character that `rest` begins with.
fn token_len(rest: &str) -> usize {
    match rest.as_bytes()[0] {
        b'#' => rest.find('\n').unwrap_or(rest.len()),
        quote @ (b'"' | b'\'') => string_len(rest, quote),
        // The line goes on, so that its next one begins nothing.
        b'\\' if rest[1..].starts_with('\n') => 2,
        _ => rest.chars().next().map_or(1, char::len_utf8),
    }
}

/// A string from its first quote to its last; one that is open ends with its
/// line, or with the text.
fn string_len(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let triple = bytes.len() > 2 && bytes[1] == quote && bytes[2] == quote;
    let quotes = if triple { 3 } else { 1 };
    let mut at = quotes;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\n' if !triple => return at,
            byte if byte == quote => {
                let closing = bytes[at..].iter().take(quotes);
                if closing.filter(|byte| **byte == quote).count() == quotes {
                    return at + quotes;
                }
            }
            _ => {}
        }
        at += 1;
    }
    // An escape may have stepped over the end, or into a character.
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::functions_of;

    #[test]
    fn functions_are_found_where_they_are_code_in_the_first_column() {
        for (source, names) in [
            ("def transform(data, ctx):\n  pass", vec!["transform"]),
            (
                "def  f (\n  x):\n  def g(): pass\nasync def h(): 1\n",
                vec!["f", "h"],
            ),
            ("\"\"\"\ndef no(x):\n\"\"\"\ndef yes(): 1", vec!["yes"]),
            ("'''\\'''\ndef no():\n'''\ndef yes(): 1", vec!["yes"]),
            ("x = 'it''s' # '''\ndef yes(): 1", vec!["yes"]),
            ("x = 'open\ndef yes(): 1", vec!["yes"]),
            ("# def no():\n#'\ndef yes(): 1", vec!["yes"]),
            ("x = 1 + \\\ndef no(): 1", vec![]),
            ("define(x)\ndef\ndef(x)\ndefx(y)\nundef f()\ndef f:", vec![]),
            ("x = \"ä\\", vec![]),
            ("\r\ndef yes(): 1\r\n", vec!["yes"]),
            ("", vec![]),
        ] {
            assert_eq!(functions_of(source), names, "{source:?}");
        }
    }
}
