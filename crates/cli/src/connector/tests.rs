//! Connectors for functions whose texts are out to break them.
#![allow(clippy::unwrap_used)]

use std::{io::Write as _, process::Command};

use serde_json::{Value, json};

use super::*;

/// A function whose developer chose every text.
fn version(name: &str, description: &str, args: Value, inputs: Value) -> FunctionVersion {
    let digest = format!("sha256:{}", "0".repeat(64));
    let limits = serde_json::to_value(strongroom_core::limits::Limits::DEFAULT).unwrap();
    serde_json::from_value(json!({
        "function": format!("devs/{name}"),
        "version": digest,
        "manifest": {
            "runtime": "python3", "entry": "main.py", "description": description,
            "inputs": inputs, "args": args, "limits": limits,
        },
        "message": "",
        "at_ms": 0,
    }))
    .unwrap()
}

fn signature(name: &str, description: &str, args: Value, inputs: Value) -> Signature {
    let version = version(name, description, args, inputs);
    Signature::of(format!("devs/{name}"), &version)
}

/// What is called and with which arguments when every parameter of the written
/// Python gets its own key; and what the module defines.
fn called(text: &str) -> Value {
    called_each(&[text.to_owned()]).remove(0)
}

fn called_each(texts: &[String]) -> Vec<Value> {
    let program = r#"
import inspect, json, sys, types
said = {}
class Kit(types.ModuleType):
    UNSET = object()
    tell_pending = None
    @staticmethod
    def given(args, more=None):
        return {**args, **(more or {})}
    @staticmethod
    def call(function, **options):
        said.update(function=function, args=options["args"], on=options.get("on"))
sys.modules["strongroom"] = Kit("strongroom")
def tried(source):
    names = {"__name__": "connector"}
    exec(compile(source, "connector", "exec", dont_inherit=True), names)
    known = ("annotations", "typing", "strongroom", "FUNCTION")
    own = [n for n in names if not n.startswith("__") and n not in known]
    function = names[own[0]]
    taken = {"on", "more", "station", "limits", "purpose", "expose", "key", "timeout", "on_pending"}
    parameters = [p for p in inspect.signature(function).parameters if p not in taken]
    options = {"on": "lab/d"} if "on" in inspect.signature(function).parameters else {}
    function(**{p: "of " + p for p in parameters}, **options)
    return {"defines": own, "parameters": parameters, **said}
print(json.dumps([tried(source) for source in json.load(sys.stdin)]))
"#;
    let mut child = Command::new("/usr/bin/python3")
        .args(["-I", "-X", "utf8", "-W", "error", "-c", program])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = serde_json::to_vec(texts).unwrap();
    stdin.write_all(&sent).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{texts:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Texts that would like to be code.
const HOSTILE: [&str; 16] = [
    "\"\"\"\nimport os; os.abort()\n\"\"\"",
    "\"); import os; os.abort() #",
    "\\\"\"\"\nraise SystemExit(9)",
    "ends in a backslash \\",
    "ends in a quote \"",
    "'''\nraise SystemExit(9)\n'''",
    "*/ process.exit(9); /*",
    "`${process.exit(9)}`",
    "</script>\u{2028}process.exit(9)\u{2029}x",
    "line\r\nraise SystemExit(9)\x0craise SystemExit(9)\x1b[2J",
    "\u{202e}gpj\u{85}raise SystemExit(9)",
    "{0} %s {name} \\N{DASH} \\x41 \\u0041",
    "# /// script",
    "é 名 \u{1f600}",
    "\0",
    "",
];

#[test]
fn no_text_of_a_function_becomes_code_of_its_connector() {
    let mut properties = serde_json::Map::new();
    for text in HOSTILE {
        let schema = json!({ "enum": [text, 1, null, true], "description": text, "default": text });
        properties.insert(text.to_owned(), schema);
    }
    let required: Vec<&str> = HOSTILE.into_iter().step_by(2).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    let signatures = HOSTILE.map(|text| signature("f", text, schema.clone(), json!({ "a": text })));
    for called in called_each(&signatures.each_ref().map(python)) {
        assert_eq!(called["defines"], json!(["f"]));
        assert_eq!(called["function"], "devs/f");
        let args = called["args"].as_object().unwrap();
        assert_eq!(args.len(), HOSTILE.len());
        assert!(
            HOSTILE.iter().all(|key| args.contains_key(*key)),
            "{args:?}"
        );
    }
    for signature in &signatures {
        is_inert(&typescript(signature));
    }
}

/// Outside of comments and literals the written TypeScript has none of the texts.
fn is_inert(text: &str) {
    let head = text.split("/** A station, and a token").next().unwrap();
    let (mut code, mut rest) = (String::new(), head);
    while let Some(at) = rest.find(['"', '/', '`', '\'']) {
        code += &rest[..at];
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").expect("a comment ends").1;
        } else if let Some(mut literal) = rest.strip_prefix('"') {
            while let Some(escaped) = literal
                .find('\\')
                .filter(|at| *at < literal.find('"').unwrap())
            {
                literal = &literal[escaped + 2..];
            }
            let (inner, after) = literal.split_once('"').expect("a literal ends");
            assert!(inner.is_ascii() && !inner.contains('\n'), "{inner}");
            rest = after;
        } else {
            panic!("neither a comment nor a literal: {rest}");
        }
    }
    code += rest;
    assert!(
        !code.contains("process") && !code.contains("raise"),
        "{code}"
    );
    assert!(
        code.is_ascii() && code.contains("callFunction(FUNCTION, call)"),
        "{code}"
    );
}

#[test]
fn a_function_cannot_be_called_what_its_connector_calls_by_a_name() {
    for (name, written) in [("str", "str_"), ("int", "int_"), ("typing", "typing_")] {
        let text = python(&signature(name, "", json!({}), Value::Null));
        assert!(
            text.contains(&format!("\ndef {written}(\n")),
            "{name}: {text}"
        );
    }
    for (name, written) in [
        ("send", "send_"),
        ("call-function", "callFunction_"),
        ("set-timeout", "setTimeout_"),
        ("encode-u-r-i-component", "encodeURIComponent_"),
        ("global-this", "globalThis_"),
        ("console", "console_"),
        ("mean-mass", "meanMass"),
    ] {
        let text = typescript(&signature(name, "", json!({}), Value::Null));
        let head = format!("export async function {written}(");
        assert!(text.contains(&head), "{name}: {text}");
    }
}

#[test]
fn names_that_a_language_has_itself_are_changed_and_the_argument_keeps_its_own() {
    let keys = [
        "class",
        "on",
        "station",
        "key",
        "timeout",
        "None",
        "more",
        "strongroom",
        "typing",
        "a-b",
        "a_b",
        "a b",
        "1st",
        "_x",
        "__class__",
        "FUNCTION",
        "print",
        "async",
        "self",
        "é",
        "",
    ];
    let properties: serde_json::Map<_, _> = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!({})))
        .collect();
    let schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let called = called(&python(&signature("class", "", schema, Value::Null)));
    assert_eq!(called["defines"], json!(["class_"]));
    let args = called["args"].as_object().unwrap();
    let mut found: Vec<&str> = args.keys().map(String::as_str).collect();
    let mut wanted = keys.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    assert_eq!(args["class"], "of class_");
    assert_eq!(args["a_b"], "of a_b");
    assert_eq!(args["a-b"], "of a_b_");
    assert_eq!(args["a b"], "of a_b_2");
    let names = ["default", "if", "fetch", "strongroom", "a--b-", "x1"];
    for (name, wanted) in names
        .iter()
        .zip(["default_", "if_", "fetch_", "strongroom", "aB", "x1"])
    {
        let text = typescript(&signature(name, "", json!({}), Value::Null));
        assert!(
            text.contains(&format!("export async function {wanted}(")),
            "{text}"
        );
    }
}

