//! How deep rules are nested, found without recursing over them.
//!
//! Cedar's parser and validator recurse for every bracket and every link of a
//! chain, and a stack that is used up ends the station. So a document is
//! looked at first, word by word. It need not be right: what is wrong in it
//! is the parser's to say.

use std::str::CharIndices;

/// The deepest brackets of a document.
const DEPTH_MAX: usize = 24;
/// The most words and signs of one policy, texts and commas not counted. What
/// is chained is nested too, once it is parsed.
const WORDS_MAX: usize = 1000;

/// Where the document goes out of its bounds, and how.
pub(super) fn fault(text: &str) -> Option<(usize, String)> {
    if let Some(at) = text.find('\0') {
        return Some((at, "there is a NUL character".to_owned()));
    }
    let (mut depth, mut words, mut in_word) = (0usize, 0usize, false);
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        let was_in_word = std::mem::replace(&mut in_word, c.is_alphanumeric() || c == '_');
        match c {
            '"' => skip_text(&mut rest),
            '/' if text[at..].starts_with("//") => {
                let _ = rest.find(|(_, c)| matches!(c, '\n' | '\r'));
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ';' => words = 0,
            ',' => {}
            c if c.is_whitespace() || was_in_word && in_word => {}
            _ => words += 1,
        }
        if DEPTH_MAX < depth {
            return Some((at, format!("brackets are deeper than {DEPTH_MAX}")));
        }
        if WORDS_MAX < words {
            return Some((at, format!("a policy has more than {WORDS_MAX} words")));
        }
    }
    None
}

/// Goes to the end of a quoted text.
fn skip_text(rest: &mut CharIndices<'_>) {
    while let Some((_, c)) = rest.next() {
        match c {
            '"' => return,
            '\\' => drop(rest.next()),
            _ => {}
        }
    }
}
