//! Scripts that ask for too much, or that are none.

use crate::trial::Trial;

#[track_caller]
fn fails(body: &str, part: &str) {
    let script = format!("def transform(ds, ctx):\n  {body}\n");
    Trial::of(&script).run().failed(part);
}

#[test]
fn calls_inside_each_other_have_a_bound() {
    let script = "def f(n):\n  return f(n + 1)\ndef transform(ds, ctx):\n  return f(0)\n";
    let ended = Trial::of(script).run();
    ended.failed("stack overflow");
    assert!(ended.stderr.contains("more calls"), "{}", ended.stderr);
    assert!(ended.stderr.len() < 8000);
}

#[test]
fn values_of_a_loop_have_a_bound_that_speaks_before_the_sandbox_does() {
    let loops = "def transform(ds, ctx):\n  n = 0\n  for i in range(100000000):\n    n += len(str(i) + 'x' * 20)\n  return n\n";
    let told = "the script's values take more memory than the run has";
    let with = |memory: &str| Trial::of(loops).variable("STRONGROOM_MEMORY_BYTES", memory);
    with("67108864").run().failed(told);
    with("1").run().failed(told);
    let kept = "def transform(ds, ctx):\n  x = []\n  for i in range(100000000):\n    x.append('x' * 100)\n";
    Trial::of(kept)
        .variable("STRONGROOM_MEMORY_BYTES", "67108864")
        .run()
        .failed(told);
}

#[test]
fn numbers_and_texts_that_no_memory_holds_are_failures_and_no_crash() {
    fails("return len('a' * (1 << 62))", "");
    fails("return 1 << (1 << 40)", "");
    fails("return [0] * (1 << 60)", "");
    fails("return '%d' % 'x'", "");
    fails("return int('9' * 10, 99)", "");
}

#[test]
fn values_inside_each_other_end_in_a_failure() {
    let nest =
        "def transform(ds, ctx):\n  x = []\n  for i in range(100000):\n    x = [x]\n  return ";
    Trial::of(&format!("{nest}x\n"))
        .run()
        .failed("nests deeper than 120");
    Trial::of(&format!("{nest}len(str(x))\n")).run().succeeded();
    Trial::of(&format!("{nest}x == [x]\n"))
        .run()
        .failed("recursion");
    let ring = "def transform(ds, ctx):\n  x = []\n  x.append(x)\n  return x\n";
    Trial::of(ring).run().failed("nests deeper than 120");
}

#[test]
fn the_largest_expressions_that_are_parsed_can_be_run() {
    let signs = format!("def transform(ds, ctx):\n  return {}1\n", "-".repeat(3900));
    assert_eq!(Trial::of(&signs).value(), 1);
    let words = format!(
        "def transform(ds, ctx):\n  return {}1\n",
        "0 or ".repeat(1900)
    );
    assert_eq!(Trial::of(&words).value(), 1);
    let sums = format!(
        "def transform(ds, ctx):\n  return 1{}\n",
        " + 1".repeat(1900)
    );
    assert_eq!(Trial::of(&sums).value(), 1901);
    let lambdas = format!("x = {}1\n", "lambda: ".repeat(1900));
    Trial::of(&lambdas).run().succeeded();
    let choices = format!("x = {}1\n", "1 if 0 else ".repeat(900));
    Trial::of(&choices).run().succeeded();
    let brackets = format!("x = {}{}\n", "[".repeat(98), "]".repeat(98));
    Trial::of(&brackets).run().succeeded();
    let branches = format!("if 0: x = 1\n{}", "elif 0: x = 1\n".repeat(1900));
    Trial::of(&branches).run().succeeded();
}

#[test]
fn files_that_are_no_script_are_refused() {
    Trial::of("")
        .with("function/t.star", [0xff, 0xfe])
        .run()
        .failed("it is not UTF-8");
    Trial::of("x = 1\0").run().failed("zero byte");
    Trial::of(&"#".repeat(5 << 20))
        .run()
        .failed("at most 4194304 bytes");
    Trial::of("def f(:\n").run().failed("t.star:1:7: ");
    Trial::of("while 1: pass\n")
        .run()
        .failed("reserved keyword `while`");
    Trial::of("").run().succeeded();
    Trial::of("x = 1\n")
        .stage("upload")
        .run()
        .failed("there is no stage \"upload\"");
    Trial::of("x = 1\n")
        .stage("expose")
        .run()
        .failed("no stage expose");
}

#[test]
fn no_load_reaches_a_file() {
    for path in [
        "/etc/passwd",
        "../t.star",
        "t.star",
        "./t.star",
        "//t.star",
        "encoding/../t.star",
    ] {
        let script = format!("load({path:?}, 'x')\n");
        Trial::of(&script).run().failed("there is no module");
    }
}

#[test]
fn a_body_that_is_no_table_ends_the_script_with_the_reason() {
    let read = "def transform(ds, ctx):\n  return len(ds.get_body())\n";
    let body = |name: &str, text: &[u8]| Trial::of(read).with(&format!("data/{name}"), text).run();
    body("a.csv", b"a,b\n1\n").failed("a.csv: the body is not CSV: line 2");
    body("a.csv", b"a\n\xff\n").failed("not UTF-8 near line 2");
    body("a.json", b"[1,").failed("a.json: EOF");
    body("a.json", "[".repeat(1000).as_bytes()).failed("nested deeper than 120");
    body("a.ndjson", b"{}\n{\n").failed("a.ndjson: line 2");
    body("a.parquet", b"PAR1").failed("a.parquet: the body is not Parquet");
}

#[test]
fn a_body_is_set_from_cbor_and_workbooks_or_told_what_is_wrong_with_them() {
    let set = |text: &str, parse_as: &str| {
        let script =
            format!("def transform(ds, ctx):\n  ds.set_body({text}, parse_as='{parse_as}')\n");
        Trial::of(&script).run()
    };
    let rows = r"b'\x82\xa1\x61\x61\x01\xa1\x61\x61\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00'";
    let ended = set(rows, "cbor");
    ended.succeeded();
    assert_eq!(ended.out("body.csv"), "a\n1\n1.5\n");
    set(r"b'\x82\x01'", "cbor").failed("it is no whole CBOR item");
    set(r"b'\x01\x01'", "cbor").failed("goes on after its one item");
    set(r"b'\xa1\x01\x01'", "cbor").failed("a key of a map is no text");
    set(r"b'\x9b\x7f\xff\xff\xff\xff\xff\xff\xff'", "cbor").failed("no whole CBOR item");
    set(r"b'\x81' * 100000", "cbor").failed("nests deeper than 120");
    set(r"b'PK\x03\x04'", "xlsx").failed("the body as xlsx");
    set("[1]", "cbor").failed("has to be a string or bytes");
    set("'a'", "parquet").failed("\"cbor\" or \"xlsx\"");
}
