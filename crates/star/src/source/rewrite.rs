//! Makes text that people write into text that the parser takes.
//!
//! A tab becomes a space, `assert` another name of the same length, and the
//! pair in `x[0, 1]` gets round brackets. Only the last moves what follows it,
//! and where it does so is kept.

use super::{
    ASSERT, Place, Refused,
    scan::{Kind, Token},
};

/// The rewritten text, and where characters were put in.
pub fn rewrite(text: &str, tokens: &[Token]) -> Result<(String, Vec<Place>), Refused> {
    indentation(text, tokens)?;
    let mut bytes = text.as_bytes().to_vec();
    for token in tokens {
        if matches!(token.kind, Kind::Tab | Kind::Indentation) {
            bytes[token.start..token.end]
                .iter_mut()
                .filter(|byte| **byte == b'\t')
                .for_each(|byte| *byte = b' ');
        }
    }
    asserts(text, tokens, &mut bytes)?;
    let text = String::from_utf8(bytes).expect("only ASCII was put for ASCII");
    Ok(insert(&text, &pairs(&text, tokens)))
}

/// Holds indentation to what reads the same however wide a tab is.
fn indentation(text: &str, tokens: &[Token]) -> Result<(), Refused> {
    let mut open = vec![(0, 0)];
    for token in tokens
        .iter()
        .filter(|token| token.kind == Kind::Indentation)
    {
        let blank = &text[token.start..token.end];
        let wide = blank.bytes().fold(0, |wide, byte| match byte {
            b'\t' => wide / 8 * 8 + 8,
            _ => wide + 1,
        });
        let now = (wide, blank.len());
        while 1 < open.len() && now.0 < open[open.len() - 1].0 {
            open.pop();
        }
        let last = open[open.len() - 1];
        if now.0.cmp(&last.0) != now.1.cmp(&last.1) {
            let why = "the indentation mixes tabs and spaces; use one of them";
            return Err(Refused::new(token.end, why));
        }
        if last.0 < now.0 {
            open.push(now);
        }
    }
    Ok(())
}

/// Gives `assert` another name where it is one.
fn asserts(text: &str, tokens: &[Token], bytes: &mut [u8]) -> Result<(), Refused> {
    let code: Vec<&Token> = tokens
        .iter()
        .filter(|token| !matches!(token.kind, Kind::Comment | Kind::Tab))
        .collect();
    let mut taken = None;
    let mut renamed = false;
    // Whether we are between the brackets of a `load`.
    let mut loads = false;
    for (index, token) in code.iter().enumerate() {
        let next = code.get(index + 1).map(|token| token.kind);
        match (&text[token.start..token.end], token.kind) {
            ("assert", Kind::Word) => {
                let names = matches!(next, Some(Kind::Sign(b'.' | b'=' | b',' | b')' | b'(')));
                let starts =
                    index == 0 || matches!(code[index - 1].kind, Kind::LineEnd | Kind::Indentation);
                if starts && !names {
                    let why = "`assert` is a name here and no statement; load(\"assert.star\", \
                               \"assert\") and write assert.true(...)";
                    return Err(Refused::new(token.start, why));
                }
                bytes[token.start..token.end].copy_from_slice(ASSERT.as_bytes());
                renamed = true;
            }
            // Nothing else is called so: to the parser it is a keyword.
            ("load", Kind::Word) => loads = next == Some(Kind::Sign(b'(')),
            (")", _) | (_, Kind::LineEnd) => loads = false,
            ("\"assert\"" | "'assert'", Kind::Text) if loads => {
                bytes[token.start + 1..token.end - 1].copy_from_slice(ASSERT.as_bytes());
                renamed = true;
            }
            (ASSERT, Kind::Word) => taken = Some(token.start),
            _ => {}
        }
    }
    match taken {
        Some(at) if renamed => Err(Refused::new(
            at,
            format!("a script that uses `assert` cannot use the name `{ASSERT}` as well"),
        )),
        _ => Ok(()),
    }
}

/// An open bracket.
struct Bracket {
    /// Where what is inside begins, if it could be an index.
    index_start: Option<usize>,
    commas: usize,
    colons: usize,
}

/// The bytes before which a round bracket is missing: one that opens, or one
/// that closes.
fn pairs(text: &str, tokens: &[Token]) -> Vec<(usize, char)> {
    let mut out = Vec::new();
    let mut open: Vec<Bracket> = Vec::new();
    let mut last: Option<&Token> = None;
    for token in tokens {
        match token.kind {
            Kind::Comment | Kind::Tab | Kind::Indentation => continue,
            Kind::Sign(b'[') => open.push(Bracket {
                index_start: last
                    .is_some_and(|last| can_be_indexed(text, last))
                    .then_some(token.end),
                commas: 0,
                colons: 0,
            }),
            Kind::Sign(b'(' | b'{') => open.push(Bracket {
                index_start: None,
                commas: 0,
                colons: 0,
            }),
            Kind::Sign(b',') => open
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|b| b.commas += 1),
            Kind::Sign(b':') => open
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|b| b.colons += 1),
            Kind::Sign(b')' | b']' | b'}') => {
                if let Some(bracket) = open.pop()
                    && let (Some(start), 0) = (bracket.index_start, bracket.colons)
                    && bracket.commas != 0
                {
                    out.push((start, '('));
                    out.push((token.start, ')'));
                }
            }
            _ => {}
        }
        last = Some(token);
    }
    out.sort_unstable();
    out
}

/// Whether a `[` after this begins an index and not a list.
fn can_be_indexed(text: &str, token: &Token) -> bool {
    match token.kind {
        Kind::Sign(b')' | b']' | b'}') | Kind::Text => true,
        Kind::Word => !matches!(
            &text[token.start..token.end],
            "and" | "else" | "elif" | "for" | "if" | "in" | "lambda" | "not" | "or" | "return"
        ),
        _ => false,
    }
}

fn insert(text: &str, missing: &[(usize, char)]) -> (String, Vec<Place>) {
    let mut out = String::with_capacity(text.len() + missing.len());
    let mut places = Vec::with_capacity(missing.len());
    let mut from = 0;
    for (at, sign) in missing {
        out.push_str(&text[from..*at]);
        let line_start = out.rfind('\n').map_or(0, |end| end + 1);
        places.push(Place {
            line: text[..*at].matches('\n').count() + 1,
            column: out[line_start..].chars().count() + 1,
        });
        out.push(*sign);
        from = *at;
    }
    out.push_str(&text[from..]);
    (out, places)
}
