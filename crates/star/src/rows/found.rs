//! Which type the values of a column have, as their texts show it.

use super::Kind;

/// What the values of a column were so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Boolean,
    Integer,
    Number,
    Text,
}

impl Found {
    pub(super) fn with(self, text: &[u8]) -> Self {
        let now = Self::of(text);
        match (self, now) {
            (Self::Nothing, now) => now,
            (before, now) if before == now => now,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            _ => Self::Text,
        }
    }

    fn of(text: &[u8]) -> Self {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        // What begins with a zero is a code and no count.
        let plain = digits.len() == 1 || digits.first() != Some(&b'0');
        if plain
            && digits.len() <= 18
            && !digits.is_empty()
            && digits.iter().all(u8::is_ascii_digit)
        {
            return Self::Integer;
        }
        if is_number(digits) {
            return Self::Number;
        }
        match text {
            b"true" | b"false" | b"True" | b"False" | b"TRUE" | b"FALSE" => Self::Boolean,
            _ => Self::Text,
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Boolean => Kind::Boolean,
            Self::Integer => Kind::Integer,
            Self::Number => Kind::Number,
            Self::Nothing | Self::Text => Kind::Text,
        }
    }
}

/// Whether it is a number with a point or an exponent, or one too long for an
/// integer with a point.
fn is_number(digits: &[u8]) -> bool {
    let count = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = count(digits);
    let mut rest = &digits[whole..];
    if whole == 0 || rest.is_empty() || (1 < whole && digits[0] == b'0') {
        return false;
    }
    if let Some(after) = rest.strip_prefix(b".") {
        let part = count(after);
        if part == 0 {
            return false;
        }
        rest = &after[part..];
    }
    if let Some(after) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let after = after
            .strip_prefix(b"-")
            .or_else(|| after.strip_prefix(b"+"))
            .unwrap_or(after);
        return count(after) == after.len() && (1..=3).contains(&after.len());
    }
    rest.is_empty()
}
