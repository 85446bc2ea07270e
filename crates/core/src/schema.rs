//! JSON Schemas that strangers wrote, and arguments checked against them.
//!
//! A schema says which arguments an owner approved, so what has no meaning in
//! it is an error: a misspelt `enum` would otherwise approve anything. It is
//! checked while others wait, so its work is bounded before it is begun: it
//! refers to its own `$defs` only and never in a circle, what it comes to
//! with every reference written out is counted, and its patterns are matched
//! in linear time. Absent on purpose: `$id`, anchors and other dialects.

use std::collections::BTreeSet;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::{json, text};

/// The longest schema, in bytes of canonical JSON.
pub const LEN_MAX: usize = 64 * 1024;
/// The most schemas inside a schema, with every reference written out.
pub const NODES_MAX: u64 = 10_000;
/// The most patterns in a schema.
pub const PATTERNS_MAX: u64 = 64;
/// The most that one check may come to: schemas times values.
pub const WORK_MAX: u64 = 20_000_000;
/// What the schemas come to, at most, that one owner approved for one caller:
/// each may have to be read when that caller asks, while others wait.
pub const TOGETHER_MAX: Weight = Weight {
    bytes: 1 << 20,
    nodes: 2 * NODES_MAX,
    patterns: 2 * PATTERNS_MAX,
};
/// The most memory that one compiled pattern takes, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// The one dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords whose value is no schema.
const PLAIN: [&str; 34] = [
    "$comment",
    "title",
    "description",
    "default",
    "deprecated",
    "examples",
    "readOnly",
    "writeOnly",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "format",
    "contentEncoding",
    "contentMediaType",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "$schema",
    "$ref",
    "$defs",
];
/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const MANY: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is schemas by name.
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];

/// How much work a schema is to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Of canonical JSON.
    pub bytes: u64,
    /// Schemas, with every reference written out.
    pub nodes: u64,
    pub patterns: u64,
}

impl Weight {
    pub fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            nodes: self.nodes.saturating_add(other.nodes),
            patterns: self.patterns.saturating_add(other.patterns),
        }
    }

    /// Whether none of it is over its bound.
    pub fn is_within(self, most: Self) -> bool {
        self.bytes <= most.bytes && self.nodes <= most.nodes && self.patterns <= most.patterns
    }
}

/// Weighs a schema without compiling it.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn weigh(schema: &Value) -> Result<Weight, String> {
    let bytes = json::canonical(schema).len();
    if LEN_MAX < bytes {
        return Err(format!("it is longer than {LEN_MAX} bytes"));
    }
    let survey = Survey::of(schema)?;
    Ok(Weight {
        bytes: bytes as u64,
        nodes: survey.nodes,
        patterns: survey.patterns,
    })
}

/// A schema that can be checked against.
#[derive(Debug)]
pub struct Compiled {
    validator: Validator,
    nodes: u64,
}

/// Where arguments do not satisfy a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer; empty where it is the whole value.
    pub place: String,
    pub why: String,
}

/// Compiles a schema.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn compile(schema: &Value) -> Result<Compiled, String> {
    let Weight { nodes, .. } = weigh(schema)?;
    let patterns = PatternOptions::regex()
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX);
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(patterns)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(schema)
        .map_err(|error| error.to_string())?;
    Ok(Compiled { validator, nodes })
}

impl Compiled {
    /// Checks `value`; the first fault counts.
    pub fn check(&self, value: &Value) -> Result<(), Fault> {
        if WORK_MAX < self.nodes.saturating_mul(json::count(value)) {
            return Err(Fault {
                place: String::new(),
                why: "too much to check against so large a schema".to_owned(),
            });
        }
        self.validator.validate(value).map_err(|fault| Fault {
            place: fault.instance_path().to_string(),
            why: fault.to_string(),
        })
    }
}

/// What was counted of a schema so far.
struct Survey<'a> {
    definitions: Option<&'a Map<String, Value>>,
    /// The definitions that are being written out right now.
    within: BTreeSet<&'a str>,
    nodes: u64,
    patterns: u64,
}

impl<'a> Survey<'a> {
    /// Counts what is in `schema`, if it keeps the laws.
    fn of(schema: &'a Value) -> Result<Self, String> {
        let definitions = schema.get("$defs").and_then(Value::as_object);
        let mut survey = Self {
            definitions,
            within: BTreeSet::new(),
            nodes: 0,
            patterns: 0,
        };
        survey.visit(schema, true)?;
        for (name, definition) in definitions.into_iter().flatten() {
            survey.definition(name, definition)?;
        }
        Ok(survey)
    }

    fn visit(&mut self, schema: &'a Value, is_root: bool) -> Result<(), String> {
        self.nodes += 1;
        if NODES_MAX < self.nodes {
            return Err(format!(
                "with every `$ref` written out it has more than {NODES_MAX} schemas"
            ));
        }
        // Anything but an object is `true`, `false` or refused when it is compiled.
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            self.keyword(keyword, value, is_root)?;
        }
        Ok(())
    }

    fn keyword(&mut self, keyword: &str, value: &'a Value, is_root: bool) -> Result<(), String> {
        match keyword {
            "$defs" if !is_root => Err("`$defs` belongs at the top".to_owned()),
            "$schema" if !is_root || value != DIALECT => {
                Err(format!("`$schema` can only be {DIALECT}, at the top"))
            }
            "$ref" => self.reference(value.as_str().unwrap_or_default()),
            "pattern" => self.pattern(1),
            // Lists of plain values are compared one by one.
            "enum" => {
                self.nodes += value.as_array().map_or(0, |items| items.len() as u64);
                Ok(())
            }
            _ if PLAIN.contains(&keyword) => Ok(()),
            _ if ONE.contains(&keyword) => self.visit(value, false),
            _ if MANY.contains(&keyword) => self.all(value.as_array().into_iter().flatten()),
            _ if NAMED.contains(&keyword) => {
                let named = value.as_object();
                if keyword == "patternProperties" {
                    self.pattern(named.map_or(0, |named| named.len() as u64))?;
                }
                self.all(named.into_iter().flat_map(Map::values))
            }
            unknown => {
                let shown = text::shown(unknown, 80);
                Err(format!("there is no keyword `{shown}` here"))
            }
        }
    }

    fn all(&mut self, schemas: impl Iterator<Item = &'a Value>) -> Result<(), String> {
        for schema in schemas {
            self.visit(schema, false)?;
        }
        Ok(())
    }

    fn pattern(&mut self, count: u64) -> Result<(), String> {
        self.patterns += count;
        match self.patterns <= PATTERNS_MAX {
            true => Ok(()),
            false => Err(format!("it has more than {PATTERNS_MAX} patterns")),
        }
    }

    fn reference(&mut self, raw: &'a str) -> Result<(), String> {
        let name = raw.strip_prefix("#/$defs/").unwrap_or_default();
        let found = self.definitions.and_then(|all| all.get(name));
        let Some(definition) = found else {
            let shown = text::shown(raw, 80);
            return Err(format!(
                "`$ref` is `#/$defs/` and a name that is there, not `{shown}`"
            ));
        };
        self.definition(name, definition)
    }

    fn definition(&mut self, name: &'a str, definition: &'a Value) -> Result<(), String> {
        if !self.within.insert(name) {
            let shown = text::shown(name, 80);
            return Err(format!("`#/$defs/{shown}` refers to itself"));
        }
        self.visit(definition, false)?;
        self.within.remove(name);
        Ok(())
    }
}
