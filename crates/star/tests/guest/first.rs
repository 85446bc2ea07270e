//! Files with `download`, `expose` and `transform`.

use serde_json::json;

use crate::trial::Trial;

const PENGUINS: &str = "species,mass,island\nAdelie,3750,Torgersen\nGentoo,5000,Biscoe\n";

#[test]
fn a_transform_reads_rows_and_makes_a_version() {
    let script = r#"
def transform(ds, ctx):
    rows = []
    for row in ds.get_body():
        rows.append([row["species"], row[1] / 1000.0, row[-1]])
    ds.set_body(rows)
    ds.set_meta("title", "In kilograms")
    return {"rows": len(rows), "columns": ds.get_body()[0]}
"#;
    let ended = Trial::of(script).with("data/penguins.csv", PENGUINS).run();
    let value = ended.succeeded().value.clone();
    assert_eq!(
        value,
        Some(json!({"rows": 2, "columns": ["Adelie", 3.75, "Torgersen"]}))
    );
    let body = "species,mass,island\nAdelie,3.75,Torgersen\nGentoo,5.0,Biscoe\n";
    assert_eq!(ended.out("body.csv"), body);
    let told = json!({
        "meta": {"title": "In kilograms"},
        "body": "body.csv",
    });
    assert_eq!(ended.told(), told);
    assert_eq!(ended.made(), ["body.csv", "dataset.json"]);
}

#[test]
fn a_transform_that_sets_nothing_makes_nothing() {
    let script = "def transform(ds, ctx):\n\treturn len(ds.get_body())\n";
    let ended = Trial::of(script).with("data/penguins.csv", PENGUINS).run();
    assert_eq!(ended.succeeded().value, Some(json!(2)));
    assert!(ended.made().is_empty());
    let nothing = Trial::of("def download(ctx):\n  pass\n").run();
    assert_eq!(nothing.succeeded().value, Some(json!(null)));
}

