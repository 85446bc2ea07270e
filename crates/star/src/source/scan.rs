//! The tokens of a script, as far as rewriting has to know them.
//!
//! Strings and comments are told from code exactly; all else is names, single
//! signs and line ends. A text in which a string never ends is left to the
//! parser, whose message names the place.

/// What a stretch of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name, a keyword or a number.
    Word,
    Text,
    Comment,
    Sign(u8),
    /// The end of a line outside of brackets.
    LineEnd,
    /// Tabs and spaces at the start of a logical line that is not blank.
    Indentation,
    /// A tab between tokens.
    Tab,
}

/// A stretch of the text, by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Reads all tokens; spaces between them are none.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
        out: Vec::new(),
    };
    scanner.indentation();
    while scanner.at < scanner.bytes.len() {
        scanner.step();
    }
    scanner.out
}

/// Where lines begin that are `---` and stand in no string and no bracket.
pub fn separators(text: &str) -> Vec<usize> {
    let tokens = tokens(text);
    let is_dash = |token: &Token| token.kind == Kind::Sign(b'-');
    tokens
        .windows(3)
        .filter(|three| three.iter().all(is_dash))
        .map(|three| three[0].start)
        .filter(|start| {
            let line = text[*start..].lines().next().unwrap_or_default();
            let at_start = *start == 0 || text.as_bytes()[start - 1] == b'\n';
            at_start && line.trim_end() == "---"
        })
        .collect()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    out: Vec<Token>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let start = self.at;
        match self.bytes[start] {
            b'#' => {
                self.at = self.find(b"\n", start);
                self.push(Kind::Comment, start);
            }
            b'\n' => {
                self.at += 1;
                if self.depth == 0 {
                    self.push(Kind::LineEnd, start);
                    self.indentation();
                }
            }
            b'\\' if self.bytes[start + 1..].starts_with(b"\n") => self.at += 2,
            b'\\' if self.bytes[start + 1..].starts_with(b"\r\n") => self.at += 3,
            b' ' | b'\r' => self.at += 1,
            b'\t' => {
                self.at += 1;
                self.push(Kind::Tab, start);
            }
            b'"' | b'\'' => self.string(start),
            byte if is_word(byte) => {
                let rest = &self.bytes[start..];
                self.at += rest.iter().take_while(|byte| is_word(**byte)).count();
                let next = self.bytes.get(self.at);
                if matches!(next, Some(b'"' | b'\'')) && is_prefix(&self.bytes[start..self.at]) {
                    self.string(start);
                } else {
                    self.push(Kind::Word, start);
                }
            }
            sign => {
                self.at += 1;
                match sign {
                    b'(' | b'[' | b'{' => self.depth += 1,
                    b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.push(Kind::Sign(sign), start);
            }
        }
    }

    /// Goes over a string whose quote is at `self.at`.
    fn string(&mut self, start: usize) {
        let quote = self.bytes[self.at];
        let triple = [quote; 3];
        let end: &[u8] = match self.bytes[self.at..].starts_with(&triple) {
            true => &triple,
            false => &triple[..1],
        };
        self.at += end.len();
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            if rest.starts_with(end) {
                self.at += end.len();
                return self.push(Kind::Text, start);
            }
            match rest[0] {
                // A string of one line ends with it, however it was meant.
                b'\n' if end.len() == 1 => return self.push(Kind::Text, start),
                b'\\' if rest.starts_with(b"\\\r\n") => self.at += 3,
                b'\\' => self.at = (self.at + 2).min(self.bytes.len()),
                _ => self.at += 1,
            }
        }
        self.push(Kind::Text, start);
    }

    fn indentation(&mut self) {
        let start = self.at;
        let rest = &self.bytes[start..];
        let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\r');
        let end = start + rest.iter().take_while(blank).count();
        self.at = end;
        if end < self.bytes.len() && !matches!(self.bytes[end], b'\n' | b'#') {
            self.push(Kind::Indentation, start);
        } else {
            let tabs = (start..end).filter(|at| self.bytes[*at] == b'\t');
            let tabs = tabs.map(|at| Token {
                kind: Kind::Tab,
                start: at,
                end: at + 1,
            });
            self.out.extend(tabs);
        }
    }

    fn find(&self, what: &[u8], from: usize) -> usize {
        let found = self.bytes[from..]
            .windows(what.len())
            .position(|window| window == what);
        found.map_or(self.bytes.len(), |at| from + at)
    }

    fn push(&mut self, kind: Kind, start: usize) {
        let end = self.at;
        self.out.push(Token { kind, start, end });
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn is_prefix(word: &[u8]) -> bool {
    matches!(word, b"r" | b"f" | b"b" | b"fr" | b"rf" | b"br" | b"rb")
}