#[test]
fn a_schema_becomes_types_and_what_has_no_type_is_anything() {
    let schema = json!({
        "$defs": { "island": { "enum": ["Dream", "Biscoe"] }, "loop": { "$ref": "#/$defs/loop" } },
        "type": "object",
        "required": ["by", "unlisted"],
        "properties": {
            "by": { "type": ["string", "null"] },
            "islands": { "type": "array", "items": { "$ref": "#/$defs/island" } },
            "least": { "type": "number", "default": 1 },
            "weights": { "type": "object", "additionalProperties": { "type": "integer" } },
            "mixed": { "anyOf": [{ "type": "boolean" }, { "const": 3 }, { "type": "boolean" }] },
            "loop": { "$ref": "#/$defs/loop" },
            "float": { "enum": [1.5] },
            "any": true,
        },
    });
    let signature = signature(
        "mean-mass",
        "Means.",
        schema,
        json!({ "birds": "the\nbirds" }),
    );
    let text = python(&signature);
    for line in [
        "    on: typing.Mapping[str, str],",
        "    by: str | None,",
        "    islands: typing.Sequence[typing.Literal[\"Dream\", \"Biscoe\"]] = strongroom.UNSET,",
        "    least: float = strongroom.UNSET,",
        "    weights: typing.Mapping[str, int] = strongroom.UNSET,",
        "    mixed: bool | typing.Literal[3] = strongroom.UNSET,",
        "    loop: typing.Any = strongroom.UNSET,",
        "    float: typing.Any = strongroom.UNSET,",
        "    more: typing.Mapping[str, typing.Any] | None = None,",
        "            birds: the birds",
        "        least: [default: 1]",
    ] {
        assert!(text.lines().any(|each| each == line), "{line}\n{text}");
    }
    let text = typescript(&signature);
    for line in [
        "  call: { on: { readonly \"birds\": string; }; args: MeanMassArgs } & CallOptions,",
        "  readonly \"by\": string | null;",
        "  readonly \"islands\"?: ReadonlyArray<\"Dream\" | \"Biscoe\">;",
        "  readonly \"mixed\"?: boolean | 3;",
    ] {
        assert!(text.lines().any(|each| each == line), "{line}\n{text}");
    }
}

