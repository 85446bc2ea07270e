//! JSON in and out, strictly.
//!
//! What two parsers could read differently is refused on the way in: a key
//! twice in one object, a nesting deeper than [`DEPTH_MAX`], a number that is
//! no finite double or 64-bit integer. On the way out there is one text for
//! one value (keys sorted, no white space), so that it can be hashed.

use std::fmt::Write as _;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting read. `serde_json` itself stops at 128.
pub const DEPTH_MAX: usize = 127;

/// Why some bytes are not a JSON document.
#[derive(Debug, thiserror::Error)]
#[error("not a JSON document: {message} at line {line}, column {column}")]
pub struct JsonError {
    pub message: String,
    pub line: usize,
    pub column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let whole = error.to_string();
        let message = whole.split(" at line ").next().unwrap_or(&whole).to_owned();
        Self {
            message,
            line,
            column,
        }
    }
}

/// Reads one JSON document and nothing after it.
///
/// # Errors
///
/// [`JsonError`] with the place; the writer of `bytes` is at fault.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let Strict(value) = Strict::deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

/// The one text of a value: keys sorted by their bytes, no white space.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(&mut out, value);
    out
}

/// The one text of anything that serialises.
pub fn canonical_of(value: &impl serde::Serialize) -> String {
    canonical(
        &serde_json::to_value(value)
            .expect("our own types have string keys and no failing serialiser"),
    )
}

fn write_canonical(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index != 0 {
                    out.push(',');
                }
                write_canonical(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index != 0 {
                    out.push(',');
                }
                let _ = write!(out, "{}:", Value::String(key.clone()));
                write_canonical(out, &map[key]);
            }
            out.push('}');
        }
        simple => {
            let _ = write!(out, "{simple}");
        }
    }
}

/// A value read without letting a later key replace an earlier one.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(Value::from(value)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Strict, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is not finite"))?;
        Ok(Strict(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(Value::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut out = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            out.push(item);
        }
        Ok(Strict(Value::Array(out)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if out.contains_key(&key) {
                let shown = crate::text::shown(&key, 80);
                return Err(de::Error::custom(format!(
                    "the key `{shown}` is there twice"
                )));
            }
            let Strict(value) = entries.next_value()?;
            out.insert(key, value);
        }
        Ok(Strict(Value::Object(out)))
    }
}
