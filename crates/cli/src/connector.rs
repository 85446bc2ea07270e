//! What a function looks like from outside, and the code that calls it so.
//!
//! The schema of the arguments and every text in it are a stranger's. They
//! come into the written code as literals and as comments that cannot end
//! early, and never as code; a name that the language could not have is
//! changed, and the argument keeps its own.

mod kind;
mod names;
mod python;
mod typescript;

use serde_json::{Map, Value};
use strongroom_core::text::turns_direction;
use strongroom_server::api::{FunctionVersion, Source};

pub use self::{kind::Kind, python::python, typescript::typescript};

/// The most arguments with a parameter of their own; all others are passed in a dictionary.
const PARAMETERS_MAX: usize = 100;
/// The longest text about one argument, in characters.
const NOTE_LEN_MAX: usize = 500;
/// The longest description, in characters.
const DESCRIPTION_LEN_MAX: usize = 4000;

/// One function, as its callers see it.
pub struct Signature {
    /// What is called: as it was named, so with its version only if that was named.
    pub called: String,
    /// `owner/name@sha256:…`, what this was read from.
    pub version: String,
    /// Its name without the owner: letters, digits and `-`.
    pub name: String,
    pub description: String,
    pub inputs: Inputs,
    pub parameters: Vec<Parameter>,
    /// Whether there may be arguments that have no parameter here.
    pub more: bool,
}

/// What a function runs on.
pub enum Inputs {
    /// Whatever the caller gives.
    Any,
    None,
    /// These, each with what it is for.
    Named(Vec<(String, String)>),
}

/// One argument.
pub struct Parameter {
    /// Any text at all.
    pub key: String,
    pub kind: Kind,
    pub required: bool,
    /// On one line.
    pub note: String,
}

impl Signature {
    pub fn of(called: String, version: &FunctionVersion) -> Self {
        let manifest = &version.manifest;
        let empty = Value::Bool(true);
        let schema = manifest.args.as_ref().unwrap_or(&empty);
        let (parameters, more) = parameters(schema);
        Self {
            called,
            version: format!("{}@{}", version.function, version.version),
            name: version.function.name.to_string(),
            description: description(version),
            inputs: match &manifest.inputs {
                None => Inputs::Any,
                Some(named) if named.is_empty() => Inputs::None,
                Some(named) => {
                    let each = named.iter();
                    Inputs::Named(
                        each.map(|(name, what)| (name.to_string(), line(what, NOTE_LEN_MAX)))
                            .collect(),
                    )
                }
            },
            parameters,
            more,
        }
    }
}

/// The arguments that an object has by name, and whether there may be others.
fn parameters(schema: &Value) -> (Vec<Parameter>, bool) {
    let none = Map::new();
    let object = |key: &str| schema.get(key).and_then(Value::as_object).unwrap_or(&none);
    let (properties, definitions) = (object("properties"), object("$defs"));
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut found: Vec<Parameter> = properties
        .iter()
        .map(|(key, property)| Parameter {
            key: key.clone(),
            kind: Kind::of(property, definitions),
            required: required.contains(&key.as_str()),
            note: note(property),
        })
        .collect();
    let unnamed = required.iter().any(|key| !properties.contains_key(*key));
    // Those that have to be given come first.
    found.sort_by_key(|parameter| !parameter.required);
    let cut = PARAMETERS_MAX < found.len();
    found.truncate(PARAMETERS_MAX);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let only_named = closed && !cut && !unnamed;
    (found, !only_named)
}

fn note(property: &Value) -> String {
    let said = property.get("description").and_then(Value::as_str);
    let mut note = line(said.unwrap_or_default(), NOTE_LEN_MAX);
    if let Some(default) = property.get("default") {
        let default = line(&default.to_string(), 80);
        note = format!("{note} [default: {default}]")
            .trim_start()
            .to_owned();
    }
    note
}

/// The description, and what the source says of itself where we may see it.
fn description(version: &FunctionVersion) -> String {
    let said = plain(&version.manifest.description, DESCRIPTION_LEN_MAX);
    let entry = version.manifest.entry.to_string();
    let source = match version.files.as_ref().and_then(|files| files.get(&entry)) {
        Some(Source::Text(text)) if entry.ends_with(".py") => docstring(text),
        _ => None,
    };
    let source = source.map(|text| plain(&text, DESCRIPTION_LEN_MAX));
    match source {
        Some(source) if said.is_empty() => source,
        Some(source) if !source.is_empty() && source != said => format!("{said}\n\n{source}"),
        _ => said,
    }
}

/// The docstring of a Python file, if it is written plainly.
fn docstring(source: &str) -> Option<String> {
    let mut rest = source.trim_start_matches('\u{feff}').trim_start();
    while rest.starts_with('#') {
        rest = rest.split_once('\n')?.1.trim_start();
    }
    let mark = ["\"\"\"", "'''"]
        .into_iter()
        .find(|mark| rest.starts_with(mark))?;
    let (text, _) = rest[mark.len()..].split_once(mark)?;
    let plain = !text.contains('\\');
    plain.then(|| text.trim().to_owned())
}

/// Lines without what could move a cursor or turn the direction of reading.
fn plain(text: &str, most: usize) -> String {
    let lines = text.lines().map(|each| line(each, most));
    let joined = lines.collect::<Vec<_>>().join("\n");
    joined.trim().chars().take(most).collect()
}

/// One line of plain characters, with single spaces.
fn line(text: &str, most: usize) -> String {
    let is_plain = |c: &char| !c.is_control() && !turns_direction(*c) && !is_line_end(*c);
    let spaced = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c });
    let kept: String = spaced.filter(is_plain).collect();
    let words: Vec<&str> = kept.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(most).collect()
}

/// What some languages end a line at, and with it a comment.
fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}')
}

#[cfg(test)]
mod tests;
