//! JSON in and out, strictly.
//!
//! What two parsers could read differently is refused on the way in: a key
//! twice in one object, a nesting deeper than [`DEPTH_MAX`], a number that is
//! no finite double or 64-bit integer. So is a document of more than
//! [`VALUES_MAX`] values, since in memory each takes far more than its text. On the way out there is one text for
//! one value (keys sorted, no white space), so that it can be hashed.

use std::{cell::Cell, fmt::Write as _};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting read. What is read here is told again inside documents
/// of ours, a little deeper, and many readers stop at 127 by default.
pub const DEPTH_MAX: usize = 120;
/// The most values in one document, each inside another counted.
pub const VALUES_MAX: u64 = 1 << 20;

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
    let left = Cell::new(VALUES_MAX);
    let value = Strict {
        left: &left,
        depth: 0,
    }
    .deserialize(&mut from)?;
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

/// How many values a value is, itself included.
pub fn count(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<u64>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<u64>(),
        _ => 1,
    }
}

/// How deep lists and objects lie inside each other.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Reads a value without letting a later key replace an earlier one, and no
/// more values than are left.
#[derive(Clone, Copy)]
struct Strict<'a> {
    left: &'a Cell<u64>,
    /// How deep the value lies.
    depth: usize,
}

impl Strict<'_> {
    /// As one of the values inside this one.
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        match depth <= DEPTH_MAX {
            true => Ok(Self { depth, ..self }),
            false => Err(E::custom(format!("it nests deeper than {DEPTH_MAX}"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => {
                let what = format!("there are more than {VALUES_MAX} values");
                return Err(de::Error::custom(what));
            }
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is not finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if out.contains_key(&key) {
                let shown = crate::text::shown(&key, 80);
                return Err(de::Error::custom(format!(
                    "the key `{shown}` is there twice"
                )));
            }
            let value = entries.next_value_seed(inside)?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}
