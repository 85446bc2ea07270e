//! Names that a language takes, made of texts that may be anything.

use std::collections::BTreeSet;

/// The longest name that is made, in characters.
const LEN_MAX: usize = 60;

/// Words that cannot be the name of anything in Python.
pub const PYTHON: [&str; 39] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "case", "class",
    "continue", "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if",
    "import", "in", "is", "lambda", "match", "nonlocal", "not", "or", "pass", "print", "raise",
    "return", "try", "type", "while", "with", "yield",
];

/// Words that cannot be the name of a function in a module of TypeScript.
pub const TYPESCRIPT: [&str; 54] = [
    "arguments",
    "as",
    "async",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "of",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "type",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "fetch",
];

/// Names that were given out already, or that nobody may have.
pub struct Taken(BTreeSet<String>);

impl Taken {
    pub fn with<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self(words.into_iter().map(str::to_owned).collect())
    }

    /// A name for each of `keys`. A key that can be its own name is.
    pub fn names(&mut self, keys: &[&str]) -> Vec<String> {
        let fits = |key: &str| key == plain(key) && !self.0.contains(key);
        let own: Vec<bool> = keys.iter().map(|key| fits(key)).collect();
        let kept = keys.iter().zip(&own).filter(|(_, own)| **own);
        self.0.extend(kept.map(|(key, _)| (*key).to_owned()));
        let each = keys.iter().zip(&own);
        each.map(|(key, own)| {
            if *own {
                (*key).to_owned()
            } else {
                self.name(key)
            }
        })
        .collect()
    }

    /// A name like `raw`, that is plain and nobody else's.
    pub fn name(&mut self, raw: &str) -> String {
        let name = plain(raw);
        let mut candidate = name.clone();
        for number in 1.. {
            if self.0.insert(candidate.clone()) {
                break;
            }
            candidate = match number {
                1 => format!("{name}_"),
                _ => format!("{name}_{number}"),
            };
        }
        candidate
    }
}

/// A name that every language takes, if it has no such word itself.
fn plain(raw: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = raw.chars().take(LEN_MAX).map(letter).collect();
    match name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit() || c == '_') {
        true => format!("arg_{}", name.trim_start_matches('_')),
        false => name,
    }
}

/// `mean-mass` as `MeanMass`.
pub fn pascal(name: &str) -> String {
    let parts = name.split('-').filter(|part| !part.is_empty());
    let upper = |part: &str| format!("{}{}", part[..1].to_uppercase(), &part[1..]);
    parts.map(upper).collect()
}

/// A text as a literal that means the same in Python and TypeScript, but for
/// characters beyond U+FFFF, which `astral` writes.
pub fn literal(text: &str, astral: impl Fn(char) -> String) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            '\0'..='\u{ffff}' => out += &format!("\\u{:04x}", u32::from(c)),
            _ => out += &astral(c),
        }
    }
    out.push('"');
    out
}
