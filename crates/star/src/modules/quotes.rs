//! Whether every quote in a CSV text means something.

/// A quote that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    #[error("line {line}: a quote inside an unquoted field; lazy_quotes=True allows that")]
    Bare { line: usize },
    #[error("line {line}: text follows a closing quote; lazy_quotes=True allows that")]
    Trailing { line: usize },
    #[error("line {line}: the quote that opens here is never closed")]
    Open { line: usize },
}

enum Place {
    LineStart,
    FieldStart,
    Unquoted,
    Quoted,
    QuoteInQuoted,
    Comment,
}

/// Walks the text once and stops at the first quote that means nothing.
pub fn check(
    text: &[u8],
    delimiter: u8,
    comment: Option<u8>,
    spaces_skipped: bool,
) -> Result<(), QuoteError> {
    let mut place = Place::LineStart;
    let (mut line, mut opened) = (1, 1);
    for &byte in text {
        place = match (place, byte) {
            (Place::LineStart, byte) if Some(byte) == comment => Place::Comment,
            (Place::Comment, b'\n') => Place::LineStart,
            (Place::Comment, _) => Place::Comment,
            (Place::Quoted, b'"') => Place::QuoteInQuoted,
            (Place::Quoted, _) => Place::Quoted,
            (Place::QuoteInQuoted, b'"') => Place::Quoted,
            (Place::QuoteInQuoted, b'\r') => Place::QuoteInQuoted,
            (_, b'\n') => Place::LineStart,
            (_, byte) if byte == delimiter => Place::FieldStart,
            (Place::QuoteInQuoted, _) => return Err(QuoteError::Trailing { line }),
            (Place::LineStart | Place::FieldStart, b'"') => {
                opened = line;
                Place::Quoted
            }
            (Place::FieldStart, b' ' | b'\t') if spaces_skipped => Place::FieldStart,
            (Place::LineStart, b' ' | b'\t') if spaces_skipped => Place::FieldStart,
            (_, b'"') => return Err(QuoteError::Bare { line }),
            _ => Place::Unquoted,
        };
        line += usize::from(byte == b'\n');
    }
    match place {
        Place::Quoted => Err(QuoteError::Open { line: opened }),
        _ => Ok(()),
    }
}
