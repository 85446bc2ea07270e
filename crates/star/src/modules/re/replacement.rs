//! What a match is replaced with.
//!
//! Both ways to name a group work, since scripts use both: `$1` and `${name}`,
//! and Python's `\1` and `\g<name>`. A function is called with a tuple of the
//! whole match and its groups.

use regex::Captures;
use starlark::{eval::Evaluator, values::Value};

use crate::modules::{
    bounds::TEXT_BYTES_MAX,
    refusal::{argument, too_many_bytes},
};

/// A replacement, parsed once for all matches.
pub enum Replacement<'v> {
    Template(Vec<Part>),
    Function(Value<'v>),
}

pub enum Part {
    Text(String),
    Group(usize),
    Named(String),
}

impl<'v> Replacement<'v> {
    pub fn parse(with: Value<'v>) -> starlark::Result<Self> {
        match with.unpack_str() {
            Some(template) => Ok(Self::Template(parts(template))),
            None if with.get_type() == "function" => Ok(Self::Function(with)),
            None => Err(argument(format!(
                "repl has to be a string or a function, not {}",
                with.get_type()
            ))),
        }
    }

    /// Appends what replaces one match.
    pub fn write(
        &self,
        found: &Captures<'_>,
        groups: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
        to: &mut String,
    ) -> starlark::Result<()> {
        match self {
            Self::Template(parts) => {
                for part in parts {
                    to.push_str(part.text(found)?);
                }
            }
            Self::Function(function) => {
                let answer = eval.eval_function(*function, &[groups], &[])?;
                let text = answer.unpack_str().ok_or_else(|| {
                    argument(format!(
                        "repl has to return a string, not {}",
                        answer.get_type()
                    ))
                })?;
                to.push_str(text);
            }
        }
        match TEXT_BYTES_MAX < to.len() {
            true => Err(too_many_bytes("the replaced text", TEXT_BYTES_MAX)),
            false => Ok(()),
        }
    }
}

impl Part {
    fn text<'a>(&'a self, found: &Captures<'a>) -> starlark::Result<&'a str> {
        let group = match self {
            Self::Text(text) => return Ok(text),
            Self::Group(number) if found.len() <= *number => {
                return Err(argument(format!("the pattern has no group {number}")));
            }
            Self::Group(number) => found.get(*number),
            Self::Named(name) => found.name(name),
        };
        Ok(group.map_or("", |text| text.as_str()))
    }
}

fn parts(template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['$', '\\']) {
        text.push_str(&rest[..at]);
        let (sign, after) = rest[at..].split_at(1);
        let (part, left) = match sign {
            "$" => dollar(after),
            _ => backslash(after),
        };
        match part {
            Part::Text(piece) => text.push_str(&piece),
            group => {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(group);
            }
        }
        rest = left;
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    parts
}

/// `$1`, `$name`, `${name}`, `$$`; any other dollar is itself.
fn dollar(after: &str) -> (Part, &str) {
    if let Some(left) = after.strip_prefix('$') {
        return (Part::Text("$".into()), left);
    }
    if let Some((name, left)) = after
        .strip_prefix('{')
        .and_then(|braced| braced.split_once('}'))
    {
        return (group(name), left);
    }
    let end = after
        .find(|next: char| !next.is_ascii_alphanumeric() && next != '_')
        .unwrap_or(after.len());
    match end {
        0 => (Part::Text("$".into()), after),
        _ => (group(&after[..end]), &after[end..]),
    }
}

/// `\1`, `\g<name>`, `\n`, `\r`, `\t`, `\\`; any other stays as it is.
fn backslash(after: &str) -> (Part, &str) {
    let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if 0 < digits {
        return (group(&after[..digits]), &after[digits..]);
    }
    if let Some((name, left)) = after
        .strip_prefix("g<")
        .and_then(|named| named.split_once('>'))
    {
        return (group(name), left);
    }
    let escapes = [('n', "\n"), ('r', "\r"), ('t', "\t"), ('\\', "\\")];
    for (letter, meaning) in escapes {
        if let Some(left) = after.strip_prefix(letter) {
            return (Part::Text(meaning.into()), left);
        }
    }
    (Part::Text("\\".into()), after)
}

fn group(name: &str) -> Part {
    match name.parse() {
        Ok(number) => Part::Group(number),
        Err(_) => Part::Named(name.to_owned()),
    }
}
