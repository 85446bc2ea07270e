//! Texts made to exhaust whoever reads them: each is refused, in little time
//! and on the small stack of a server's thread.

#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use strongroom_core::{
    digest::Digest,
    json,
    limits::Limits,
    manifest::{Files, Manifest},
    plan::{self, Inputs, Plan, RuntimePin},
    rule::RuleSet,
    runtime::{FunctionFiles, Kind, Kinds, RuntimeName},
    schema,
};

/// Runs `work` with the stack of a runtime's thread, within the time that a
/// server can spare in a debug build.
fn small<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let began = Instant::now();
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work);
    let done = thread.unwrap().join().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    done
}

fn kinds() -> Kinds {
    Kinds::new([Kind {
        runtime: RuntimeName::python3(),
        files: FunctionFiles::new(".py", "main.py".parse().unwrap()),
        implied: true,
    }])
}

fn manifest(text: String) -> Result<Manifest, String> {
    small(move || {
        let files = Files::from([
            ("main.py".parse().unwrap(), Vec::new()),
            ("strongroom.toml".parse().unwrap(), text.into_bytes()),
        ]);
        Manifest::of_files(&files, &kinds()).map_err(|error| error.to_string())
    })
}

#[test]
fn a_manifest_that_is_nested_without_end_is_refused() {
    for depth in [200, 5_000, 100_000] {
        let dotted = format!("args{} = 1\n", ".a".repeat(depth));
        manifest(dotted).unwrap_err();
        manifest(format!("[args{}]\n", ".a".repeat(depth))).unwrap_err();
        manifest(format!(
            "args = {}1{}\n",
            "{a=".repeat(depth),
            "}".repeat(depth)
        ))
        .unwrap_err();
        manifest(format!(
            "args.x = {}{}\n",
            "[".repeat(depth),
            "]".repeat(depth)
        ))
        .unwrap_err();
    }
}

/// A policy with `open` and `close` this often around `middle`.
fn nested(open: &str, middle: &str, close: &str, depth: usize) -> String {
    let (open, close) = (open.repeat(depth), close.repeat(depth));
    format!("permit (principal, action, resource) when {{ {open}{middle}{close} }};")
}

#[test]
fn rules_that_are_nested_without_end_are_refused() {
    let forms = [
        ("(", "true", ")"),
        ("!", "true", ""),
        ("-", "1 == 1", ""),
        ("[", "1", "]"),
        ("if true then true else ", "true", ""),
        ("if ", "true", " then true else true"),
        ("{a:", "1", "}"),
        ("", "true", " && true"),
        ("", "1", " + 1"),
        ("", "context", ".limits"),
        ("", "true", " || (true)"),
    ];
    for (open, middle, close) in forms {
        // Deep enough to end a thread, and as deep as the bound lets through.
        for depth in [20_000, 5_000, 990, 480, 320, 240, 190, 160, 20] {
            let text = nested(open, middle, close, depth);
            let parsed = small(move || RuleSet::parse(&text).map(drop));
            assert!(depth < 1000 || parsed.is_err(), "{open}{middle}{close}");
        }
    }
    let texts = format!(
        "permit (principal, action, resource) when {{ [{}].contains(context.purpose) }};",
        vec!["\"(((\\\"([\""; 3000].join(",")
    );
    small(move || RuleSet::parse(&texts).unwrap());
}

fn check(schema: Value, args: Value) -> Result<(), String> {
    small(move || plan::check_args(&schema, &args).map_err(|error| error.to_string()))
}

#[test]
fn a_schema_that_refers_to_itself_is_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"$dynamicAnchor": "a", "allOf": [{"$dynamicRef": "#a"}]}),
        json!({"$id": "http://x.example/", "allOf": [{"$ref": "http://x.example/"}]}),
    ] {
        check(schema, json!({})).unwrap_err();
    }
}

#[test]
fn a_schema_that_doubles_is_refused() {
    let mut defs = serde_json::Map::new();
    for n in 0..40 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        defs.insert(format!("d{n}"), json!({"anyOf": [next, next]}));
    }
    defs.insert("d40".to_owned(), json!(false));
    check(json!({"$ref": "#/$defs/d0", "$defs": defs}), json!({})).unwrap_err();
}

#[test]
fn a_schema_of_many_large_patterns_is_refused() {
    let patterns: Vec<Value> = (0..1000)
        .map(|n| json!({"pattern": format!("\\w{{200}}\\w{{200}}{n}")}))
        .collect();
    check(json!({"allOf": patterns}), json!("a")).unwrap_err();
}

#[test]
fn a_pattern_that_backtracks_is_cheap() {
    let patterns: Vec<Value> = (0..500)
        .map(|n| json!({"not": {"pattern": format!("^(a|aa|{n})+$(?=x)")}}))
        .collect();
    let _ = check(json!({"allOf": patterns}), json!("a".repeat(5000) + "b"));
}