#[test]
fn a_transform_has_what_download_returned_and_download_what_expose_did() {
    let script = r#"
def expose(ds, ctx):
    return [row["url"] for row in ds.get_body()]

def download(ctx):
    return [url.upper() for url in ctx.expose]

def transform(ds, ctx):
    return ctx.download
"#;
    let data = "url,n\nhttp://a,1\nhttp://b,2\n";
    let expose = Trial::of(script)
        .stage("expose")
        .with("data/urls.csv", data);
    assert_eq!(expose.value(), json!(["http://a", "http://b"]));
    let download = Trial::of(script).stage("download");
    let download = download.with("stage/expose.json", r#"["http://a"]"#);
    assert_eq!(download.value(), json!(["HTTP://A"]));
    let transform = Trial::of(script).with("stage/download.json", r#"["HTTP://A"]"#);
    assert_eq!(transform.value(), json!(["HTTP://A"]));
    let without = Trial::of("def transform(ds, ctx):\n  return ctx.download\n");
    without.run().failed("has no attribute `download`");
    let without = Trial::of("def transform(ds, ctx):\n  return hasattr(ctx, 'download')\n");
    assert_eq!(without.value(), json!(false));
}

#[test]
fn a_dataset_is_read_only_where_it_is_exposed_or_loaded() {
    for call in ["set_body([])", "set_meta('a', 1)", "set_structure({})"] {
        let name = call.split('(').next().expect("a name");
        let why = format!("cannot call {name} on read-only dataset");
        let script = format!("def expose(ds, ctx):\n  ds.{call}\n");
        Trial::of(&script).stage("expose").run().failed(&why);
        let script = format!("def transform(ds, ctx):\n  load_dataset('lab/a').{call}\n");
        let ended = Trial::of(&script).with("data/a/a.csv", PENGUINS).run();
        ended.failed(&why);
    }
}

#[test]
fn other_inputs_are_loaded_by_their_names() {
    let script = r#"
def transform(ds, ctx):
    other = load_dataset("lab/names@sha256:00")
    return [other.get_body(), ds.get_body(), ds.get_meta(), other.get_structure()["format"]]
"#;
    let trial = Trial::of(script)
        .with(
            "data/names/body.json",
            r#"{"a": [1, 2.5, 123456789012345678901]}"#,
        )
        .with("data/more/x.txt", "");
    let body = json!({"a": [1, 2.5, serde_json::from_str::<serde_json::Value>("123456789012345678901").expect("a number")]});
    assert_eq!(trial.value(), json!([body, null, {}, "json"]));
    let ended = Trial::of("def transform(ds, ctx):\n  load_dataset('../x')\n").run();
    ended.failed("no input named");
}

#[test]
fn top_level_code_reaches_neither_data_nor_network() {
    let script = "other = load_dataset('a')\ndef transform(ds, ctx):\n  return 1\n";
    let ended = Trial::of(script).with("data/a/a.csv", PENGUINS).run();
    ended.failed("t.star:1:9: load_dataset is not there for top-level code");
}

#[test]
fn what_download_runs_sees_no_data() {
    let script = "def download(ctx):\n  return load_dataset('a').get_body()\n";
    let ended = Trial::of(script)
        .stage("download")
        .with("data/a/a.csv", PENGUINS)
        .run();
    ended.failed("what has the network never sees data");
}

#[test]
fn settings_and_secrets_are_those_that_the_station_gives() {
    let script = r#"
def transform(ds, ctx):
    ctx.set("x", 1)
    return [ctx.get("x"), ctx.get_config("c"), ctx.get_config("d"), ctx.get_secret("s"),
            ctx.args, ctx.run_id, ctx.stage]
"#;
    let trial = Trial::of(script)
        .variable("STRONGROOM_CONFIG", r#"{"c": 7}"#)
        .variable("STRONGROOM_SECRETS", r#"{"s": "hush"}"#)
        .arguments(r#"{"by": "species"}"#);
    let args = json!({"by": "species"});
    assert_eq!(
        trial.value(),
        json!([1, 7, null, "hush", args, "run1", "transform"])
    );
    for (call, why) in [
        ("get('y')", "value \"y\" not set in context"),
        ("get_config('y')", "no config provided"),
        ("get_secret('y')", "no secrets provided"),
    ] {
        let script = format!("def transform(ds, ctx):\n  ctx.{call}\n");
        Trial::of(&script).run().failed(why);
    }
}

#[test]
fn texts_are_parsed_as_bodies() {
    let script = r#"
def transform(ds, ctx):
    ds.set_body("a,b\n1,x\n", parse_as="csv")
    return [ds.get_body()[0]["a"]]
"#;
    let ended = Trial::of(script).run();
    assert_eq!(ended.succeeded().value, Some(json!([1])));
    assert_eq!(ended.out("body.csv"), "a,b\n1,x\n");
    let json_text = "def transform(ds, ctx):\n  ds.set_body('[{\"a\": [1]}]', 'json')\n";
    assert_eq!(
        Trial::of(json_text).run().succeeded().out("body.json"),
        r#"[{"a": [1]}]"#
    );
    let broken = "def transform(ds, ctx):\n  ds.set_body('a,b\\n1\\n', parse_as = 'csv')\n";
    let ended = Trial::of(broken).run();
    ended.failed("line 2 has 1 fields, and the first has 2");
    assert!(ended.made().is_empty());
    let unknown = "def transform(ds, ctx):\n  ds.set_body('', parse_as = 'toml')\n";
    Trial::of(unknown).run().failed("parse_as is");
}

#[test]
fn rows_of_every_shape_become_a_body() {
    let body = |rows: &str| {
        let script = format!("def transform(ds, ctx):\n  ds.set_body({rows})\n");
        Trial::of(&script).run()
    };
    let dicts = body("[{'a': 1, 'b': None}, {'b': True, 'a': 'x,y'}]");
    assert_eq!(dicts.succeeded().out("body.csv"), "a,b\n1,\n\"x,y\",true\n");
    let lists = body("[(1, 2.0), [3, 4]]");
    assert_eq!(
        lists.succeeded().out("body.csv"),
        "field_1,field_2\n1,2.0\n3,4\n"
    );
    let values = body("[1, 'a']");
    assert_eq!(values.succeeded().out("body.json"), r#"[1,"a"]"#);
    let nested = body("{'a': [1, {'b': 2}]}");
    assert_eq!(nested.succeeded().out("body.json"), r#"{"a":[1,{"b":2}]}"#);
    body("[[1], [1, 2]]").failed("row 2: it has 2 values, and there are 1 columns");
    body("[{'a': 1}, {'c': 1}]").failed("row 2: there is no column \"c\"");
    body("[[1], [[2]]]").failed("row 2: value 1: CSV cannot carry a list");
    body("[len]").failed("a value of type function");
}

#[test]
fn a_failure_tells_where_it_happened_and_how_it_got_there() {
    let script = r#"
def mean(values):
    return sum(values) / len(values)

def sum(values):
    total = 0
    for value in values:
        total += value
    return total

def transform(ds, ctx):
    return mean([])
"#;
    let ended = Trial::of(script).run();
    ended.failed("t.star:3:12: ");
    assert!(
        ended.stderr.contains("t.star:12:12, in transform"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("return mean([])"), "{}", ended.stderr);
    let fails = Trial::of("def transform(ds, ctx):\n  error('no good')\n").run();
    fails.failed("transform error: no good");
}

#[test]
fn what_json_cannot_carry_is_named_with_its_place() {
    let script = "def transform(ds, ctx):\n  return {'a': [1, {'b': transform}]}\n";
    Trial::of(script)
        .run()
        .failed(r#"a value of type function (at ["a"][1]["b"])"#);
    let script = "def transform(ds, ctx):\n  return [float('nan')]\n";
    Trial::of(script)
        .run()
        .failed("a number that is not finite (at [0])");
}

#[test]
fn prints_go_to_the_log_and_not_into_the_result() {
    let script = "print('top')\ndef transform(ds, ctx):\n  print('in', 1)\n  return 'v'\n";
    let ended = Trial::of(script).run();
    assert_eq!(ended.succeeded().stdout, "top\nin 1\n");
    assert_eq!(ended.value, Some(json!("v")));
}

#[test]
fn modules_are_loaded_by_the_paths_that_scripts_know() {
    let script = r#"
load("assert.star", "assert")
load("dataset.star", "dataset")
load("qri.star", "qri")
load("encoding/json.star", js="json")

def transform(ds, ctx):
	new = dataset.new()
	new.set_body([1])
	assert.eq(new.get_body(), [1])
	return [qri.list_datasets(), js.encode({"a": 1})]
"#;
    let trial = Trial::of(script)
        .with("data/a/x.csv", "a\n")
        .with("data/b/x.csv", "a\n");
    assert_eq!(trial.value(), json!([["a", "b"], "{\"a\":1}"]));
    let wrong = "load('assert.star', 'assert')\ndef transform(ds, ctx):\n\tassert.eq(1, 2)\n";
    Trial::of(wrong).run().failed("t.star:3:2: 1 != 2");
}

const BY_NAME: &str = "def handle(event, context):\n    print(event.method, event.path)\n    return {\"statusCode\": 201, \"body\": \"got \" + event.body, \"headers\": {\"a\": 1}}\n";

#[test]
fn a_handler_is_asked_and_its_answer_has_every_part() {
    let ended = Trial::of(BY_NAME).arguments("[1]").run();
    let answer = json!({"statusCode": 201, "headers": {"a": "1"}, "body": "got [1]"});
    assert_eq!(ended.succeeded().value, Some(answer));
    assert_eq!(ended.stdout, "POST /\n");
    let nothing = Trial::of("def handle(event, context): pass\n").run();
    let answer = json!({"statusCode": 200, "headers": {}, "body": ""});
    assert_eq!(nothing.succeeded().value, Some(answer));
    let kept =
        Trial::of("def handle(event, context): return {\"body\": {\"n\": [1, None]}}\n").run();
    assert_eq!(
        kept.succeeded().value.clone().expect("an answer")["body"],
        json!({"n": [1, null]})
    );
}

#[test]
fn a_handler_that_answers_with_a_fault_fails_its_run_and_is_heard() {
    let ended = Trial::of("def handle(event, context): return {\"statusCode\": 404}\n").run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("handle answered 404"), "{ended:?}");
    assert_eq!(ended.value.expect("an answer")["statusCode"], json!(404));
    for (returned, why) in [
        ("1", "returns None or a dict, not int"),
        (
            "{\"statusCode\": 99}",
            "statusCode is a number from 100 to 599, not 99",
        ),
        (
            "{\"statusCode\": True}",
            "statusCode is a number from 100 to 599, not True",
        ),
        ("{\"statusCode\": \"200\"}", "statusCode is a number"),
        ("{\"headers\": 1}", "headers are a dict"),
        ("{\"body\": [print]}", "JSON cannot carry"),
    ] {
        let script = format!("def handle(event, context): return {returned}\n");
        let ended = Trial::of(&script).run();
        assert_eq!((ended.code, ended.value), (Some(1), None), "{returned}");
        assert!(ended.stderr.contains(why), "{returned}: {}", ended.stderr);
    }
}

#[test]
fn a_handler_is_told_by_its_parameters_or_by_its_file() {
    let helper = "def handle(a, b):\n    return a + b\nprint(handle(1, 2))\n";
    let step = Trial::of(helper).run();
    assert_eq!(step.succeeded().value, None);
    let both = format!("{BY_NAME}def transform(ds, ctx): pass\n");
    assert!(
        Trial::of(&both)
            .run()
            .stderr
            .contains("both transform and handle")
    );
}
