//! A function as a typed function in Python, on the package `strongroom`.

use serde_json::Value;

use super::{
    Inputs, Kind, Parameter, Signature,
    names::{self, Taken},
};

/// What every such function takes beside its arguments.
const OPTIONS: [(&str, &str); 7] = [
    ("station", "strongroom.Station | None = None"),
    (
        "limits",
        "typing.Mapping[str, str | int | float] | None = None",
    ),
    ("purpose", "str = \"\""),
    (
        "expose",
        "typing.Literal[\"off\", \"ask_owners\", \"all_datasets\"] | None = None",
    ),
    ("key", "str | None = None"),
    ("timeout", "float | None = None"),
    (
        "on_pending",
        "typing.Callable[[strongroom.Run], None] | None = None",
    ),
];

/// What the types of parameters are called; a function of this name would stand for them.
const TYPES: [&str; 4] = ["bool", "float", "int", "str"];

const EXPLAINED: &str =
    "        station: Where it is called; without it, where this user is logged in.
        limits: Bounds for the run, such as {\"memory\": \"256 MiB\", \"time\": \"30s\"}.
        purpose: What the result is for, told to the owners.
        expose: Whether data may reach its stage with a network, where it has one.
        key: Calling twice with the same key is calling once.
        timeout: Seconds to wait, also for owners to answer; without it, to the end.
        on_pending: Told whom the call waits for; without it, a line on stderr says so.

    Returns:
        What the function returned.

    Raises:
        strongroom.PendingApproval: The time was over before every owner had answered.
        strongroom.StillRunning: The time was over before the run was.
        strongroom.RunError: The run ended otherwise; strongroom.Failed has the remote traceback.
        strongroom.Problem: The station said no.
        strongroom.Unreachable: The station did not answer.
";

/// The module's text.
pub fn python(signature: &Signature) -> String {
    let mut taken = Taken::with(names::PYTHON);
    for word in ["strongroom", "typing", "FUNCTION"].iter().chain(&TYPES) {
        taken.name(word);
    }
    let function = taken.name(&signature.name);
    let mut within = Taken::with(names::PYTHON.into_iter().chain([
        "strongroom",
        "typing",
        "FUNCTION",
        "on",
        "more",
    ]));
    for (option, _) in OPTIONS {
        within.name(option);
    }
    let keys = signature.parameters.iter();
    let keys: Vec<&str> = keys.map(|parameter| parameter.key.as_str()).collect();
    let given = within.names(&keys).into_iter();
    let parameters: Vec<(String, &Parameter)> = given.zip(&signature.parameters).collect();
    let head = documented(
        &format!(
            "Calls {} on a Strongroom station as if it were a local function.\n\n\
             Written by `strongroom connector` from {}.\n\
             Write it again when the function changes.",
            signature.called, signature.version
        ),
        "",
    );
    format!(
        "{head}\nfrom __future__ import annotations\n\nimport typing\n\nimport strongroom\n\n\
         FUNCTION = {}\n\n\ndef {function}(\n{}) -> typing.Any:\n{}{}",
        literal(&signature.called),
        parameter_lines(signature, &parameters),
        documentation(signature, &parameters),
        call(signature, &parameters),
    )
}

fn parameter_lines(signature: &Signature, parameters: &[(String, &Parameter)]) -> String {
    let mut out = match &signature.inputs {
        Inputs::None => String::new(),
        Inputs::Any => {
            "    on: str | typing.Sequence[str] | typing.Mapping[str, str] | None = None,\n".into()
        }
        Inputs::Named(_) => "    on: typing.Mapping[str, str],\n".to_owned(),
    };
    out += "    *,\n";
    for (name, parameter) in parameters {
        let kind = written(&parameter.kind);
        out += &match parameter.required {
            true => format!("    {name}: {kind},\n"),
            false => format!("    {name}: {kind} = strongroom.UNSET,\n"),
        };
    }
    if signature.more {
        out += "    more: typing.Mapping[str, typing.Any] | None = None,\n";
    }
    for (name, kind) in OPTIONS {
        out += &format!("    {name}: {kind},\n");
    }
    out
}

fn documentation(signature: &Signature, parameters: &[(String, &Parameter)]) -> String {
    let mut text = match signature.description.is_empty() {
        true => format!("Calls {}.", signature.called),
        false => signature.description.clone(),
    };
    text += "\n\nArgs:\n";
    match &signature.inputs {
        Inputs::None => {}
        Inputs::Any => text += "    on: The data: \"owner/name\", or a dict of them by input.\n",
        Inputs::Named(inputs) => {
            text += "    on: The data, as \"owner/name\", by input:\n";
            for (name, what) in inputs {
                text += &format!("        {name}: {what}\n");
            }
        }
    }
    for (name, parameter) in parameters {
        let renamed = match *name == parameter.key {
            true => String::new(),
            false => format!("(the argument {}) ", super::line(&parameter.key, 80)),
        };
        text += &format!("    {name}: {renamed}{}\n", parameter.note);
    }
    if signature.more {
        text += "    more: Other arguments, by name.\n";
    }
    let opened = documented(&text, "    ");
    let body = opened.strip_suffix("    \"\"\"\n").unwrap_or(&opened);
    format!("{body}{EXPLAINED}    \"\"\"\n")
}

fn call(signature: &Signature, parameters: &[(String, &Parameter)]) -> String {
    let mut out = String::from("    return strongroom.call(\n        FUNCTION,\n");
    if !matches!(signature.inputs, Inputs::None) {
        out += "        on=on,\n";
    }
    out += "        args=strongroom.given(\n            {\n";
    for (name, parameter) in parameters {
        out += &format!("                {}: {name},\n", literal(&parameter.key));
    }
    out += "            },\n";
    if signature.more {
        out += "            more,\n";
    }
    out += "        ),\n";
    for (name, _) in OPTIONS {
        out += &match name {
            "on_pending" => {
                "        on_pending=on_pending or strongroom.tell_pending,\n".to_owned()
            }
            _ => format!("        {name}={name},\n"),
        };
    }
    out + "    )\n"
}

fn written(kind: &Kind) -> String {
    match kind {
        Kind::Any => "typing.Any".to_owned(),
        Kind::Null => "None".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Integer => "int".to_owned(),
        Kind::Number => "float".to_owned(),
        Kind::Text => "str".to_owned(),
        Kind::Literals(values) => {
            let values: Vec<String> = values.iter().map(value).collect();
            format!("typing.Literal[{}]", values.join(", "))
        }
        Kind::List(items) => format!("typing.Sequence[{}]", written(items)),
        Kind::Mapping(values) => format!("typing.Mapping[str, {}]", written(values)),
        Kind::OneOf(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(written).collect();
            kinds.join(" | ")
        }
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => literal(text),
        Value::Number(number) => number.to_string(),
        _ => "None".to_owned(),
    }
}

fn literal(text: &str) -> String {
    names::literal(text, |c| format!("\\U{:08x}", u32::from(c)))
}

/// A docstring that ends where it should, whatever is in `text`.
fn documented(text: &str, indent: &str) -> String {
    // No three quotes follow each other, and none comes before the end.
    let escaped = text.replace('\\', "\\\\").replace("\"\"", "\\\"\\\"");
    let mut lines = escaped.lines();
    let first = lines.next().unwrap_or_default();
    let mut out = format!("{indent}\"\"\"{first}\n");
    for line in lines {
        let line = format!("{indent}{line}");
        out += line.trim_end();
        out.push('\n');
    }
    format!("{out}{indent}\"\"\"\n")
}
