//! A function as a typed function in TypeScript, in one file that stands alone.

use serde_json::Value;

use super::{
    Inputs, Kind, Signature,
    names::{self, Taken},
};

/// What the function stands on: the calls over HTTP and the errors.
const GROUND: &str = include_str!("ground.ts");

/// What every object has, in the eyes of the compiler.
const OF_OBJECTS: [&str; 7] = [
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
];

/// The module's text.
pub fn typescript(signature: &Signature) -> String {
    let pascal = names::pascal(&signature.name);
    let arguments = format!("{pascal}Args");
    let function = format!("{}{}", pascal[..1].to_lowercase(), &pascal[1..]);
    // Nor may it stand for what the rest of the module calls by a name.
    let words = GROUND.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let words = words.chain(["FUNCTION"]).filter(|word| !word.is_empty());
    let function = Taken::with(names::TYPESCRIPT.into_iter().chain(words)).name(&function);
    let optional = match signature.parameters.iter().any(|each| each.required) {
        true => "",
        false => "?",
    };
    let on = match &signature.inputs {
        Inputs::None => String::new(),
        Inputs::Any => "on?: On; ".to_owned(),
        Inputs::Named(inputs) => {
            let each = inputs.iter();
            let each = each.map(|(name, _)| format!("readonly {}: string; ", literal(name)));
            format!("on: {{ {}}}; ", each.collect::<String>())
        }
    };
    let head = comment(
        &format!(
            "Calls {} on a Strongroom station as if it were a local function.\n\n\
             Written by `strongroom connector` from {}.\n\
             Write it again when the function changes.",
            signature.called, signature.version
        ),
        "",
    );
    let explained = "\n\nIt waits for the owners of the data, and then for the run. Throws a \
         PendingApproval or a StillRunning when the time was over first, a RunError by its \
         reason, and a Problem when the station says no.";
    let about = match signature.description.is_empty() {
        true => format!("Calls {}.{explained}", signature.called),
        false => format!("{}{explained}", signature.description),
    };
    format!(
        "{head}\nconst FUNCTION = {};\n\n{}\n{}export async function {function}(\n  call: {{ {on}args{optional}: \
         {arguments} }} & CallOptions{},\n): Promise<unknown> {{\n  return await \
         callFunction(FUNCTION, call);\n}}\n\n{GROUND}",
        literal(&signature.called),
        interface(signature, &arguments),
        comment(&about, ""),
        match (&signature.inputs, optional) {
            (Inputs::Named(_), _) | (_, "") => "",
            _ => " = {}",
        },
    )
}

fn interface(signature: &Signature, name: &str) -> String {
    let mut out = format!("export interface {name} {{\n");
    for parameter in &signature.parameters {
        if !parameter.note.is_empty() {
            out += &comment(&parameter.note, "  ");
        }
        let mark = if parameter.required { "" } else { "?" };
        // An object that leaves it out still has one from its prototype.
        let is_inherited = !parameter.required && OF_OBJECTS.contains(&parameter.key.as_str());
        let kind = match is_inherited {
            true => "unknown".to_owned(),
            false => written(&parameter.kind),
        };
        out += &format!("  readonly {}{mark}: {kind};\n", literal(&parameter.key));
    }
    if signature.more {
        out += "  readonly [name: string]: unknown;\n";
    }
    out + "}\n"
}

fn written(kind: &Kind) -> String {
    match kind {
        Kind::Any => "unknown".to_owned(),
        Kind::Null => "null".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Integer | Kind::Number => "number".to_owned(),
        Kind::Text => "string".to_owned(),
        Kind::Literals(values) => {
            let values: Vec<String> = values.iter().map(value).collect();
            values.join(" | ")
        }
        Kind::List(items) => format!("ReadonlyArray<{}>", written(items)),
        Kind::Mapping(values) => {
            format!("{{ readonly [name: string]: {} }}", written(values))
        }
        Kind::OneOf(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(written).collect();
            kinds.join(" | ")
        }
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => literal(text),
        other => other.to_string(),
    }
}

fn literal(text: &str) -> String {
    names::literal(text, |c| {
        let units = c.encode_utf16(&mut [0; 2]).to_vec();
        units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
    })
}

/// A comment that ends where it should, whatever is in `text`.
fn comment(text: &str, indent: &str) -> String {
    let mut out = format!("{indent}/**\n");
    for line in text.replace("*/", "* /").lines() {
        let line = format!("{indent} * {line}");
        out += line.trim_end();
        out.push('\n');
    }
    format!("{out}{indent} */\n")
}