#[test]
fn a_large_schema_on_large_arguments_is_cheap() {
    let each: Vec<Value> = (0..3000)
        .map(|n| json!({"not": {"const": n + 1}}))
        .collect();
    let args: Vec<Value> = (0..400_000).map(|_| json!(0)).collect();
    check(json!({"items": {"allOf": each}}), Value::Array(args)).unwrap_err();
    let args: Vec<Value> = (0..100_000).map(|n| json!({ "a": n })).collect();
    let _ = check(json!({"uniqueItems": true}), Value::Array(args));
}

#[test]
fn a_document_of_very_many_values_is_refused() {
    let mut text = "[".to_owned();
    for _ in 0..8_000_000 {
        let _ = write!(text, "0,");
    }
    text += "0]";
    json::parse(text.as_bytes()).unwrap_err();
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    for raw in [
        "0.1",
        "1e23",
        "8.41e21",
        "9007199254740993.5",
        "5e-324",
        "2.2250738585072011e-308",
        "-0",
        "1.7976931348623157e308",
        "123456789012345678901234567890",
        "0.30000000000000004",
        "7.2057594037927933e16",
        "3.3333333333333335e-5",
        "6631236846766476e-316",
        "3.237883913302901e-319",
    ] {
        let args = json::parse(format!("{{\"x\":{raw}}}").as_bytes()).unwrap();
        let plan = Plan {
            function: Digest::of(b"f"),
            runtime: RuntimePin {
                name: RuntimeName::sh(),
                digest: Digest::of(b"sh"),
            },
            inputs: Inputs::None,
            args,
            limits: Limits::DEFAULT,
            stages: Vec::new(),
            download: None,
            secrets: std::collections::BTreeMap::new(),
            config: std::collections::BTreeMap::new(),
            answers: strongroom_core::network::Answers::Live,
        };
        let again: Plan = serde_json::from_str(&json::canonical_of(&plan)).unwrap();
        assert_eq!(again.digest(), plan.digest(), "{raw}");
    }
    let mut state = 88172645463325252u64;
    for _ in 0..200_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let x = f64::from_bits(state);
        if !x.is_finite() {
            continue;
        }
        let text = json::canonical(&json!(x));
        assert_eq!(
            json::canonical(&json::parse(text.as_bytes()).unwrap()),
            text
        );
    }
}

#[test]
fn a_schema_with_a_word_that_means_nothing_is_refused() {
    for (schema, args) in [
        (
            json!({"propertes": {"by": {"enum": ["species"]}}}),
            json!({"by": "anything"}),
        ),
        (
            json!({"properties": {"by": {"enums": ["species"]}}}),
            json!({"by": "anything"}),
        ),
        (
            json!({"properties": {"day": {"format": "dat"}}}),
            json!({"day": "never"}),
        ),
        (
            json!({"properties": {"day": {"format": "date"}}}),
            json!({"day": "never"}),
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1}),
            json!(2),
        ),
        (
            json!({"allOf": [{"$id": "http://x/", "$schema": "http://json-schema.org/draft-04/schema#", "const": 1}]}),
            json!(2),
        ),
    ] {
        assert!(check(schema.clone(), args).is_err(), "{schema}");
    }
    let usual = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object", "required": ["by"], "additionalProperties": false,
        "properties": {"by": {"$ref": "#/$defs/column"}, "on": {"$ref": "#/$defs/column"}},
        "$defs": {"column": {"enum": ["species", "island"]}},
    });
    check(usual.clone(), json!({"by": "species", "on": "island"})).unwrap();
    check(usual, json!({"by": "sex"})).unwrap_err();
    assert!(schema::compile(&json!(true)).is_ok());
}

#[test]
fn arguments_nested_too_deep_to_be_shown_are_refused() {
    let files = Files::from([("main.py".parse().unwrap(), Vec::new())]);
    let manifest = Manifest::of_files(&files, &kinds()).unwrap();
    let pin = |depth: usize| {
        let args = (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let runtime = RuntimePin {
            name: RuntimeName::python3(),
            digest: Digest::of(b"python"),
        };
        let (limits, digest) = (Limits::DEFAULT, Digest::of(b"f"));
        plan::pin(
            &manifest,
            digest,
            runtime,
            Inputs::None,
            args,
            limits,
            Limits::MAX,
        )
    };
    assert!(pin(plan::ARGS_DEPTH_MAX).is_ok());
    let refused = pin(plan::ARGS_DEPTH_MAX + 1);
    assert_eq!(refused.unwrap_err(), plan::PlanError::ArgsTooDeep);
}
