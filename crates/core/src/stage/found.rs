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

/// Whether one of the steps of a file in Starlark is of the category `download`.
/// Lines `---` part the steps; the comments at the top of one say what it is.
pub(crate) fn has_download_step(source: &str) -> bool {
    let mut at = 0;
    let (mut line_begins, mut head) = (true, Head::default());
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let line = rest.lines().next().unwrap_or_default();
        if line_begins && line.trim_end() == "---" {
            if head.is_download() {
                return true;
            }
            (at, head) = (at + line.len(), Head::default());
            line_begins = false;
            continue;
        }
        if line_begins {
            head.read(line.trim());
        }
        at += token_len(rest);
        line_begins = rest.starts_with('\n');
    }
    head.is_download()
}

/// What the comments at the top of a step say.
#[derive(Default)]
struct Head<'a> {
    name: Option<&'a str>,
    category: Option<&'a str>,
    is_over: bool,
}

impl<'a> Head<'a> {
    fn read(&mut self, line: &'a str) {
        self.is_over |= !line.is_empty() && !line.starts_with('#');
        let said = line.trim_start_matches('#').split_once(':');
        match said.map(|(key, value)| (key.trim(), value.trim())) {
            _ if self.is_over => {}
            Some(("name", value)) => self.name = Some(value),
            Some(("category", value)) => self.category = Some(value),
            _ => {}
        }
    }

    fn is_download(&self) -> bool {
        self.category.or(self.name) == Some("download")
    }
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
    use super::{functions_of, has_download_step};

    #[test]
    fn download_steps_are_found_by_what_is_said_at_their_top() {
        for source in [
            "# name: a\n# category: download\nx = 1",
            "x = 1\n---\n\n# name: download\ny = 2\n",
            "x = 1\r\n---\r\n#category:download\r\n",
        ] {
            assert!(has_download_step(source), "{source:?}");
        }
        for source in [
            "",
            "x = 1\n# category: download\n",
            "# name: download\n# category: setup\n",
            "x = '''\n---\n# category: download\n'''\n",
            "x = 1\n----\n# category: download\n",
            "# category: downloads\nä",
        ] {
            assert!(!has_download_step(source), "{source:?}");
        }
    }

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
