//! What the parser is given, and which places people are told.

use super::*;

#[track_caller]
fn becomes(text: &str, rewritten: &str) {
    let source = Source::new("t.star", text).expect(text);
    assert_eq!(source.rewritten, rewritten);
    source.parse().expect("it parses");
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

#[track_caller]
fn refused(text: &str, place: (usize, usize), part: &str) {
    let failure = Source::new("t.star", text)
        .and_then(|source| source.parse().map(|_| ()))
        .expect_err("it is refused");
    let (line, column) = place;
    assert_eq!(failure.place(), Some(Place { line, column }), "{failure}");
    assert!(failure.to_string().contains(part), "{failure}");
}

#[test]
fn a_pair_as_an_index_gets_brackets_and_nothing_else_does() {
    becomes("df.at[0, 1] = 2\n", "df.at[(0, 1)] = 2\n");
    becomes("x = df.at[ 0,\n  1 ]\n", "x = df.at[( 0,\n  1 )]\n");
    becomes("f(x)[a[1, 2], 3]\n", "f(x)[(a[(1, 2)], 3)]\n");
    stays("x = [0, 1]\n");
    stays("def f():\n  return [0, 1]\n");
    stays("x = 1 in [0, 1]\n");
    stays("x = 'df.at[0, 1]' # df.at[0, 1]\n");
    stays("x = a[f(0, 1)]\n");
    stays("x = '''\na[0, 1]\\'''\n\t'''\n");
}

#[test]
fn tabs_are_read_as_spaces_outside_of_strings() {
    becomes("def f():\n\treturn\t1\n", "def f():\n return 1\n");
    stays("x = 'a\tb'\n");
    becomes(
        "if True:\n\t# \n\n\tx = [\n\t1]\n",
        "if True:\n # \n\n x = [\n 1]\n",
    );
    refused("if True:\n\tx = 1\n        y = 2\n", (3, 9), "mixes tabs");
    refused("if True:\n  x = 1\n\ty = 2\n", (3, 2), "mixes tabs");
}

#[test]
fn assert_is_a_name() {
    becomes(
        "load('assert.star', 'assert')\nassert.eq(1, 'assert')\n",
        "load('assert.star', 'Assert')\nAssert.eq(1, 'assert')\n",
    );
    stays("# assert\nx = 'assert'\n");
    stays("x = 'a\\\r\nassert [0, 1] b[0, 1]'\n");
    refused("x = 1\nassert x == 1\n", (2, 1), "no statement");
    refused("assert.eq(1, Assert)\n", (1, 14), "cannot use the name");
}

#[test]
fn places_are_those_of_the_text_as_it_was_written() {
    refused("x[0, 1] = $\n", (1, 11), "invalid input");
    refused("x = 1\n  y = 2\n", (2, 1), "");
    refused("while True:\n  pass\n", (1, 1), "reserved keyword");
}

#[test]
fn what_would_exhaust_the_parser_is_refused_first() {
    refused(&"(".repeat(100_000), (1, 100), "brackets inside each other");
    refused(
        &format!("x = {}1", "-".repeat(100_000)),
        (1, 4003),
        "one expression",
    );
    refused(
        &format!("x = {}1", "not ".repeat(100_000)),
        (1, 15997),
        "one expression",
    );
    let deep: String = (0..100)
        .map(|n| format!("{}if x:\n", " ".repeat(n)))
        .collect();
    refused(&deep, (61, 61), "blocks inside each other");
    let long = format!("x = [{}]\n", "1, ".repeat(100_000));
    stays(&long);
    let branches = format!("if x: y = 1\n{}", "elif x: y = 1\n".repeat(3000));
    refused(&format!("x = 1\n{branches}"), (2003, 1), "branches");
}
