//! `encoding/json.star`: values to JSON and back.

use serde::de::{DeserializeSeed, IgnoredAny};
use starlark::{environment::GlobalsBuilder, eval::Evaluator, starlark_module, values::Value};

use super::{
    bounds::TEXT_BYTES_MAX,
    raw::bytes_of,
    refusal::{argument, malformed, too_many_bytes},
    tree::{Growing, Written},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("json", functions);
}

/// Reads one JSON document; keys keep their order.
///
/// # Errors
///
/// When it is not one JSON document, or is nested too deeply.
pub fn parse<'v>(
    raw: &[u8],
    heap: starlark::values::Heap<'v>,
) -> Result<Value<'v>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(raw);
    let value = Growing::on(heap).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Writes a value; keys are sorted.
    fn encode<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<String> {
        serde_json::to_string(&Written::new(x, eval.heap()))
            .map_err(|error| argument(format!("cannot encode as JSON: {error}")))
    }

    /// Reads a document, or answers `default` when it is not JSON.
    fn decode<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let raw = bytes_of("x", x)?;
        match (parse(raw, eval.heap()), default) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(default)) => Ok(default),
            (Err(error), None) => Err(malformed("JSON", error)),
        }
    }

    /// Lays a document out over lines.
    fn indent(
        #[starlark(require = pos)] str: &str,
        #[starlark(require = named, default = "")] prefix: &str,
        #[starlark(require = named, default = "\t")] indent: &str,
    ) -> starlark::Result<String> {
        serde_json::from_str::<IgnoredAny>(str).map_err(|error| malformed("JSON", error))?;
        laid_out(str, prefix, indent)
            .ok_or_else(|| too_many_bytes("the indented text", TEXT_BYTES_MAX))
    }
}

/// Lays out what is known to be JSON: every byte outside of strings that is
/// not white space stays as it is.
fn laid_out(json: &str, prefix: &str, indent: &str) -> Option<String> {
    let mut laid_out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let new_line = |to: &mut String, depth: usize| {
        let added = indent
            .len()
            .saturating_mul(depth)
            .saturating_add(prefix.len());
        if TEXT_BYTES_MAX < added.saturating_add(to.len()) {
            return false;
        }
        to.push('\n');
        to.push_str(prefix);
        to.push_str(&indent.repeat(depth));
        true
    };
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if quoted {
            laid_out.push(character);
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                laid_out.push(character);
                while characters
                    .next_if(|next| next.is_ascii_whitespace())
                    .is_some()
                {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(closing) => laid_out.push(closing),
                    None => {
                        depth += 1;
                        new_line(&mut laid_out, depth).then_some(())?;
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut laid_out, depth).then_some(())?;
                laid_out.push(character);
            }
            ',' => {
                laid_out.push(character);
                new_line(&mut laid_out, depth).then_some(())?;
            }
            ':' => laid_out.push_str(": "),
            other => {
                quoted = other == '"';
                laid_out.push(other);
            }
        }
    }
    Some(laid_out)
}
