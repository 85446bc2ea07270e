//! Values as trees: from a parser into Starlark, and from Starlark to a writer.
//!
//! JSON and YAML share both directions. Keys keep their order on the way in
//! and are sorted on the way out, as scripts expect. Depth is bounded both
//! ways, so a value that contains itself is refused, not followed.

use std::fmt;

use num_bigint::BigInt;
use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
    ser::Error as _,
};
use starlark::{
    collections::SmallMap,
    values::{
        Heap, UnpackValue, Value, ValueLike,
        bytes::StarlarkBytes,
        dict::{Dict, DictRef},
        float::StarlarkFloat,
        list::{AllocList, ListRef},
        structs::StructRef,
        tuple::TupleRef,
    },
};

use super::{
    bounds::{DEPTH_MAX, INTEGER_DIGITS_MAX},
    dataframe::DataFrame,
};

/// The key under which `serde_json` hands over a number as it was written.
const NUMBER_KEY: &str = "$serde_json::private::Number";

/// Grows a Starlark value from whatever a deserializer reads.
#[derive(Clone, Copy)]
pub struct Growing<'v> {
    heap: Heap<'v>,
    depth: usize,
}

impl<'v> Growing<'v> {
    pub fn on(heap: Heap<'v>) -> Self {
        Self { heap, depth: 0 }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if DEPTH_MAX <= self.depth {
            return Err(E::custom(format_args!(
                "nested deeper than {DEPTH_MAX} levels"
            )));
        }
        let depth = self.depth + 1;
        Ok(Self { depth, ..self })
    }

    /// A number from its digits: an integer of any size, else a float.
    fn number<E: serde::de::Error>(self, digits: &str) -> Result<Value<'v>, E> {
        let whole = digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'-'));
        if whole && INTEGER_DIGITS_MAX < digits.len() {
            return Err(E::custom(format_args!(
                "an integer has more than {INTEGER_DIGITS_MAX} digits"
            )));
        }
        if let Ok(whole) = digits.parse::<BigInt>() {
            return Ok(self.heap.alloc(whole));
        }
        match digits.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(self.heap.alloc(float)),
            _ => Err(E::custom(format_args!("number {digits} is out of range"))),
        }
    }
}

impl<'de, 'v> DeserializeSeed<'de> for Growing<'v> {
    type Value = Value<'v>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value<'v>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, 'v> Visitor<'de> for Growing<'v> {
    type Value = Value<'v>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'v>, E> {
        Ok(Value::new_none())
    }

    fn visit_none<E>(self) -> Result<Value<'v>, E> {
        Ok(Value::new_none())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value<'v>, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'v>, E> {
        Ok(Value::new_bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'v>, E> {
        Ok(self.heap.alloc(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'v>, E> {
        Ok(self.heap.alloc(value))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Value<'v>, E> {
        self.number(&value.to_string())
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value<'v>, E> {
        self.number(&value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'v>, E> {
        Ok(self.heap.alloc(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'v>, E> {
        Ok(self.heap.alloc(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value<'v>, E> {
        Ok(self.heap.alloc(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'v>, A::Error> {
        let deeper = self.deeper()?;
        let mut grown = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            grown.push(item);
        }
        Ok(self.heap.alloc(AllocList(grown)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'v>, A::Error> {
        let deeper = self.deeper()?;
        let mut grown = SmallMap::new();
        while let Some(key) = entries.next_key_seed(deeper)? {
            if key.unpack_str() == Some(NUMBER_KEY) && grown.is_empty() {
                return self.number(&entries.next_value::<String>()?);
            }
            let hashed = key
                .get_hashed()
                .map_err(|_| A::Error::custom("a list or a map cannot be a key"))?;
            grown.insert_hashed(hashed, entries.next_value_seed(deeper)?);
        }
        Ok(self.heap.alloc(Dict::new(grown)))
    }
}

/// A Starlark value on its way to a writer.
pub struct Written<'v> {
    value: Value<'v>,
    heap: Option<Heap<'v>>,
    depth: usize,
}

impl<'v> Written<'v> {
    /// Without a heap, only lists and tuples can be walked over.
    pub fn new(value: Value<'v>, heap: impl Into<Option<Heap<'v>>>) -> Self {
        Self {
            value,
            heap: heap.into(),
            depth: 0,
        }
    }

    fn child(&self, value: Value<'v>) -> Self {
        Self {
            value,
            heap: self.heap,
            depth: self.depth + 1,
        }
    }

    fn number<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Some(float) = self.value.downcast_ref::<StarlarkFloat>() {
            if !float.0.is_finite() {
                return Err(S::Error::custom(format_args!(
                    "{} is not a finite number",
                    float.0
                )));
            }
            return to.serialize_f64(float.0);
        }
        let digits = self.value.to_str();
        if let Ok(small) = digits.parse::<i64>() {
            return to.serialize_i64(small);
        }
        match digits.parse::<i128>() {
            Ok(large) => to.serialize_i128(large),
            Err(_) => Err(S::Error::custom("an integer has more than 128 bits")),
        }
    }

    fn entries<S: Serializer>(
        &self,
        entries: impl Iterator<Item = (Value<'v>, Value<'v>)>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut sorted = Vec::new();
        for (key, value) in entries {
            let Some(name) = key.unpack_str() else {
                return Err(S::Error::custom(format_args!(
                    "key {} of a dict is {}, not a string",
                    key.to_repr(),
                    key.get_type()
                )));
            };
            sorted.push((name, self.child(value)));
        }
        sorted.sort_by_key(|(name, _)| *name);
        to.collect_map(sorted)
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let value = self.value;
        if DEPTH_MAX < self.depth {
            return Err(S::Error::custom(format_args!(
                "nested deeper than {DEPTH_MAX} levels"
            )));
        }
        if value.is_none() {
            return to.serialize_unit();
        }
        if let Some(truth) = value.unpack_bool() {
            return to.serialize_bool(truth);
        }
        if let Some(text) = value.unpack_str() {
            return to.serialize_str(text);
        }
        if let Some(raw) = value.downcast_ref::<StarlarkBytes>() {
            return to.serialize_str(&String::from_utf8_lossy(raw.as_bytes()));
        }
        if matches!(value.get_type(), "int" | "float") {
            return self.number(to);
        }
        if let Some(dict) = DictRef::from_value(value) {
            return self.entries(dict.iter(), to);
        }
        if let Ok(Some(fields)) = StructRef::unpack_value(value) {
            let named = fields.iter().map(|(name, value)| (name.to_value(), value));
            return self.entries(named, to);
        }
        if let Some(list) = ListRef::from_value(value) {
            return to.collect_seq(list.iter().map(|item| self.child(item)));
        }
        if let Some(tuple) = TupleRef::from_value(value) {
            return to.collect_seq(tuple.iter().map(|item| self.child(item)));
        }
        if let Some(table) = value.downcast_ref::<DataFrame>() {
            return table.serialize(to);
        }
        match self.heap.and_then(|heap| value.iterate(heap).ok()) {
            Some(items) => to.collect_seq(items.map(|item| self.child(item))),
            None => Err(S::Error::custom(format_args!(
                "{} cannot be written",
                value.get_type()
            ))),
        }
    }
}
