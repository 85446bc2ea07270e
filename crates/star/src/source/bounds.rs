//! What a script may ask of the parser's stack.
//!
//! The parser calls itself for each level, so a few hundred kilobytes of
//! brackets or signs would end the process and not the script. The bounds are
//! far above what people write, and far below what the stack holds.

use super::{
    Refused,
    scan::{Kind, Token},
};

/// The longest script.
pub const SOURCE_BYTES_MAX: usize = 4 << 20;
/// How deep brackets lie inside each other.
const BRACKETS_MAX: usize = 100;
/// How many words and signs one expression has, commas starting a new one.
const EXPRESSION_MAX: usize = 4000;
/// How deep statements lie inside each other.
const BLOCKS_MAX: usize = 60;
/// How many branches one `if` has, and any file with it.
const BRANCHES_MAX: usize = 2000;

/// Refuses what is no text for a parser at all.
pub fn checked(text: &str) -> Result<(), Refused> {
    if SOURCE_BYTES_MAX < text.len() {
        let why = format!("a script has at most {SOURCE_BYTES_MAX} bytes");
        return Err(Refused::new(0, why));
    }
    match text.find('\0') {
        Some(at) => Err(Refused::new(at, "there is a zero byte")),
        None => Ok(()),
    }
}

/// Refuses what nests too deep.
pub fn within(text: &str, tokens: &[Token]) -> Result<(), Refused> {
    let (mut blocks, mut branches) = (vec![0], 0);
    // The words and signs of each expression that is open.
    let mut open = vec![0];
    let mut sum = 0;
    for token in tokens {
        let at = token.start;
        let text = &text[token.start..token.end];
        match token.kind {
            Kind::LineEnd => (open, sum) = (vec![0], 0),
            Kind::Indentation => {
                while 1 < blocks.len() && text.len() <= blocks[blocks.len() - 1] {
                    blocks.pop();
                }
                if blocks[blocks.len() - 1] < text.len() {
                    blocks.push(text.len());
                }
                if BLOCKS_MAX < blocks.len() {
                    return Err(more(token.end, "blocks inside each other", BLOCKS_MAX));
                }
            }
            Kind::Sign(b',' | b';') => sum -= open.last_mut().map_or(0, std::mem::take),
            Kind::Sign(b'(' | b'[' | b'{') => {
                open.push(0);
                if BRACKETS_MAX < open.len() {
                    return Err(more(at, "brackets inside each other", BRACKETS_MAX));
                }
            }
            Kind::Sign(b')' | b']' | b'}') => sum -= closed(&mut open),
            Kind::Word | Kind::Sign(_) | Kind::Text => {
                branches += usize::from(text == "elif");
                if BRANCHES_MAX < branches {
                    return Err(more(at, "branches with `elif`", BRANCHES_MAX));
                }
                sum += 1;
                *open.last_mut().expect("there is always one open") += 1;
                if EXPRESSION_MAX < sum {
                    return Err(more(
                        at,
                        "words and signs in one expression",
                        EXPRESSION_MAX,
                    ));
                }
            }
            Kind::Comment | Kind::Tab => {}
        }
    }
    Ok(())
}

/// Closes a bracket; one that nobody opened is the parser's to refuse.
fn closed(open: &mut Vec<usize>) -> usize {
    match open.len() {
        1 => std::mem::take(&mut open[0]),
        _ => open.pop().unwrap_or(0),
    }
}

fn more(at: usize, what: &str, max: usize) -> Refused {
    Refused::new(at, format!("there are more than {max} {what}"))
}