#[test]
fn a_very_large_schema_makes_a_connector_of_bounded_size() {
    let inner = json!({ "anyOf": vec![json!({ "type": "array", "items": { "type": ["string", "null"] } }); 60] });
    let properties: serde_json::Map<_, _> =
        (0..300).map(|n| (format!("p{n}"), inner.clone())).collect();
    let text = python(&signature(
        "f",
        "",
        json!({ "properties": properties }),
        json!({}),
    ));
    assert!(text.len() < 200_000, "{}", text.len());
    assert_eq!(
        called(&text)["parameters"].as_array().unwrap().len(),
        PARAMETERS_MAX
    );
}

#[test]
fn what_the_source_says_of_itself_is_told_to_those_who_may_see_it() {
    let mut version = version("f", "Means.", json!({}), Value::Null);
    let source = "# /// script\n# ///\n\"\"\"Mean mass by group.\n\nMore.\"\"\"\n";
    version.files = Some([("main.py".to_owned(), Source::Text(source.to_owned()))].into());
    assert_eq!(
        description(&version),
        "Means.\n\nMean mass by group.\n\nMore."
    );
    for (source, wanted) in [
        ("'''One.'''", Some("One.")),
        ("x = 1\n\"\"\"No.\"\"\"", None),
        ("\"\"\"No end", None),
        ("# only a comment", None),
        ("\"\"\"\\x1b\"\"\"", None),
    ] {
        assert_eq!(docstring(source).as_deref(), wanted, "{source}");
    }
}
