//! What a JSON Schema says of a value, as far as a type can say it.
//!
//! A type is for people and their editors; the station judges by the schema.
//! So whatever is too deep, too wide or has no type is `Any`.

use serde_json::{Map, Value};

/// The deepest type.
const DEPTH_MAX: u32 = 6;
/// The most parts of one type.
const PARTS_MAX: u32 = 200;
/// The most values that are listed.
const LITERALS_MAX: usize = 50;

/// A type of JSON values.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Any,
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    /// One of these: texts, whole numbers, booleans and null only.
    Literals(Vec<Value>),
    List(Box<Kind>),
    Mapping(Box<Kind>),
    OneOf(Vec<Kind>),
}

impl Kind {
    pub fn of(schema: &Value, definitions: &Map<String, Value>) -> Self {
        let mut reader = Reader {
            definitions,
            parts_left: PARTS_MAX,
        };
        reader.kind(schema, DEPTH_MAX)
    }
}

struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    parts_left: u32,
}

impl Reader<'_> {
    fn kind(&mut self, schema: &Value, depth: u32) -> Kind {
        let Some(schema) = schema.as_object().filter(|_| 0 < depth) else {
            return Kind::Any;
        };
        if self.parts_left == 0 {
            return Kind::Any;
        }
        self.parts_left -= 1;
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.strip_prefix("#/$defs/").unwrap_or_default();
            let found = self.definitions.get(name).cloned();
            return found.map_or(Kind::Any, |found| self.kind(&found, depth - 1));
        }
        if let Some(value) = schema.get("const") {
            return literals(std::slice::from_ref(value));
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return literals(values);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(each) = schema.get(keyword).and_then(Value::as_array) {
                let kinds = each.iter().map(|each| self.kind(each, depth - 1));
                return one_of(kinds.collect());
            }
        }
        match schema.get("type") {
            Some(Value::String(name)) => self.named(name, schema, depth),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                one_of(names.map(|name| self.named(name, schema, depth)).collect())
            }
            _ => Kind::Any,
        }
    }

    fn named(&mut self, name: &str, schema: &Map<String, Value>, depth: u32) -> Kind {
        let inner = |key: &str| schema.get(key).cloned().unwrap_or(Value::Bool(true));
        match name {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "string" => Kind::Text,
            "array" if schema.contains_key("prefixItems") => Kind::List(Box::new(Kind::Any)),
            "array" => Kind::List(Box::new(self.kind(&inner("items"), depth - 1))),
            "object" if schema.contains_key("properties") => Kind::Mapping(Box::new(Kind::Any)),
            "object" => {
                let values = inner("additionalProperties");
                Kind::Mapping(Box::new(self.kind(&values, depth - 1)))
            }
            _ => Kind::Any,
        }
    }
}

fn literals(values: &[Value]) -> Kind {
    let plain = |value: &Value| match value {
        Value::Number(number) => number.is_i64(),
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    };
    match values.is_empty() || LITERALS_MAX < values.len() || !values.iter().all(plain) {
        true => Kind::Any,
        false => Kind::Literals(values.to_vec()),
    }
}

fn one_of(kinds: Vec<Kind>) -> Kind {
    let mut each: Vec<Kind> = Vec::new();
    for kind in kinds {
        if kind == Kind::Any {
            return Kind::Any;
        }
        if !each.contains(&kind) {
            each.push(kind);
        }
    }
    match each.len() {
        0 => Kind::Any,
        1 => each.remove(0),
        _ => Kind::OneOf(each),
    }
}
