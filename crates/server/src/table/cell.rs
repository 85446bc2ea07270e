//! One value of one row.
//!
//! CSV has text only, which becomes a value by its column's type; the other
//! formats say themselves what a value is.

use serde_json::Value;
use strongroom_core::{json, structure::ColumnType};

/// A value.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Cell {
    #[default]
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    /// Text of CSV, which may be anything.
    Raw(String),
    /// A list or an object.
    Nested(Value),
}

impl Cell {
    /// Takes a JSON value over.
    pub fn of_json(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(value),
            Value::String(text) => Self::Text(text),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Integer(whole),
                (None, Some(number)) => Self::Number(number),
                (None, None) => Self::Text(number.to_string()),
            },
            nested => Self::Nested(nested),
        }
    }

    /// Whether a column of this type has no value here: CSV written by
    /// statistics programs says so in words, which only a column of text may
    /// have meant.
    pub fn is_absent(&self, kind: ColumnType) -> bool {
        match self {
            Self::Null => true,
            Self::Raw(text) => {
                let words = !matches!(kind, ColumnType::String | ColumnType::Any);
                words && absent(text).is_some()
            }
            _ => false,
        }
    }

    /// The cell as a value of its column; CSV's text is read by the type.
    pub fn to_json(&self, kind: ColumnType) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Bool(*value),
            Self::Integer(whole) => Value::from(*whole),
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::String(text.clone()),
            Self::Nested(value) => value.clone(),
            Self::Raw(_) if self.is_absent(kind) => Value::Null,
            Self::Raw(text) => raw_to_json(text, kind),
        }
    }

    /// The cell as CSV has it.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Null => "".into(),
            Self::Boolean(value) => value.to_string().into(),
            Self::Integer(whole) => whole.to_string().into(),
            Self::Number(number) => Value::from(*number).to_string().into(),
            Self::Text(text) | Self::Raw(text) => text.as_str().into(),
            Self::Nested(value) => json::canonical(value).into(),
        }
    }

    /// Whether it is a value of this type.
    pub fn is(&self, kind: ColumnType) -> bool {
        match (self, kind) {
            (_, ColumnType::Any) => true,
            (cell, kind) if cell.is_absent(kind) => true,
            (Self::Raw(_), ColumnType::String) => true,
            (Self::Raw(text), ColumnType::Boolean) => boolean(text).is_some(),
            (Self::Raw(text), ColumnType::Integer) => integer(text).is_some(),
            (Self::Raw(text), ColumnType::Number) => number(text).is_some(),
            (Self::Text(_), ColumnType::String) => true,
            (Self::Boolean(_), ColumnType::Boolean) => true,
            (Self::Integer(_), ColumnType::Integer | ColumnType::Number) => true,
            (Self::Number(_), ColumnType::Number) => true,
            _ => false,
        }
    }
}

fn raw_to_json(text: &str, kind: ColumnType) -> Value {
    let typed = match kind {
        ColumnType::Boolean => boolean(text).map(Value::Bool),
        ColumnType::Integer => integer(text).map(Value::from),
        ColumnType::Number => match integer(text) {
            Some(whole) => Some(Value::from(whole)),
            None => number(text).map(Value::from),
        },
        ColumnType::Any => match (integer(text), number(text)) {
            (Some(whole), _) => Some(Value::from(whole)),
            (None, Some(number)) => Some(Value::from(number)),
            (None, None) => boolean(text).map(Value::Bool),
        },
        ColumnType::String => None,
    };
    typed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// What programs write for a value that is absent, beside nothing at all.
pub const ABSENT: [&str; 6] = ["NA", "N/A", "NaN", "nan", "null", "NULL"];

/// Which of these words a text is.
pub fn absent(text: &str) -> Option<usize> {
    ABSENT.iter().position(|word| *word == text)
}

/// `true` and `false` in the spellings that programs write.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number that comes back as it was written: `007` and `+1` are text.
pub fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    match digits {
        [b'0'] if digits.len() == text.len() => Some(0),
        [b'1'..=b'9', rest @ ..] if rest.len() < 19 => text.parse().ok(),
        _ => None,
    }
}

/// A finite number: digits, a point, an exponent, and no words such as `inf`.
/// So many digits that a double cannot keep them are an identifier, and text.
pub fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    match digits {
        [b'0', b'0'..=b'9', ..] => return None,
        [b'0'..=b'9' | b'.', ..] => {}
        _ => return None,
    }
    if digits.iter().all(u8::is_ascii_digit) && 15 < digits.len() && integer(text).is_none() {
        return None;
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_only_if_it_says_so() {
        for (text, whole) in [("0", 0), ("-7", -7), ("9223372036854775807", i64::MAX)] {
            assert_eq!(integer(text), Some(whole), "{text}");
        }
        for text in [
            "007",
            "+1",
            "",
            "-",
            "-0",
            "1 ",
            "9223372036854775808",
            "1_0",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
        for text in ["1.5", "-2e3", ".5", "1e-7", "0.1", "12345"] {
            assert!(number(text).is_some(), "{text}");
        }
        for text in ["nan", "inf", "-inf", "1e999", "00.1", "1,5", "0x1", "", "-"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("12345678901234567890"), None);
    }
}
